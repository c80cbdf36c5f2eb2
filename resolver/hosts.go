package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxHosts bounds the targets without glue that are asked for in one
	// resolution, at two queries each; the rest waits for the next, when these are
	// remembered.
	maxHosts = 1000
	// maxAsking bounds those asked for at once.
	maxAsking = 32
)

// held is the addresses of a target as we hold them: until their TTL ends.
type held struct {
	addrs   []netip.Addr // none, without err: the host has none, or does not exist
	now     time.Time    // of this resolution
	until   time.Time
	err     error // could not be asked for
	refused bool  // because every server refused
}

var errTooMany = fmt.Errorf("its address was not asked for: over %d targets without addresses in the answer", maxHosts)

// hosts gives the addresses of targets that came without them: remembered from
// the last resolution, or asked for, first of all the server that answered.
func (r *Resolver) hosts(ctx context.Context, targets []string, server string, m *memory) map[string]held {
	now := time.Now()
	known := m.hosts
	m.hosts = make(map[string]held, len(targets))
	if len(targets) == 0 {
		return nil
	}
	out := make(map[string]held, len(targets))
	var missing []string
	for _, t := range targets {
		h, ok := known[t]
		switch {
		case ok && h.until.After(now):
			h.now = now
			out[t], m.hosts[t] = h, h
		case len(missing) == maxHosts:
			out[t] = held{err: errTooMany}
		default:
			missing = append(missing, t)
		}
	}
	servers, err := r.servers()
	if err != nil {
		for _, t := range missing {
			out[t] = held{err: err}
		}
		return out
	}
	servers = first(servers, server)

	answers := make([]held, len(missing))
	turns := make(chan struct{}, maxAsking)
	var wg sync.WaitGroup
	for i, t := range missing {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			answers[i] = r.host(ctx, t, servers, now)
		})
	}
	wg.Wait()
	for i, t := range missing {
		h := answers[i]
		out[t] = h
		if h.err == nil {
			m.hosts[t] = h
		}
	}
	return out
}

func first(servers []string, server string) []string {
	out := make([]string, 0, len(servers))
	out = append(out, server)
	for _, s := range servers {
		if s != server {
			out = append(out, s)
		}
	}
	return out
}

// host asks for A and AAAA at once. One family is enough: some servers answer
// one and fail on the other.
func (r *Resolver) host(ctx context.Context, target string, servers []string, now time.Time) held {
	var families [2]held
	var wg sync.WaitGroup
	for i, typ := range []qtype{typeA, typeAAAA} {
		wg.Go(func() { families[i] = r.addresses(ctx, question{target, typ}, servers, now) })
	}
	wg.Wait()
	a, aaaa := families[0], families[1]
	switch {
	case len(a.addrs) > 0 && len(aaaa.addrs) > 0:
		a.addrs = append(a.addrs, aaaa.addrs...)
		if aaaa.until.Before(a.until) {
			a.until = aaaa.until
		}
		return a
	case len(a.addrs) > 0:
		return a
	case len(aaaa.addrs) > 0:
		return aaaa
	case a.err != nil:
		return a
	}
	return aaaa
}

// addresses asks for one family, following aliases (which RFC 2782 forbids for
// targets, and which are found).
func (r *Resolver) addresses(ctx context.Context, q question, servers []string, now time.Time) held {
	h := held{now: now}
	ttl := r.maxTTL()
	for range maxAliases {
		rep, _, err := r.ask(ctx, q, servers, false)
		if err != nil {
			h.err, h.refused = err, allRefused(err)
			return h
		}
		switch rep.verdict(q) {
		case verdictAlias:
			ttl = min(ttl, r.clamp(rep.ttl))
			q.name = rep.alias
			continue
		case verdictNoName, verdictNoData:
			h.until = now.Add(min(ttl, r.clamp(rep.negativeTTL)))
			return h
		}
		h.addrs = rep.addrs
		h.until = now.Add(min(ttl, r.clamp(rep.ttl)))
		return h
	}
	h.err = &Error{Name: q.name, Type: q.typ.String(), Err: errEndless}
	return h
}

// allRefused tells whether every server refused, and none was silent or broken.
func allRefused(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	var several tries
	if !errors.As(e.Err, &several) {
		several = tries{e}
	}
	for _, e := range several {
		if e.Err != errRefused {
			return false
		}
	}
	return true
}
