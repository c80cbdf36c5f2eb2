package promrollcall

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/rpcclient"
)

// CallTimes measures how long calls take, from Client.Call to its return: with retries,
// hedges and waiting. It is a histogram by service and outcome. Make it with [NewCallTimes],
// register it, and give its Interceptor to the clients that are to be measured.
type CallTimes struct{ times *prometheus.HistogramVec }

// buckets are upper bounds in seconds, from a call on the same machine to one that has waited
// longer than the default time limit. They are those of a classic histogram, because each
// version of Prometheus reads it, and in the text format, too.
var buckets = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30,
}

// NewCallTimes makes a histogram. name is the value of the label client. One for all clients
// of a program is enough: it has a label with the service.
func NewCallTimes(name string) *CallTimes {
	return &CallTimes{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "rollcall_client_call_duration_seconds",
		Help: "How long calls took, with retries and waiting, by service and outcome.", Buckets: buckets,
		ConstLabels: prometheus.Labels{"client": text(name)},
	}, []string{"service", "outcome"})}
}

// Interceptor is one of rpcclient.Config.Interceptors. As the first it measures what the
// caller waits for.
func (c *CallTimes) Interceptor(ctx context.Context, in *rpcclient.Invocation, next func(context.Context, *rpcclient.Invocation) error) error {
	begin := time.Now()
	err := next(ctx, in)
	c.times.WithLabelValues(text(in.Service), outcome(err)).Observe(time.Since(begin).Seconds())
	return err
}

// outcome is the word for how a call ended. There are few, so that there are few time series.
func outcome(err error) string {
	var e *rpcclient.Error
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &e) && e.Executed == rpcclient.ExecutedYes:
		return "error"
	case errors.As(err, &e) && e.Executed == rpcclient.ExecutedNever:
		return "never"
	}
	return "maybe"
}

// Describe implements prometheus.Collector.
func (c *CallTimes) Describe(ch chan<- *prometheus.Desc) { c.times.Describe(ch) }

// Collect implements prometheus.Collector.
func (c *CallTimes) Collect(ch chan<- prometheus.Metric) { c.times.Collect(ch) }
