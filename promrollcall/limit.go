package promrollcall

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/rpcserver/shed"
)

// Limit shows a limit of the calls that run at once. name is the value of the label limit.
func Limit(name string, l *shed.Limit) prometheus.Collector {
	f := newFamily("rollcall_server_limit_", "limit", name)
	out := &limit{limit: l}
	out.numbers = []number[shed.Stats]{
		{f.gauge("calls", "Calls that may run at once."), func(s *shed.Stats) float64 { return float64(s.Limit) }},
		{f.gauge("calls_in_flight", "Calls that run."), func(s *shed.Stats) float64 { return float64(s.InFlight) }},
		{f.gauge("base_seconds", "What a call takes that does not wait; 0 while that is not known."), func(s *shed.Stats) float64 { return s.Base.Seconds() }},
		{f.counter("refused_total", "Calls refused."), func(s *shed.Stats) float64 { return float64(s.Refused) }},
	}
	out.family = f
	return out
}

type limit struct {
	family
	limit   *shed.Limit
	numbers []number[shed.Stats]
}

// Collect implements prometheus.Collector.
func (l *limit) Collect(ch chan<- prometheus.Metric) {
	stats := l.limit.Stats()
	send(ch, l.numbers, &stats)
}

// Tests: scrape_test.go.
