package hook

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// registryCollector shows the registry's counts, all of the same moment.
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

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// mostServices bounds the time series by service: the largest services have their own,
// the others share one without a name.
const mostServices = 200

// serviceDescriptions are the metrics with a label or buckets.
func serviceDescriptions() [5]*prometheus.Desc {
	return [5]*prometheus.Desc{
		registryName("service_instances", "Instances by service, of the largest 200; the others together have no name.", "service"),
		registryName("guard_held_instances", "Instances that the guard keeps as suspects now, by service.", "service"),
		registryName("commit_seconds", "Time of a commit of the store."),
		registryName("service_state_instances", "Instances by service and state, of the largest 200 services; the others together have no name.", "service", "state"),
		registryName("store_bytes", "Length of the file of the store."),
	}
}

// registryTable has the metrics without labels.
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
		{registryName("renewed_late_total", "Renewals in the last quarter of a lease."), c, func(s *registry.Stats) float64 { return count(s.Late) }},
		{registryName("deregistered_total", "Deregistrations."), c, func(s *registry.Stats) float64 { return count(s.Deregistered) }},
		{registryName("expired_total", "Instances removed because their lease ended."), c, func(s *registry.Stats) float64 { return count(s.Expired) }},
		{registryName("guard_held_total", "Instances that the guard has kept as suspects."), c, func(s *registry.Stats) float64 { return count(s.Reprieved) }},
		{registryName("proven_dead_total", "Instances removed because they refused a connection."), c, func(s *registry.Stats) float64 { return count(s.Proven) }},
		{registryName("unstored_changes", "Changes that are published and could not be stored yet."), g, func(s *registry.Stats) float64 { return count(s.Unstored) }},
		{registryName("store_sick", "1 while changes cannot be stored."), g, func(s *registry.Stats) float64 { return boolean(s.Sick) }},
		{registryName("commits_total", "Commits of the store."), c, func(s *registry.Stats) float64 { return count(s.Commits) }},
		{registryName("commit_failures_total", "Commits that the store refused."), c, func(s *registry.Stats) float64 { return count(s.CommitFailures) }},
		{registryName("watchers_cut_total", "Watchers that were too slow."), c, func(s *registry.Stats) float64 { return count(s.Cut) }},
		{registryName("stalls_total", "How often the lease clock stopped because this process was stopped."), c, func(s *registry.Stats) float64 { return count(s.Stalls) }},
		{registryName("stalled_seconds_total", "How long the lease clock was stopped."), c, func(s *registry.Stats) float64 { return s.Stalled.Seconds() }},
	}
}

func instancesDesc() *prometheus.Desc {
	return registryName("instances", "Instances by state.", "state")
}

// Describe implements prometheus.Collector.
func (registryCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- instancesDesc()
	for _, d := range serviceDescriptions() {
		ch <- d
	}
	for _, m := range registryTable() {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c registryCollector) Collect(ch chan<- prometheus.Metric) {
	r := c.s.state.Load().registry
	st := r.Stats()
	desc := instancesDesc()
	for state, n := range map[registry.State]int{
		registry.Up: st.Up, registry.Unconfirmed: st.Unconfirmed, registry.Suspect: st.Suspect, registry.Drained: st.Drained,
	} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), state.String())
	}
	descs := serviceDescriptions()
	for _, n := range r.Census(mostServices) {
		ch <- prometheus.MustNewConstMetric(descs[0], prometheus.GaugeValue, float64(n.Instances), n.Service)
		for state, v := range n.States {
			if v > 0 {
				ch <- prometheus.MustNewConstMetric(descs[3], prometheus.GaugeValue, float64(v), n.Service, registry.State(state).String())
			}
		}
		if n.Reprieved > 0 {
			ch <- prometheus.MustNewConstMetric(descs[1], prometheus.GaugeValue, float64(n.Reprieved), n.Service)
		}
	}
	if st.StoreBytes > 0 {
		ch <- prometheus.MustNewConstMetric(descs[4], prometheus.GaugeValue, float64(st.StoreBytes))
	}
	buckets, sum := make(map[float64]uint64), uint64(0)
	for i, bound := range registry.DurationBounds() {
		sum += st.CommitTook.Counts[i]
		buckets[bound.Seconds()] = sum
	}
	sum += st.CommitTook.Counts[len(st.CommitTook.Counts)-1]
	ch <- prometheus.MustNewConstHistogram(descs[2], sum, st.CommitTook.Sum.Seconds(), buckets)
	for _, m := range registryTable() {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&st))
	}
}

// Tests: metrics_test.go.
