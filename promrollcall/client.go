package promrollcall

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// Client shows the calls of a client, and its nodes: how many have which standing, and the
// requests to each. name is the value of the label client.
func Client(name string, c *rpcclient.Client) prometheus.Collector {
	f := newFamily("rollcall_client_", "client", name)
	out := &client{client: c, table: table{most: mostSeries}}
	out.numbers = []number[rpcclient.Stats]{
		{f.counter("calls_total", "Calls begun."), func(s *rpcclient.Stats) float64 { return float64(s.Calls) }},
		{f.gauge("calls_in_flight", "Calls that wait for their answer."), func(s *rpcclient.Stats) float64 { return float64(s.InFlight) }},
		{f.counter("attempts_total", "Requests for calls, with retries and hedges."), func(s *rpcclient.Stats) float64 { return float64(s.Attempts) }},
		{f.counter("retries_total", "Attempts after a failed one."), func(s *rpcclient.Stats) float64 { return float64(s.Retries) }},
		{f.counter("retries_over_budget_total", "Retries that the budget did not allow."), func(s *rpcclient.Stats) float64 { return float64(s.OverBudget) }},
		{f.counter("hedges_total", "Second requests while the first was under way."), func(s *rpcclient.Stats) float64 { return float64(s.Hedges) }},
		{f.counter("hedges_won_total", "Hedges that were answered first."), func(s *rpcclient.Stats) float64 { return float64(s.HedgesWon) }},
		{f.counter("refused_total", "Requests that a server has not executed, and said so."), func(s *rpcclient.Stats) float64 { return float64(s.Refused) }},
		{f.counter("dials_total", "Connections tried."), func(s *rpcclient.Stats) float64 { return float64(s.Dials) }},
		{f.counter("dials_failed_total", "Connections that could not be made."), func(s *rpcclient.Stats) float64 { return float64(s.DialFailures) }},
	}
	out.failed = f.counter("calls_failed_total", "Calls that failed, by whether a server has executed them.", "executed")
	out.nodes = f.gauge("nodes", "Nodes by standing.", "standing")
	out.attempts = f.counter("node_attempts_total", "Requests to a node.", "node")
	out.failures = f.counter("node_failures_total", "Requests that failed because of the node.", "node")
	out.inFlight = f.gauge("node_in_flight", "Requests that a node has not answered yet.", "node")
	out.conns = f.gauge("node_connections", "Connections to a node that take calls.", "node")
	out.family = f
	return out
}

type client struct {
	family
	client  *rpcclient.Client
	numbers []number[rpcclient.Stats]
	failed  metric
	nodes   metric

	attempts, failures, inFlight, conns metric // of each node

	mu    sync.Mutex // guards table, from the reading of the counts on: see table.look
	table table
}

// finishing is the standing of a node that is no longer announced, and finishes its calls.
const finishing = "finishing"

// standings are all that a node may have, so that each has a series from the beginning.
var standings = []string{
	balancer.Healthy.String(), balancer.Warming.String(), balancer.Probing.String(),
	balancer.Ejected.String(), balancer.Unreachable.String(), balancer.Away.String(), finishing,
}

// Collect implements prometheus.Collector.
func (c *client) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	stats := c.client.Stats()
	count, rows := nodes(stats.Nodes)
	rows = c.table.look(rows)
	c.mu.Unlock()
	send(ch, c.numbers, &stats)
	c.failed.send(ch, float64(stats.FailedNever), rpcclient.ExecutedNever.String())
	c.failed.send(ch, float64(stats.FailedMaybe), rpcclient.ExecutedMaybe.String())
	c.failed.send(ch, float64(stats.AnsweredErrors), rpcclient.ExecutedYes.String())
	for _, s := range standings {
		c.nodes.send(ch, float64(count[s]), s)
	}
	for _, r := range rows {
		c.attempts.send(ch, r.counts[0], r.key)
		c.failures.send(ch, r.counts[1], r.key)
		c.inFlight.send(ch, r.now[0], r.key)
		c.conns.send(ch, r.now[1], r.key)
	}
}

// nodes counts the nodes by standing, and makes the rows of those that are announced: one
// that only finishes its calls may have the address of a new one.
func nodes(all []rpcclient.NodeStats) (count map[string]int, rows []row) {
	count = map[string]int{}
	for _, n := range all {
		if n.Standing == "" {
			count[finishing]++
			continue
		}
		count[n.Standing]++
		rows = append(rows, row{
			key:    n.Addr,
			counts: []float64{float64(n.Attempts), float64(n.Failures)},
			now:    []float64{float64(n.InFlight), float64(n.Connections)},
		})
	}
	return count, rows
}
