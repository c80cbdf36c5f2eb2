package resolver

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"strconv"
	"time"
)

// Endpoint is one SRV record made dialable.
type Endpoint struct {
	// Addr is the address to dial, "192.0.2.7:8080" or "[2001:db8::7]:8080".
	// It is the identity of the endpoint: no two of a State share it.
	//
	// While the target keeps the address, it stays: other addresses that come and go
	// are Alt, whichever is the better one.
	//
	// Two cases give a host name instead, for the dialler to resolve: a Static
	// address, as it was written, and a target that none of Resolver.Servers is
	// willing to resolve (all say REFUSED), "host.example.com.:8080". Its final dot
	// says that the name is absolute (RFC 2782), and keeps search lists away.
	Addr string
	// Alt holds the other addresses of the same target, best first, for diallers
	// that try them in turn (RFC 8305). It is often empty and never holds Addr.
	Alt []string
	// Target is the host name in the SRV record, in lower case with the final
	// dot, "a1.math.tcp.svc.": the name to verify a TLS certificate against, and
	// for logs. For a Static endpoint it is the host part as it was written.
	Target string
	// Priority and Weight are as published (RFC 2782): the lowest priority that
	// can be reached is used; within it, each endpoint gets a share in proportion
	// to its weight.
	Priority, Weight uint16
}

// State is what is known about a name. It is immutable and may be shared.
type State struct {
	// Endpoints is sorted by Priority, then Addr, and holds one for each usable
	// SRV record. Read only.
	Endpoints []Endpoint
	// Trust tells how far Endpoints can be believed: above all, whether one that is
	// no longer among them was taken away by somebody who knew.
	Trust Trust
	// Confirmed is when a server last vouched for Endpoints (or for their absence).
	// It is zero when no server ever answered.
	Confirmed time.Time
	// TTL is how long the answer may be used from Confirmed on, after clamping.
	TTL time.Duration
	// Err is why Endpoints are stale, when there are any: the last refresh failed,
	// and they are the last ones known. Without Endpoints it is why there are none;
	// then errors.Is tells ErrNoSuchName and ErrNotOffered, which a server has
	// said, from the failure to ask.
	Err error
}

// Trust tells on whose word a State stands.
type Trust uint8

const (
	// Unknown: the Source does not tell.
	Unknown Trust = iota
	// Confirmed: a server answered. What is no longer there was taken away.
	Confirmed
	// Shrunk: a server answered, and when asked again said the same, and more than
	// half of the endpoints are gone, or all. So does a registry speak that was
	// started without its memory: what works can go on being used. It ends when the
	// set has grown again, or is Confirmed after some minutes.
	Shrunk
	// Stale: nobody answered. Endpoints are the last ones known.
	Stale
	// Unanswered: nobody answered, and there are no endpoints, or they have become
	// too old (StaleFor). Nobody said that they are gone.
	Unanswered
)

func (t Trust) String() string {
	names := [...]string{"unknown", "confirmed", "shrunk", "stale", "unanswered"}
	if int(t) < len(names) {
		return names[t]
	}
	return "Trust(" + strconv.Itoa(int(t)) + ")"
}

// Source is where a client gets its endpoints from: a *Resolver, Static, or
// something of your own.
//
// Watch yields the current State first and then each newer one. It never waits
// for a slow reader, who sees only the latest, and ends with ctx or break.
type Source interface {
	Watch(ctx context.Context, name string) iter.Seq[State]
}

// arrange sorts eps by Priority, then Addr, and merges those that share an Addr.
//
// Records of two names for the same ip:port are one endpoint, or it would be
// dialled and counted twice. It keeps the better priority; within one priority
// the weights add up, so that its share is what RFC 2782 would give the two.
func arrange(eps []Endpoint) []Endpoint {
	slices.SortFunc(eps, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Addr, b.Addr),
			cmp.Compare(a.Target, b.Target), cmp.Compare(a.Weight, b.Weight))
	})
	at := make(map[string]int, len(eps)) // Addr -> index in out
	out := eps[:0]
	var last Endpoint // as published, before weights were added
	for i, ep := range eps {
		same := i > 0 && ep.Addr == last.Addr && ep.Target == last.Target && ep.Priority == last.Priority && ep.Weight == last.Weight
		last = ep
		j, known := at[ep.Addr]
		switch {
		case !known:
			at[ep.Addr] = len(out)
			out = append(out, ep)
		case !same && out[j].Priority == ep.Priority:
			out[j].Weight = uint16(min(uint32(out[j].Weight)+uint32(ep.Weight), math.MaxUint16))
		}
	}
	return out
}

// equal tells whether two endpoints are the same to those who dial and balance.
func (ep Endpoint) equal(o Endpoint) bool {
	return ep.Addr == o.Addr && ep.Target == o.Target && ep.Priority == o.Priority && ep.Weight == o.Weight && slices.Equal(ep.Alt, o.Alt)
}

// sameNews tells whether a watcher who saw s learns nothing from t: the time of
// confirmation and the TTL are no news.
func (s State) sameNews(t State) bool {
	if s.Trust != t.Trust || (s.Err == nil) != (t.Err == nil) || s.Err != nil && s.Err.Error() != t.Err.Error() {
		return false
	}
	return slices.EqualFunc(s.Endpoints, t.Endpoints, Endpoint.equal)
}
