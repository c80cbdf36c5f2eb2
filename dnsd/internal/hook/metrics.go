package hook

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rollcall-dns/rollcall/internal/release"
)

// metrics are the hook's own metrics. They last as long as the Server; each
// configuration shows them together with its collectors.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	all      []prometheus.Collector
}

func newMetrics(s *Server) *metrics {
	const ns, sub = "rollcall", "hook"
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "requests_total",
			Help: "Requests by path, method and status.",
		}, []string{"path", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "request_seconds",
			Help:    "Time to answer, by path; streams and requests that waited for events are not counted.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5},
		}, []string{"path"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "refused_total",
			Help: "Requests and streams refused or cut by a limit: rate, token, watches, holds, slow, lists.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{"rate", "token", "watches", "holds", "slow", "lists"} {
		m.refused.WithLabelValues(reason) // shown as 0 before the first
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, f)
	}
	m.all = []prometheus.Collector{
		m.requests, m.seconds, m.refused,
		gauge("watches", "Watches open.", s.watches.value),
		gauge("list_bytes", "Memory of lists and of beginnings of watches that are being sent.", s.lists.inUse),
		gauge("holds", "Registrations held by an open connection.", func() float64 { return float64(s.holds.count()) }),
		gauge("connections", "Connections open.", func() float64 { open, _, _ := s.listener.pool.counts(); return open }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "connections_refused_total", Help: "Connections turned away by a limit.",
		}, func() float64 { _, refused, _ := s.listener.pool.counts(); return refused }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: ns, Subsystem: sub, Name: "connections_evicted_total", Help: "Unused connections that were closed for new ones at the limit.",
		}, func() float64 { _, _, evicted := s.listener.pool.counts(); return evicted }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		registryCollector{s},
		buildInfo(),
		certificateCollector{s},
	}
	return m
}

// handler serves the hook's metrics and those of more.
func (m *metrics) handler(more []prometheus.Collector) (http.Handler, error) {
	reg := prometheus.NewPedanticRegistry()
	for _, c := range append(m.all[:len(m.all):len(m.all)], more...) {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}), nil
}

// count counts one finished request. The method is a label, so unknown methods share one
// value. The path is that of a route, without what only a ServeMux understands.
func (m *metrics) count(x *exchange, path string, took time.Duration) {
	method := x.r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	if path == pathFront {
		path = "/"
	}
	m.requests.WithLabelValues(path, method, strconv.Itoa(x.w.status)).Inc()
	if path != pathWatch && path != pathHold && !x.waited {
		m.seconds.WithLabelValues(path).Observe(took.Seconds())
	}
}

func (x *exchange) showMetrics() error {
	if err := x.need(Read, ""); err != nil {
		return err
	}
	x.st.metrics.ServeHTTP(x.w, x.r)
	return nil
}

// healthz says that the process serves HTTP.
func (x *exchange) healthz() error {
	return x.json(http.StatusOK, map[string]string{"status": "alive"})
}

// buildInfo is always 1; its labels name the build.
func buildInfo() prometheus.Collector {
	version, revision := release.Build()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "rollcall", Name: "build_info", Help: "The build that runs; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}

// certificateCollector shows when the hook's certificate ends, if it has one.
type certificateCollector struct{ s *Server }

func (certificateCollector) desc() *prometheus.Desc {
	return prometheus.NewDesc("rollcall_hook_certificate_expiry_timestamp_seconds", "When the certificate of the hook ends, as seconds since 1970.", nil, nil)
}

// Describe implements prometheus.Collector.
func (c certificateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc() }

// Collect implements prometheus.Collector.
func (c certificateCollector) Collect(ch chan<- prometheus.Metric) {
	if ends := c.s.state.Load().certificateEnds; !ends.IsZero() {
		ch <- prometheus.MustNewConstMetric(c.desc(), prometheus.GaugeValue, float64(ends.Unix()))
	}
}

// readyz says whether dnsd answers queries and can store changes.
func (x *exchange) readyz() error {
	if err := x.st.whyNotReady(); err != nil {
		return refuse(http.StatusServiceUnavailable, "", "%v", err).retryAfter(time.Second)
	}
	return x.json(http.StatusOK, map[string]string{"status": "ready"})
}

// whyNotReady says why dnsd does not answer or cannot store changes.
func (st *state) whyNotReady() error {
	if st.ready != nil {
		if err := st.ready(); err != nil {
			return fmt.Errorf("not ready: %w", err)
		}
	}
	if st.registry.Sick() != nil { // the cause may name a path, and needs no token here
		return errors.New("DNS is answered, but changes cannot be stored: dnsd's log has the cause")
	}
	return nil
}
