package rpcclient

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// roster decides which endpoints are used: those that the Source lists, and for a while
// those that it no longer lists but that work. "Which nodes" in the package comment has
// the rule. It is pure: it gets the time and a function that says which nodes are up.
type roster struct {
	linger time.Duration
	listed []resolver.Endpoint
	kept   map[string]kept // by address; none is listed
	absent time.Time       // since when a server says that there is no endpoint; zero: it does not
	had    bool            // there was an endpoint once
}

// kept is an endpoint that is used without being listed, while it is up.
type kept struct {
	ep      resolver.Endpoint
	until   time.Time // zero: until a server answers
	reserve bool      // used only while no listed endpoint is up, because enough are listed
}

// take takes a new state of the Source.
func (r *roster) take(s *resolver.State, now time.Time, up func(addr string) bool) {
	before := slices.Clone(r.listed) // what the last answer listed
	for _, k := range r.kept {
		if k.until.IsZero() {
			before = append(before, k.ep)
		}
	}
	if r.kept == nil {
		r.kept = make(map[string]kept)
	}
	answered := s.Trust == resolver.Confirmed || s.Trust == resolver.Shrunk ||
		s.Trust == resolver.Unknown && (s.Err == nil || definite(s.Err))
	switch {
	case len(s.Endpoints) > 0:
		r.had, r.absent = true, time.Time{}
	case !answered:
		r.absent = time.Time{}
	case r.absent.IsZero():
		r.absent = now
	}
	r.listed = s.Endpoints
	is := make(map[string]bool, len(r.listed))
	for _, ep := range r.listed {
		is[ep.Addr] = true
		delete(r.kept, ep.Addr)
	}
	if len(r.listed) == 0 && (errors.Is(s.Err, resolver.ErrNotOffered) || s.Trust == resolver.Confirmed) {
		clear(r.kept) // the server says so explicitly
		return
	}
	if !answered && len(r.listed) == 0 {
		for addr, k := range r.kept {
			k.until = time.Time{} // the last answer may have been one of a dying server
			r.kept[addr] = k
		}
	}
	// Too few are listed to take over the load of the others.
	few := s.Trust == resolver.Shrunk || s.Trust == resolver.Unknown && len(r.listed) < (len(before)+1)/2
	for _, ep := range before {
		if is[ep.Addr] || !up(ep.Addr) {
			continue
		}
		k := kept{ep: ep}
		if answered || len(r.listed) > 0 {
			k.until, k.reserve = now.Add(r.linger), !few
		}
		r.kept[ep.Addr] = k
	}
}

// prune drops kept endpoints whose time is over, or that are not up.
func (r *roster) prune(now time.Time, up func(addr string) bool) {
	works := slices.ContainsFunc(r.listed, func(ep resolver.Endpoint) bool { return up(ep.Addr) })
	for addr, k := range r.kept {
		if !up(addr) || k.reserve && works || !k.until.IsZero() && !now.Before(k.until) {
			delete(r.kept, addr)
		}
	}
}

// endpoints returns the endpoints to use. Those in reserve have the last priority.
func (r *roster) endpoints() []resolver.Endpoint {
	if len(r.kept) == 0 {
		return r.listed
	}
	out := slices.Clone(r.listed)
	for _, k := range r.kept {
		if k.reserve {
			k.ep.Priority = math.MaxUint16
		}
		out = append(out, k.ep)
	}
	slices.SortFunc(out, func(a, b resolver.Endpoint) int { return strings.Compare(a.Addr, b.Addr) })
	return out
}

// words says of each endpoint why it is in use, for the log.
func (r *roster) words() map[string]string {
	out := make(map[string]string, len(r.listed)+len(r.kept))
	for _, ep := range r.listed {
		out[ep.Addr] = "is announced"
	}
	for addr := range r.kept {
		out[addr] = "is no longer announced, and kept while it works"
	}
	return out
}

// hopeless tells that a call need not wait for a node. A server says that there is no such
// service, and there never was one, or it has been gone for longer than a registry needs
// to learn again which instances live.
func (r *roster) hopeless(now time.Time) bool {
	return !r.absent.IsZero() && len(r.kept) == 0 && (!r.had || !now.Before(r.absent.Add(r.linger)))
}

// next returns when the next change is due without a new state; zero: never.
func (r *roster) next(now time.Time) time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, k := range r.kept {
		sooner(k.until)
	}
	if !r.absent.IsZero() {
		sooner(r.absent.Add(r.linger))
	}
	return at
}
