package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// glueByTCP is the number of targets without glue, among others with glue, from which on
// one query over TCP is cheaper than a query for each address. A server drops glue that
// does not fit without any sign (RFC 2181 section 9).
const glueByTCP = 3

// endpoints makes the records of a reply dialable.
func (r *Resolver) endpoints(ctx context.Context, q question, rep *reply, w way, server string, last []Endpoint, m *memory) outcome {
	before := endpointsBefore(last)
	r.bound(q, rep, m)
	without := rep.needs(before)
	if !rep.tcp && !m.scant && len(without) >= glueByTCP && len(rep.glue) > 0 {
		if whole, err := r.exchange(ctx, server, q, w, true); err == nil && whole.verdict(q) == verdictData {
			r.bound(q, whole, m)
			if more := whole.needs(before); len(more) < len(without) {
				rep, without = whole, more
				m.tcp = rep.size > udpSize
			}
		}
		m.scant = !rep.tcp
	}
	if len(without) == 0 {
		m.scant = false
	}
	asm := assembly{r: r, q: q, prefer: preference{source: r.sourceOf()}, before: before, now: time.Now(), ttl: r.clamp(rep.ttl)}
	asm.hosts = r.hosts(ctx, without, w, server, len(rep.glue) > 0, m)
	for _, s := range rep.srvs {
		asm.add(s, rep.glue)
	}
	out := asm.outcome(rep, server)
	left := ""
	if len(asm.errs) > 0 {
		left = (&unusable{rep.records, asm.errs}).list()
	}
	if left != m.leftOut && left != "" {
		r.log().Warn("resolver: SRV records left out", "name", q.name, "server", server, "records", left)
	}
	m.leftOut = left
	return out
}

// bound leaves out the records of a reply above MaxEndpoints. Of the worst priority that
// is used, the records are chosen at random: others in each Resolver, and the same ones at
// each refresh.
func (r *Resolver) bound(q question, rep *reply, m *memory) {
	most := r.maxEndpoints()
	cut := max(0, len(rep.srvs)-most)
	if cut > 0 {
		if m.seed == (maphash.Seed{}) {
			m.seed = maphash.MakeSeed()
		}
		slices.SortFunc(rep.srvs, func(a, b srv) int {
			return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.rank(m.seed), b.rank(m.seed)),
				cmp.Compare(a.target, b.target), cmp.Compare(a.port, b.port))
		})
		rep.srvs = rep.srvs[:most]
	}
	if cut > 0 && m.cut == 0 {
		r.log().Warn("resolver: more SRV records than MaxEndpoints, the rest is not used", "name", q.name, "records", most+cut, "used", most)
	}
	m.cut = cut
}

// rank is a random number for a record, always the same with one seed.
func (s srv) rank(seed maphash.Seed) uint64 {
	return maphash.Comparable(seed, srv{port: s.port, target: s.target})
}

// place is the target and the port of an SRV record.
type place struct {
	target string
	port   uint16
}

// before is the addresses of the last endpoints.
type before struct {
	addr  map[place]netip.Addr              // Endpoint.Addr, unless that is a name
	addrs map[string][families][]netip.Addr // of each target
}

func endpointsBefore(last []Endpoint) before {
	b := before{make(map[place]netip.Addr, len(last)), make(map[string][families][]netip.Addr, len(last))}
	for _, ep := range last {
		for i, addr := range append([]string{ep.Addr}, ep.Alt...) {
			ap, err := netip.ParseAddrPort(addr)
			if err != nil {
				continue
			}
			if i == 0 {
				b.addr[place{ep.Target, ap.Port()}] = ap.Addr()
			}
			all, f := b.addrs[ep.Target], familyOf(ap.Addr())
			if !slices.Contains(all[f], ap.Addr()) {
				all[f] = append(all[f], ap.Addr())
				b.addrs[ep.Target] = all
			}
		}
	}
	return b
}

// needs returns the usable targets that came without addresses, or with addresses of one
// family when they had two before: the server may have dropped what does not fit.
func (rep *reply) needs(b before) []need {
	var out []need
	seen := map[string]bool{}
	for _, s := range rep.srvs {
		if s.port == 0 || !isHostName(s.target) || seen[s.target] {
			continue
		}
		seen[s.target] = true
		if _, literal := literalTarget(s.target); literal {
			continue
		}
		n := need{target: s.target, ask: [families]bool{true, true}, last: b.addrs[s.target]}
		if g, ok := rep.glue[s.target]; ok {
			n.glued = true
			for i := range n.ask {
				n.ask[i] = !rep.exact && len(n.last[i]) > 0 && !slices.ContainsFunc(g.addrs, func(a netip.Addr) bool { return familyOf(a) == i })
			}
		}
		if n.ask != [families]bool{} {
			out = append(out, n)
		}
	}
	return out
}

// literalTarget reads "10.0.0.7.", which RFC 2782 does not allow but people write. No
// top-level domain is a number, so it cannot be a name.
func literalTarget(target string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(target, "."))
	return a.Unmap(), err == nil
}

// assembly turns SRV records into endpoints, one by one. A record that is wrong is left
// out alone.
type assembly struct {
	r      *Resolver
	q      question
	prefer preference
	hosts  map[string]*cached
	before before
	now    time.Time

	eps    []Endpoint
	ttl    time.Duration
	look   time.Duration // of the addresses that did not come along: when the first must be asked for again; 0: none
	absent bool          // a record has the target "."
	again  time.Duration // when a target that could not be resolved may be tried again; 0: none
	errs   []error       // why records were left out
}

func (a *assembly) leaveOut(s srv, why error) {
	a.errs = append(a.errs, fmt.Errorf("%s port %d: %w", s.target, s.port, why))
}

var (
	errRoot      = errors.New(`target "." beside other records`)
	errPort      = errors.New("port 0")
	errHostName  = errors.New("the target is no host name")
	errAddresses = errors.New("the target has no usable address")
)

func (a *assembly) add(s srv, glue map[string]host) {
	switch {
	case s.target == ".":
		a.absent = true
		return
	case s.port == 0:
		a.leaveOut(s, errPort)
		return
	case !isHostName(s.target):
		a.leaveOut(s, errHostName)
		return
	}
	var addrs []netip.Addr
	if addr, ok := literalTarget(s.target); ok {
		addrs = append(addrs, addr)
	}
	if g, ok := glue[s.target]; ok {
		addrs = append(addrs, g.addrs...)
		a.ttl = min(a.ttl, a.r.clamp(g.ttl))
	}
	if h := a.hosts[s.target]; h != nil {
		if len(addrs) == 0 && len(h.addrs()) == 0 {
			if again, err := h.failed(); err != nil {
				a.unresolved(s, h, err, again)
				return
			}
		}
		addrs = append(addrs, h.addrs()...)
		for i := range h {
			if left := h[i].until.Sub(a.now); left > 0 && (len(h[i].addrs) > 0 || len(addrs) == 0) {
				left = max(left, a.r.minTTL())
				a.ttl = min(a.ttl, left)
				a.lookAgain(left)
			}
		}
	}
	addrs = a.prefer.sort(addrs)
	if len(addrs) == 0 {
		a.leaveOut(s, errAddresses)
		return
	}
	// The identity stays the same while it is one of the addresses.
	if i := slices.Index(addrs, a.before.addr[place{s.target, s.port}]); i > 0 {
		stays := addrs[i]
		addrs = slices.Insert(slices.Delete(addrs, i, i+1), 0, stays)
	}
	ep := Endpoint{Target: s.target, Priority: s.priority, Weight: s.weight}
	for i, addr := range addrs {
		hostport := netip.AddrPortFrom(addr, s.port).String()
		if i == 0 {
			ep.Addr = hostport
		} else {
			ep.Alt = append(ep.Alt, hostport)
		}
	}
	a.eps = append(a.eps, ep)
}

// lookAgain notes that the addresses of a target must be asked for again after a time.
func (a *assembly) lookAgain(after time.Duration) {
	if a.look == 0 || after < a.look {
		a.look = after
	}
}

// unresolved handles a target whose addresses could not be found.
func (a *assembly) unresolved(s srv, h *cached, err error, again time.Time) {
	wait := max(again.Sub(a.now), a.r.minTTL())
	a.lookAgain(wait)
	if h.refused() {
		// Our servers answer for the service but not for this host, which is in a foreign
		// zone. The dialler can ask the system for the name, which is absolute.
		a.eps = append(a.eps, Endpoint{
			Addr: net.JoinHostPort(s.target, strconv.Itoa(int(s.port))), Target: s.target,
			Priority: s.priority, Weight: s.weight,
		})
		return
	}
	if a.again == 0 || wait < a.again {
		a.again = wait
	}
	a.leaveOut(s, err)
}

func (a *assembly) outcome(rep *reply, server string) outcome {
	e := &Error{Name: a.q.name, Type: typeSRV.String(), Server: server, Rcode: rep.rcodeText()}
	if rep.bad > 0 {
		a.errs = append(a.errs, fmt.Errorf("%d malformed", rep.bad))
	}
	switch {
	case len(a.eps) > 0:
		if a.absent {
			a.leaveOut(srv{target: "."}, errRoot)
		}
		return outcome{endpoints: arrange(a.eps), ttl: a.ttl, look: a.look, again: a.again, server: server, vouched: true}
	case a.absent && len(a.errs) == 0:
		e.Err = ErrNotOffered
		return outcome{ttl: a.ttl, server: server, vouched: true, err: e}
	}
	// No record can be used, but no server has said that the service is gone.
	e.Err = &unusable{rep.records, a.errs}
	return outcome{server: server, err: e}
}

// unusable is the error of an answer without a record that can be used.
type unusable struct {
	records int
	errs    []error
}

func (u *unusable) Error() string {
	return fmt.Sprintf("no usable record among %d: %s", u.records, u.list())
}

// list names the first few mistakes.
func (u *unusable) list() string {
	const most = 3
	parts := make([]string, 0, most+1)
	for i, err := range u.errs {
		if i == most {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, err.Error())
	}
	return strings.Join(parts, ", ")
}

func (u *unusable) Unwrap() []error { return u.errs }
