package resolver

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"
)

// outcome is the result of one resolution of a name.
type outcome struct {
	endpoints []Endpoint
	ttl       time.Duration
	look      time.Duration // after this, addresses that did not come along must be asked for again; 0: all came along
	again     time.Duration // after this, a part that failed may be asked for again; 0: nothing failed
	server    string
	aliased   bool  // the server has the name under another one
	cached    bool  // the server has no authority for the name: the answer may be some time old
	stale     bool  // the server says that it may have missed changes
	meant     bool  // the server told each removal as it happened
	vouched   bool  // it is the answer of a server; false: no server answered, see err
	err       error // why there are no endpoints
}

// memory is what one resolution of a name leaves for the next. Only one runs at a time.
type memory struct {
	failures int // since the last answer

	search  time.Time          // before this, a stale answer is taken without asking the other servers
	tcp     bool               // the answer was too large for UDP: do not try UDP first
	scant   bool               // TCP brings no more glue than UDP: do not ask for it
	hosts   map[string]*cached // the targets that came without glue, or with a part of it
	leftOut string             // the last log line on records left out, which is not repeated
	cut     int                // how many records were above MaxEndpoints, the last time
	seed    maphash.Seed       // of the random choice of those below
}

// confirmAfter is the shortest pause before a set that has shrunk is asked for again, if
// there is no other server to confirm it. It gives time to a server that is just loading
// its zone. The pause lasts up to twice as long, because a thousand clients see the set
// shrink at the same moment.
const confirmAfter = time.Second

func (r *Resolver) confirmPause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spreadLocked(confirmAfter, 2*confirmAfter)
}

// resolve asks for the endpoints of a name. last is the ones known before. An answer
// that takes away more than half of these is believed only after confirmation. staleServer
// has said in a session that it is stale; "": there is none.
func (r *Resolver) resolve(ctx context.Context, name, staleServer string, last []Endpoint, m *memory) outcome {
	w, err := r.way()
	if err != nil {
		return outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: err}}
	}
	w = w.besideStale(staleServer, time.Now().Before(m.search))
	out := r.resolveAt(ctx, name, w, last, m)
	switch {
	case out.vouched && !out.stale:
		r.prefer(out.server)
	case out.vouched && !w.settle:
		m.search = time.Now().Add(out.ttl * refreshFrom / 100)
	}
	if !out.shrinks(last) {
		return out
	}
	r.log().Info("resolver: the set has shrunk, asking for confirmation", "name", name, "server", out.server, "endpoints", len(out.endpoints), "before", len(last), "error", out.err)
	if others := w.without(out.server); len(others.servers) > 0 {
		switch second := r.resolveAt(ctx, name, others, last, m); {
		case !second.vouched:
		case second.shrinks(last) && len(second.endpoints) <= len(out.endpoints):
			return out
		case second.stale && !out.stale: // it may have missed why the set has shrunk
			w = w.first(out.server)
		default:
			r.prefer(second.server) // it has the whole set
			return second
		}
	}
	select {
	case <-ctx.Done():
		return outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: context.Cause(ctx)}}
	case <-time.After(r.confirmPause()):
	}
	second := r.resolveAt(ctx, name, w, last, m)
	if !second.vouched {
		doubt := out.err
		if doubt == nil {
			doubt = fmt.Errorf("%d endpoints where there were %d", len(out.endpoints), len(last))
		}
		second.err = fmt.Errorf("%w; unconfirmed before that: %w", second.err, doubt)
	}
	return second
}

// shrinks reports whether an answer takes away more than half of the last endpoints.
func (out outcome) shrinks(last []Endpoint) bool {
	return out.vouched && 2*len(out.endpoints) < len(last)
}

// resolveAt is one resolution by the servers of w.
func (r *Resolver) resolveAt(ctx context.Context, name string, w way, last []Endpoint, m *memory) outcome {
	q := question{name, typeSRV}
	ttl := r.maxTTL()
	for range maxAliases {
		try := w
		if m.failures >= lightAfter {
			try = w.light()
		}
		rep, server, err := r.ask(ctx, q, try, m.tcp)
		if err != nil {
			m.tcp = false // perhaps only TCP failed
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
			out := r.negative(name, rep, server, &noName{name, w.system})
			out.cached, out.stale = !rep.aa, rep.stale
			return out
		case verdictNoData:
			out := r.negative(name, rep, server, errNoData)
			out.cached, out.stale = !rep.aa, rep.stale
			if rep.lame(q) && len(last) > 0 {
				// No server with authority for the zone has said so.
				out.vouched, out.err = false, &Error{Name: name, Type: typeSRV.String(), Server: server, Rcode: rep.rcodeText(), Err: errLame}
			}
			return out
		}
		out := r.endpoints(ctx, q, rep, w, server, last, m)
		out.ttl, out.aliased, out.cached, out.stale = min(out.ttl, ttl), q.name != name || rep.alias != name, !rep.aa, rep.stale
		return out
	}
	return outcome{err: &Error{Name: name, Type: typeSRV.String(), Err: errEndless}}
}

// noName is ErrNoSuchName with advice.
type noName struct {
	name   string
	system bool
}

func (e *noName) Error() string {
	text := ErrNoSuchName.Error() + ": no instance is registered under it"
	if why := serviceMistake(e.name); why != "" {
		return text + "; " + why
	}
	if e.system {
		text += ", or the servers of this machine do not know dnsd: name it by Servers or " + envServers
	}
	return text
}

func (e *noName) Is(target error) bool { return target == ErrNoSuchName }

// errNoData is ErrNoSuchName for a name that has other records.
var errNoData error = noData{}

type noData struct{}

func (noData) Error() string        { return "no SRV records" }
func (noData) Is(target error) bool { return target == ErrNoSuchName }

// negative is the outcome of NXDOMAIN and NODATA. It is kept as long as the SOA allows
// (RFC 2308 section 5), and without a SOA for MinTTL.
func (r *Resolver) negative(name string, rep *reply, server string, err error) outcome {
	return outcome{
		ttl: r.clamp(rep.negativeTTL), server: server, vouched: true,
		err: &Error{Name: name, Type: typeSRV.String(), Server: server, Rcode: rep.rcodeText(), Err: err},
	}
}
