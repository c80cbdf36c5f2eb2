package promrollcall

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollcall-dns/rollcall/resolver"
)

// Resolver shows what a resolver knows of services, which are SRV names as clients use
// them: "_math._tcp.svc". It is the Resolver that clients have as Config.Source. name is
// the value of the label resolver.
func Resolver(name string, r *resolver.Resolver, services ...string) prometheus.Collector {
	f := newFamily("rollcall_resolver_", "resolver", name)
	out := &names{
		resolver:  r,
		endpoints: f.gauge("endpoints", "Endpoints known.", "service"),
		trust:     f.gauge("trust", "1 for how far the endpoints can be believed now, 0 for the others.", "service", "trust"),
		followed:  f.gauge("followed", "1 while a server tells about changes as they happen.", "service"),
		confirmed: f.gauge("confirmed_timestamp_seconds", "When a server last confirmed the endpoints, as seconds since 1970.", "service"),
		ttl:       f.gauge("ttl_seconds", "For how long an answer is used.", "service"),
		revision:  f.gauge("revision", "The change that the endpoints are as of, as the server counts changes.", "service"),
	}
	for _, s := range services {
		if !slices.ContainsFunc(out.services, func(t string) bool { return text(s) == text(t) }) {
			out.services = append(out.services, s)
		}
	}
	out.family = f
	return out
}

type names struct {
	family
	resolver *resolver.Resolver
	services []string // none twice: these would be the same series

	endpoints, trust, followed, confirmed, ttl, revision metric
}

// trusts are all that a State of a Resolver may have.
var trusts = []resolver.Trust{resolver.Confirmed, resolver.Shrunk, resolver.Stale, resolver.Unanswered}

// Collect implements prometheus.Collector.
func (n *names) Collect(ch chan<- prometheus.Metric) {
	for _, service := range n.services {
		state, known := n.resolver.Cached(service)
		fresh := n.resolver.Freshness(service)
		label := text(service)
		n.endpoints.send(ch, float64(len(state.Endpoints)), label)
		n.followed.send(ch, flag(fresh.By == "push"), label)
		for _, t := range trusts {
			n.trust.send(ch, flag(known && state.Trust == t), label, t.String())
		}
		if !state.Confirmed.IsZero() {
			n.confirmed.send(ch, float64(state.Confirmed.UnixMilli())/1000, label)
			n.ttl.send(ch, state.TTL.Seconds(), label)
		}
		if fresh.Revision != 0 {
			n.revision.send(ch, float64(fresh.Revision), label)
		}
	}
}

// Tests: scrape_test.go.
