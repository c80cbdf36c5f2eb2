package promrollcall

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Server shows the connections and calls of a server, its registrations, and whether it
// serves. name is the value of the label server.
func Server(name string, s *rpcserver.Server) prometheus.Collector {
	f := newFamily("rollcall_server_", "server", name)
	out := &server{server: s, table: table{most: mostSeries}}
	out.numbers = []number[rpcserver.Stats]{
		{f.gauge("connections", "Connections open."), func(s *rpcserver.Stats) float64 { return float64(s.Conns) }},
		{f.gauge("calls_in_flight", "Calls that run."), func(s *rpcserver.Stats) float64 { return float64(s.InFlight) }},
		{f.counter("connections_accepted_total", "Connections accepted."), func(s *rpcserver.Stats) float64 { return float64(s.Accepted) }},
		{f.counter("connections_refused_total", "Connections turned away by a limit."), func(s *rpcserver.Stats) float64 { return float64(s.Refused) }},
		{f.counter("accept_errors_total", "Connections that the system did not hand over."), func(s *rpcserver.Stats) float64 { return float64(s.AcceptErrors) }},
		{f.counter("requests_total", "Requests read, pings, cancels and unknown methods included."), func(s *rpcserver.Stats) float64 { return float64(s.Requests) }},
		{f.counter("requests_not_executed_total", "Requests that were refused, given up before their turn, or too late."), func(s *rpcserver.Stats) float64 { return float64(s.NotExecuted) }},
		{f.counter("panics_total", "Panics in methods."), func(s *rpcserver.Stats) float64 { return float64(s.Panics) }},
		{f.counter("writes_total", "Writes to connections; each may carry many answers."), func(s *rpcserver.Stats) float64 { return float64(s.Writes) }},
		{f.counter("sent_bytes_total", "Bytes written to connections."), func(s *rpcserver.Stats) float64 { return float64(s.BytesOut) }},
		{f.gauge("draining", "1 since Shutdown was called."), func(s *rpcserver.Stats) float64 { return flag(s.Draining) }},
	}
	out.serving = f.gauge("serving", "0 while the whole server says that it does not serve.")
	out.shut = f.gauge("receivers_not_serving", "Receivers that say that they do not serve.")
	out.calls = f.counter("method_calls_total", "Calls answered, by method.", "method")
	out.failures = f.counter("method_failures_total", "Calls answered with an error, or ended by a panic, by method.", "method")
	out.leases = f.gauge("registrations", "Registrations by state.", "state")
	out.troubles = f.counter("registration_failures_total", "Requests to hooks that failed, and holds that broke.")
	out.confirmed = f.gauge("registration_confirmed_timestamp_seconds", "When a hook last confirmed the registration that it has not confirmed for the longest time, as seconds since 1970.")
	out.family = f
	return out
}

type server struct {
	family
	server        *rpcserver.Server
	numbers       []number[rpcserver.Stats]
	serving, shut metric

	calls, failures             metric // of each method
	leases, troubles, confirmed metric

	mu    sync.Mutex // guards table, from the reading of the counts on: see table.look
	table table
}

// states are all that a lease may have, so that each has a series from the beginning.
var states = []register.LeaseState{
	register.LeaseRegistering, register.LeaseHeld, register.LeaseRenewed,
	register.LeaseRetrying, register.LeaseReplaced, register.LeaseClosed,
}

// Collect implements prometheus.Collector.
func (s *server) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	stats := s.server.Stats()
	rows := make([]row, len(stats.Methods))
	for i, m := range stats.Methods {
		rows[i] = row{key: m.Name, counts: []float64{float64(m.Calls), float64(m.Failed)}}
	}
	rows = s.table.look(rows)
	s.mu.Unlock()
	send(ch, s.numbers, &stats)
	for _, r := range rows {
		s.calls.send(ch, r.counts[0], r.key)
		s.failures.send(ch, r.counts[1], r.key)
	}
	shut := s.server.NotServing()
	_, all := shut[""]
	delete(shut, "")
	s.serving.send(ch, flag(!all))
	s.shut.send(ch, float64(len(shut)))
	s.collectLeases(ch)
}

func (s *server) collectLeases(ch chan<- prometheus.Metric) {
	count := map[register.LeaseState]int{}
	var troubles uint64
	var confirmed time.Time
	for _, l := range s.server.Leases() {
		status := l.Status()
		count[status.State]++
		troubles += status.Failures
		ended := status.State == register.LeaseReplaced || status.State == register.LeaseClosed
		if !ended && (confirmed.IsZero() || status.Confirmed.Before(confirmed)) {
			confirmed = status.Confirmed
		}
	}
	for _, state := range states {
		s.leases.send(ch, float64(count[state]), state.String())
	}
	s.troubles.send(ch, float64(troubles))
	if !confirmed.IsZero() {
		s.confirmed.send(ch, float64(confirmed.UnixMilli())/1000)
	}
}
