package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// outcome is what one resolution of a name has come to.
type outcome struct {
	endpoints []Endpoint
	ttl       time.Duration
	server    string
	vouched   bool  // a server said so; false: nobody could be asked, see err
	err       error // why there are no endpoints
}

// memory is what one resolution of a name leaves for the next. Only one runs at
// a time.
type memory struct {
	tcp     bool            // the answer was too large for UDP: do not try UDP first
	scant   bool            // TCP brings no more glue than UDP: do not ask for it
	hosts   map[string]held // addresses of targets that came without glue
	leftOut string          // what was logged about records left out: it is logged once
}

// confirmAfter is the pause before an emptied set is asked for again, when there
// is no other server to confirm it: time for a server that is just loading its
// zone.
const confirmAfter = time.Second

// resolve asks for the endpoints of a name, of which the last known are given.
// An answer that takes away more than half of them is only believed when it is
// confirmed.
func (r *Resolver) resolve(ctx context.Context, name string, last []Endpoint, m *memory) outcome {
	servers, err := r.servers()
	if err != nil {
		return outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: err}}
	}
	out := r.resolveAt(ctx, name, servers, last, m)
	if out.vouched {
		r.prefer(out.server)
	}
	if !out.shrinks(last) {
		return out
	}
	r.log().Info("resolver: the set has shrunk, asking for confirmation", "name", name, "server", out.server, "endpoints", len(out.endpoints), "before", len(last), "error", out.err)
	if others := slices.DeleteFunc(slices.Clone(servers), func(s string) bool { return s == out.server }); len(others) > 0 {
		if second := r.resolveAt(ctx, name, others, last, m); second.vouched {
			if second.shrinks(last) && len(second.endpoints) <= len(out.endpoints) {
				return out
			}
			r.prefer(second.server) // it knew better
			return second
		}
	}
	select {
	case <-ctx.Done():
		return outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: context.Cause(ctx)}}
	case <-time.After(confirmAfter):
	}
	second := r.resolveAt(ctx, name, servers, last, m)
	if !second.vouched {
		doubt := out.err
		if doubt == nil {
			doubt = fmt.Errorf("%d endpoints where there were %d", len(out.endpoints), len(last))
		}
		second.err = fmt.Errorf("%w; unconfirmed before that: %w", second.err, doubt)
	}
	return second
}

// shrinks tells whether an answer takes away more than half of the last endpoints.
func (out outcome) shrinks(last []Endpoint) bool {
	return out.vouched && 2*len(out.endpoints) < len(last)
}

// resolveAt is one resolution at these servers.
func (r *Resolver) resolveAt(ctx context.Context, name string, servers []string, last []Endpoint, m *memory) outcome {
	q := question{name, typeSRV}
	ttl := r.maxTTL()
	for range maxAliases {
		rep, server, err := r.ask(ctx, q, servers, m.tcp)
		if err != nil {
			m.tcp = false // perhaps it was only TCP that failed
			return outcome{err: err}
		}
		if rep.tcp {
			m.tcp = rep.size > udpSize
		}
		switch rep.verdict(q) {
		case verdictAlias:
			ttl = min(ttl, r.clamp(rep.ttl))
			q.name = rep.alias
			continue
		case verdictNoName:
			return r.negative(name, rep, server, ErrNoSuchName)
		case verdictNoData:
			out := r.negative(name, rep, server, errNoData)
			if rep.lame(q) && len(last) > 0 {
				// Nobody with a say in the zone says so.
				out.vouched, out.err = false, &Error{Name: name, Type: typeSRV.String(), Server: server, Rcode: rep.rcodeText(), Err: errLame}
			}
			return out
		}
		out := r.endpoints(ctx, q, rep, server, last, m)
		out.ttl = min(out.ttl, ttl)
		return out
	}
	return outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: errEndless}}
}

// errNoData is ErrNoSuchName in other words.
var errNoData error = noData{}

type noData struct{}

func (noData) Error() string        { return "no SRV records" }
func (noData) Is(target error) bool { return target == ErrNoSuchName }

// negative is the outcome of NXDOMAIN and NODATA, kept as long as the SOA allows
// (RFC 2308 section 5); without a SOA, as short as possible.
func (r *Resolver) negative(name string, rep *reply, server string, err error) outcome {
	return outcome{
		ttl: r.clamp(rep.negativeTTL), server: server, vouched: true,
		err: &Error{Name: name, Type: typeSRV.String(), Server: server, Rcode: rep.rcodeText(), Err: err},
	}
}

// glueByTCP is how many targets without glue, among others with it, make it
// cheaper to ask again over TCP than to ask for the addresses of each: a server
// drops glue that does not fit without a word (RFC 2181 section 9).
const glueByTCP = 3

// endpoints makes the records of a reply dialable.
func (r *Resolver) endpoints(ctx context.Context, q question, rep *reply, server string, last []Endpoint, m *memory) outcome {
	without := rep.unglued()
	if !rep.tcp && !m.scant && len(without) >= glueByTCP && len(rep.glue) > 0 {
		if whole, err := r.exchange(ctx, server, q, true); err == nil && whole.verdict(q) == verdictData {
			if more := whole.unglued(); len(more) < len(without) {
				rep, without = whole, more
				m.tcp = rep.size > udpSize
			}
		}
		m.scant = !rep.tcp
	}
	if len(without) == 0 {
		m.scant = false
	}
	asm := assembly{r: r, q: q, prefer: preference{source: r.sourceOf()}, last: last, ttl: r.clamp(rep.ttl)}
	asm.hosts = r.hosts(ctx, without, server, m)
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

// unglued gives the usable targets whose addresses did not come along.
func (rep *reply) unglued() []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range rep.srvs {
		if s.port == 0 || !isHostName(s.target) || seen[s.target] {
			continue
		}
		seen[s.target] = true
		if _, ok := rep.glue[s.target]; ok {
			continue
		}
		if _, literal := literalTarget(s.target); literal {
			continue
		}
		out = append(out, s.target)
	}
	return out
}

// literalTarget understands "10.0.0.7.", which RFC 2782 does not allow and people
// write. No top-level domain is a number, so nothing else can be meant.
func literalTarget(target string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(target, "."))
	return a.Unmap(), err == nil
}

// assembly turns SRV records into endpoints, one by one: what is wrong with a
// record leaves out that record.
type assembly struct {
	r      *Resolver
	q      question
	prefer preference
	hosts  map[string]held
	last   []Endpoint

	eps     []Endpoint
	ttl     time.Duration
	absent  bool    // a record says "not offered"
	partial bool    // a target could not be resolved now: try again soon
	errs    []error // why records were left out
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
	if g, ok := glue[s.target]; ok {
		addrs = g.addrs
		a.ttl = min(a.ttl, a.r.clamp(g.ttl))
	} else if addr, ok := literalTarget(s.target); ok {
		addrs = []netip.Addr{addr}
	} else {
		h := a.hosts[s.target]
		if h.err != nil {
			a.unresolved(s, h)
			return
		}
		addrs = h.addrs
		a.ttl = min(a.ttl, max(h.until.Sub(h.now), a.r.minTTL()))
	}
	addrs = a.prefer.sort(addrs)
	if len(addrs) == 0 {
		a.leaveOut(s, errAddresses)
		return
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

// unresolved does what can be done for a target that could not be asked for.
func (a *assembly) unresolved(s srv, h held) {
	port := strconv.Itoa(int(s.port))
	if h.refused {
		// Our servers answer for the service and not for this host: one in a foreign
		// zone. Whoever dials can ask the system.
		a.eps = append(a.eps, Endpoint{
			Addr: net.JoinHostPort(strings.TrimSuffix(s.target, "."), port), Target: s.target,
			Priority: s.priority, Weight: s.weight,
		})
		return
	}
	a.partial = true
	for _, ep := range a.last { // its address cannot have changed so far as anybody knows
		if _, p, _ := net.SplitHostPort(ep.Addr); ep.Target == s.target && p == port {
			ep.Priority, ep.Weight = s.priority, s.weight
			a.eps = append(a.eps, ep)
			return
		}
	}
	a.leaveOut(s, h.err)
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
		if a.partial {
			a.ttl = a.r.minTTL()
		}
		return outcome{endpoints: arrange(a.eps), ttl: a.ttl, server: server, vouched: true}
	case a.absent && len(a.errs) == 0:
		e.Err = ErrNotOffered
		return outcome{ttl: a.ttl, server: server, vouched: true, err: e}
	}
	// Records, and none of use: nobody said that the service is gone.
	e.Err = &unusable{rep.records, a.errs}
	return outcome{server: server, err: e}
}

// unusable is the error of records none of which can be used.
type unusable struct {
	records int
	errs    []error
}

func (u *unusable) Error() string {
	return fmt.Sprintf("no usable record among %d: %s", u.records, u.list())
}

// list names the first few.
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
