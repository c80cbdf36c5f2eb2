package resolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// ask puts a question to the servers in turn until one gives a verdict on it: data, an
// alias, or that there is none. It returns that server, too.
//
// A lame answer counts only if no other server has a better one. So does one that is marked
// stale, which is better than a lame one. Each other server is asked once for that.
func (r *Resolver) ask(ctx context.Context, q question, w way, tcp bool) (rep *reply, server string, err error) {
	var failed tries
	var spare *reply // lame or stale
	var spareServer string
	for servers := w.servers; len(servers) > 0; {
		var silent []string
		for i, server := range servers {
			if ctx.Err() != nil {
				return nil, "", failure(q, failed, context.Cause(ctx))
			}
			rep, err := r.exchange(ctx, server, q, w, tcp)
			e := &Error{Name: q.name, Type: q.typ.String(), Server: server, Err: err}
			if err == nil {
				e.Err = rep.objection(q)
				e.Rcode = rep.rcodeText()
				rep.stale = rep.stale || server == w.stale
			}
			switch {
			case e.Err != nil:
			case !rep.lame(q) && !rep.seeksBetter(q, w) || i == len(servers)-1 && spare == nil:
				return rep, server, nil
			default:
				if spare == nil || spare.lame(q) && !rep.lame(q) {
					spare, spareServer = rep, server
				}
				if rep.stale {
					w = w.hasty(r)
				}
				r.log().Debug("resolver: an answer that is stale, or empty without SOA, asking the next", "name", q.name, "type", e.Type, "server", server, "stale", rep.stale)
				continue
			}
			if errors.As(e.Err, new(*timeoutError)) {
				silent = append(silent, server)
			}
			if i := slices.IndexFunc(failed, func(f *Error) bool { return f.Server == server }); i >= 0 {
				failed[i] = e
			} else {
				failed = append(failed, e)
			}
			if len(servers) > 1 && ctx.Err() == nil {
				r.log().Debug("resolver: server failed, asking the next", "name", q.name, "type", e.Type, "server", server, "error", e.cause())
			}
		}
		if spare != nil {
			return spare, spareServer, nil
		}
		if w.attempts--; w.attempts <= 0 {
			break
		}
		servers, w.eager = silent, true
	}
	return nil, "", failure(q, failed, context.Cause(ctx))
}

// failure makes one error of the errors of all servers.
func failure(q question, failed tries, cause error) error {
	e := &Error{Name: q.name, Type: q.typ.String(), Err: cause}
	if len(failed) == 0 {
		return e
	}
	if cause != nil && !errors.Is(failed, cause) {
		failed = append(failed, e)
	}
	if len(failed) == 1 {
		return failed[0]
	}
	return &Error{Name: e.Name, Type: e.Type, Err: failed}
}

var (
	errOldEDNS  = errors.New("the server does not understand the query")
	errRefused  = errors.New("the server refuses to answer: it does not serve this zone")
	errFailed   = errors.New("the server failed")
	errReferral = errors.New("referred to other servers: neither a recursive server nor one of this zone")
	errLame     = errors.New("an empty answer without SOA, by a server without authority: not believed")
	errEndless  = fmt.Errorf("a chain of more than %d aliases", maxAliases)
)

// refusedBoth is the error of a server whose host refuses both transports.
type refusedBoth struct{}

func (refusedBoth) Error() string {
	return "connection refused over UDP and TCP: is dnsd running there?"
}
func (refusedBoth) Unwrap() error { return syscall.ECONNREFUSED }

// objection is why the next server must be asked. It is nil for a verdict.
func (rep *reply) objection(q question) error {
	switch rep.verdict(q) {
	case verdictOldEDNS:
		return errOldEDNS
	case verdictRefused:
		return errRefused
	case verdictFailed:
		return errFailed
	case verdictReferral:
		return errReferral
	case verdictEndless:
		return errEndless
	}
	return nil
}
