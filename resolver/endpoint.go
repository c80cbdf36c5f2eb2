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
	// Addr stays the same while the target has this address, even if the target gets a
	// better one: that one is in Alt.
	//
	// In two cases it is a host name instead, which the dialler resolves: a Static
	// address, as it was written, and a target that none of Resolver.Servers is willing
	// to resolve (all answer REFUSED), "host.example.com.:8080". The final dot makes the
	// name absolute (RFC 2782), so that no search list is applied.
	Addr string
	// Alt holds the other addresses of the same target, best first, for diallers
	// that try them in turn (RFC 8305). It is often empty and never holds Addr.
	Alt []string
	// Target is the host name in the SRV record, in lower case with the final
	// dot, "a1.math.tcp.svc.". It is the name to verify a TLS certificate against, and
	// to log. For a Static endpoint it is the host part as it was written.
	Target string
	// Priority and Weight are as published (RFC 2782): the endpoints of the lowest
	// priority that can be reached are used, each with a share in proportion to its
	// weight.
	Priority, Weight uint16
}

// State is what is known about a name. It is immutable and may be shared.
type State struct {
	// Endpoints is sorted by Priority, then Addr, and holds one for each usable
	// SRV record. Read only.
	Endpoints []Endpoint
	// Trust tells how far Endpoints can be believed: above all, whether a server has said
	// that an endpoint which is no longer among them is gone.
	Trust Trust
	// Confirmed is when a server last confirmed Endpoints, or their absence. It is zero
	// if no server has ever answered.
	Confirmed time.Time
	// TTL is how long the answer may be used from Confirmed on, after clamping.
	TTL time.Duration
	// Err, with Endpoints, is why these are stale: the last refresh failed, and they are
	// the last ones known. Without Endpoints it is why there are none. Then errors.Is
	// tells ErrNoSuchName and ErrNotOffered, which are answers of a server, from a
	// failure to ask.
	Err error
}

// Trust says where the Endpoints of a State come from, and how far to believe them.
type Trust uint8

const (
	// Unknown means that the Source does not say.
	Unknown Trust = iota
	// Confirmed means that a server answered. Endpoints that are no longer there are gone. It is
	// also Confirmed when all servers that answer say that they are stale.
	Confirmed
	// Shrunk means that a server has answered twice that more than half of the endpoints
	// are gone, or all. A registry that was started without its memory answers so, too:
	// connections that work can go on being used. Shrunk ends when the set has grown
	// again, or after some minutes, when the set is Confirmed.
	Shrunk
	// Stale means that no server answered. Endpoints are the last ones known.
	Stale
	// Unanswered means that no server answered, and that there are no endpoints, or they
	// have become too old (StaleFor). No server has said that they are gone.
	Unanswered
)

// String returns the trust in one lower-case word.
func (t Trust) String() string {
	names := [...]string{"unknown", "confirmed", "shrunk", "stale", "unanswered"}
	if int(t) < len(names) {
		return names[t]
	}
	return "Trust(" + strconv.Itoa(int(t)) + ")"
}

// Source is where a client gets its endpoints from: a *Resolver, Static, or a custom
// type.
//
// Watch yields the current State first and then each newer one. It never waits for a
// slow reader, which sees only the latest. It ends with ctx or break.
type Source interface {
	Watch(ctx context.Context, name string) iter.Seq[State]
}

// arrange sorts eps by Priority, then Addr, and merges those that share an Addr.
//
// Records of two names for the same ip:port are one endpoint, since two would be dialled
// and counted twice. It has the better priority. Within one priority the weights add up,
// so that its share is what RFC 2782 would give the two.
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

// equal reports whether two endpoints are equal in all fields.
func (ep Endpoint) equal(o Endpoint) bool {
	return ep.Addr == o.Addr && ep.Target == o.Target && ep.Priority == o.Priority && ep.Weight == o.Weight && slices.Equal(ep.Alt, o.Alt)
}

// sameNews reports whether a watcher that saw s learns nothing from t: the time of
// confirmation and the TTL are no news.
func (s State) sameNews(t State) bool {
	if s.Trust != t.Trust || (s.Err == nil) != (t.Err == nil) || s.Err != nil && s.Err.Error() != t.Err.Error() {
		return false
	}
	return slices.EqualFunc(s.Endpoints, t.Endpoints, Endpoint.equal)
}
