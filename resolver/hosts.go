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
	// maxHosts bounds the targets without glue that are asked for in one resolution, at two
	// queries each. The others are asked for in the next one, when these are cached.
	maxHosts = 1000
	// maxAsking bounds the targets that are asked for at the same time.
	maxAsking = 32
	// otherFamily is how long the second address family is waited for after the first one
	// is there (RFC 8305 section 3: the resolution delay).
	otherFamily = 50 * time.Millisecond
	// stragglers is the part of Timeout after which silent targets are left for later,
	// counted from the last answer. It is enough for a datagram to be lost and sent again.
	stragglers = 2
)

// need is a target that came without addresses, or without those of one family.
type need struct {
	target string
	ask    [families]bool
	glued  bool                   // addresses of the other family came along
	last   [families][]netip.Addr // the addresses of its endpoints, the last time
}

// errand is one target that is being asked for.
type errand struct {
	need
	known *cached
	got   [families]answered
}

// answered is the outcome of one query for addresses: an error, addresses, or none.
type answered struct {
	asked bool
	addrs []netip.Addr
	until time.Time
	err   error
}

var (
	errTooMany   = fmt.Errorf("its address was not asked for: over %d targets without addresses in the answer", maxHosts)
	errStraggler = errors.New("its address did not come in time")
)

// hosts returns the addresses of targets that came without them: from the last
// resolution, or by asking, first of all the server that answered. atHand says that other
// targets already have addresses.
func (r *Resolver) hosts(ctx context.Context, needs []need, w way, server string, atHand bool, m *memory) map[string]*cached {
	now := time.Now()
	known := m.hosts
	m.hosts = make(map[string]*cached, len(needs))
	out := make(map[string]*cached, len(needs))
	var errands []*errand
	for _, n := range needs {
		h := known[n.target]
		if h == nil {
			h = new(cached)
			for i := range h {
				h[i] = family{addrs: n.last[i], until: now, renew: now}
			}
		}
		var ask [families]bool
		for i := range n.ask {
			ask[i] = n.ask[i] && h[i].due(now)
		}
		switch {
		case ask == [families]bool{}:
			atHand = atHand || len(h.addrs()) > 0
		case len(errands) == maxHosts:
			out[n.target] = &cached{{err: errTooMany}}
			continue
		default:
			n.ask = ask
			errands = append(errands, &errand{need: n, known: h})
		}
		out[n.target], m.hosts[n.target] = h, h
	}
	if len(errands) == 0 {
		return out
	}
	r.run(ctx, errands, w.first(server), atHand)
	r.confirm(ctx, errands, w, server)
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errStraggler) { // no caller sees the outcome, and no server has failed
		m.hosts = known
		return out
	}
	for _, e := range errands {
		for i := range e.got {
			r.keep(&e.known[i], &e.got[i], now)
		}
	}
	return out
}

// keep stores an answer or a failure. After each further failure the next query waits
// longer: one broken target must not cause queries for the whole set all the time.
func (r *Resolver) keep(f *family, a *answered, now time.Time) {
	switch {
	case !a.asked:
	case a.err == nil:
		*f = family{addrs: a.addrs, until: a.until, renew: now.Add(a.until.Sub(now) * refreshFrom / 100)}
	default:
		f.err = a.err
		f.failures++
		f.retry = now.Add(r.pause(f.failures, r.maxTTL()))
		if now.Sub(f.until) >= r.staleFor() {
			f.addrs = nil
		}
	}
}

// run asks for all targets, some at a time. It gives up those that are silent while others
// answer.
func (r *Resolver) run(ctx context.Context, errands []*errand, w way, atHand bool) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := w.timeout / stragglers
	giveUp := time.AfterFunc(patience, func() { cancel(errStraggler) })
	defer giveUp.Stop()
	if !atHand {
		giveUp.Stop()
	}
	turns := make(chan struct{}, maxAsking)
	var wg sync.WaitGroup
	for _, e := range errands {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			r.host(ctx, e, w)
			if len(e.got[v4].addrs)+len(e.got[v6].addrs) > 0 && ctx.Err() == nil {
				giveUp.Reset(patience)
			}
		})
	}
	wg.Wait()
}

// host asks for A and AAAA at the same time. One family is enough: some servers answer one
// and are silent or fail on the other, which is then soon given up.
func (r *Resolver) host(ctx context.Context, e *errand, w way) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	enough := time.AfterFunc(w.timeout/stragglers, func() { cancel(errStraggler) })
	defer enough.Stop()
	if len(e.known.addrs()) == 0 && !e.glued {
		enough.Stop() // there is no other address to use
	}
	var wg sync.WaitGroup
	for i := range e.ask {
		if !e.ask[i] {
			continue
		}
		wg.Go(func() {
			e.got[i] = r.addresses(ctx, question{e.target, familyTypes[i]}, w)
			if len(e.got[i].addrs) > 0 {
				enough.Reset(otherFamily)
			}
		})
	}
	wg.Wait()
}

// confirm asks again for targets that had addresses and now have none according to a
// server, as for a set that has become empty: it asks the other servers, or a moment
// later.
func (r *Resolver) confirm(ctx context.Context, errands []*errand, w way, server string) {
	var doubtful []*errand
	for _, e := range errands {
		if had := e.known.addrs(); !e.glued && len(had) > 0 && len(e.left()) == 0 {
			r.log().Info("resolver: a target has lost its addresses, asking for confirmation", "target", e.target, "before", had)
			doubtful = append(doubtful, e)
		}
	}
	others := w.without(server)
	for last := false; len(doubtful) > 0; last = true {
		if last {
			select {
			case <-ctx.Done():
				for _, e := range doubtful {
					e.fail(context.Cause(ctx))
				}
				return
			case <-time.After(r.confirmPause()):
			}
			others = w
		}
		again := make([]*errand, len(doubtful))
		for i, e := range doubtful {
			again[i] = &errand{need: e.need, known: e.known}
		}
		if len(others.servers) > 0 {
			r.run(ctx, again, others, true)
		}
		undecided := doubtful[:0]
		for i, e := range doubtful {
			for f := range e.got {
				if !again[i].got[f].asked || again[i].got[f].err != nil && !last {
					continue
				}
				e.got[f] = again[i].got[f]
			}
			if len(others.servers) == 0 || !again[i].decided() {
				undecided = append(undecided, e)
			}
		}
		if last {
			return
		}
		doubtful = undecided
	}
}

// left returns the addresses that the target has after the errand.
func (e *errand) left() []netip.Addr {
	var out []netip.Addr
	for i := range e.got {
		switch a := &e.got[i]; {
		case a.asked && a.err == nil:
			out = append(out, a.addrs...)
		default:
			out = append(out, e.known[i].addrs...)
		}
	}
	return out
}

// fail replaces the answers by an error.
func (e *errand) fail(err error) {
	for i := range e.got {
		if e.got[i].asked {
			e.got[i] = answered{asked: true, err: err}
		}
	}
}

// decided reports whether a server answered.
func (e *errand) decided() bool {
	for i := range e.got {
		if e.got[i].asked && e.got[i].err == nil {
			return true
		}
	}
	return false
}

// addresses asks for one family. It follows aliases, which RFC 2782 forbids for targets,
// but which exist.
func (r *Resolver) addresses(ctx context.Context, q question, w way) answered {
	begin := time.Now()
	ttl := r.maxTTL()
	for range maxAliases {
		rep, server, err := r.ask(ctx, q, w, false)
		if err != nil {
			return answered{asked: true, err: err}
		}
		switch rep.verdict(q) {
		case verdictAlias:
			ttl = min(ttl, r.clamp(rep.ttl))
			q.name = rep.alias
			continue
		case verdictNoName, verdictNoData:
			if rep.lame(q) && rep.verdict(q) == verdictNoData {
				return answered{asked: true, err: &Error{Name: q.name, Type: q.typ.String(), Server: server, Rcode: rep.rcodeText(), Err: errLame}}
			}
			return answered{asked: true, until: begin.Add(min(ttl, r.clamp(rep.negativeTTL)))}
		}
		return answered{asked: true, addrs: rep.addrs, until: begin.Add(min(ttl, r.clamp(rep.ttl)))}
	}
	return answered{asked: true, err: &Error{Name: q.name, Type: q.typ.String(), Err: errEndless}}
}
