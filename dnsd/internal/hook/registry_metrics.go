package hook

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// registryCollector shows the registry's counts, all of one moment.
type registryCollector struct{ s *Server }

// registryMetric is one count of the registry.
type registryMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*registry.Stats) float64
}

func registryName(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rollcall_registry_"+name, help, labels, nil)
}

func count[T int | uint64](v T) float64 { return float64(v) }

// registryTable is a function and not a variable: there is no package state.
func registryTable() []registryMetric {
	const g, c = prometheus.GaugeValue, prometheus.CounterValue
	return []registryMetric{
		{registryName("revision", "Number of the last change."), g, func(s *registry.Stats) float64 { return count(s.Revision) }},
		{registryName("services", "Services with at least one instance."), g, func(s *registry.Stats) float64 { return count(s.Services) }},
		{registryName("history_changes", "Changes kept for watchers and zone transfer."), g, func(s *registry.Stats) float64 { return count(s.History) }},
		{registryName("fences", "Removed instances whose incarnation is remembered."), g, func(s *registry.Stats) float64 { return count(s.Fences) }},
		{registryName("watchers", "Watchers of the registry."), g, func(s *registry.Stats) float64 { return count(s.Watchers) }},
		{registryName("registered_total", "Registrations that changed something."), c, func(s *registry.Stats) float64 { return count(s.Registered) }},
		{registryName("renewed_total", "Renewals."), c, func(s *registry.Stats) float64 { return count(s.Renewed) }},
		{registryName("deregistered_total", "Deregistrations."), c, func(s *registry.Stats) float64 { return count(s.Deregistered) }},
		{registryName("expired_total", "Instances removed because their lease ended."), c, func(s *registry.Stats) float64 { return count(s.Expired) }},
		{registryName("guard_held_total", "Instances that the guard held back."), c, func(s *registry.Stats) float64 { return count(s.Held) }},
		{registryName("proven_dead_total", "Instances removed because they refused a connection."), c, func(s *registry.Stats) float64 { return count(s.Proven) }},
		{registryName("commits_total", "Commits of the store."), c, func(s *registry.Stats) float64 { return count(s.Commits) }},
		{registryName("commit_failures_total", "Commits that the store refused."), c, func(s *registry.Stats) float64 { return count(s.CommitFailures) }},
		{registryName("watchers_cut_total", "Watchers that were too slow."), c, func(s *registry.Stats) float64 { return count(s.Cut) }},
		{registryName("stalls_total", "Times that the lease clock stood still because this process did."), c, func(s *registry.Stats) float64 { return count(s.Stalls) }},
		{registryName("stalled_seconds_total", "How long the lease clock stood still."), c, func(s *registry.Stats) float64 { return s.Stalled.Seconds() }},
	}
}

func instancesDesc() *prometheus.Desc {
	return registryName("instances", "Instances by state.", "state")
}

// Describe implements prometheus.Collector.
func (registryCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- instancesDesc()
	for _, m := range registryTable() {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c registryCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.s.state.Load().registry.Stats()
	desc := instancesDesc()
	for state, n := range map[registry.State]int{
		registry.Up: st.Up, registry.Unconfirmed: st.Unconfirmed, registry.Suspect: st.Suspect, registry.Drained: st.Drained,
	} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), state.String())
	}
	for _, m := range registryTable() {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&st))
	}
}
