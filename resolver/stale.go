package resolver

import (
	"encoding/binary"
	"iter"
	"time"

	"github.com/miekg/dns"
)

// extendedErrors yields the Extended DNS Errors (RFC 8914) among the options of EDNS (RFC 6891
// section 6.1.2): the code and the text. It ends at an option that is longer than the rest.
func extendedErrors(options []byte) iter.Seq2[uint16, string] {
	return func(yield func(uint16, string) bool) {
		for len(options) >= 4 {
			code, size := binary.BigEndian.Uint16(options), int(binary.BigEndian.Uint16(options[2:]))
			rest := options[4:]
			if size > len(rest) {
				return
			}
			data := rest[:size]
			options = rest[size:]
			if code == dns.EDNS0EDE && size >= 2 && !yield(binary.BigEndian.Uint16(data), string(data[2:])) {
				return
			}
		}
	}
}

// markedStale reports whether the server says that the answer is stale (RFC 8914 sections 4.4
// and 4.20). dnsd does so while it is cut off from the store that it shares with others.
func markedStale(options []byte) bool {
	for code := range extendedErrors(options) {
		if code == dns.ExtendedErrorCodeStaleAnswer || code == dns.ExtendedErrorCodeStaleNXDOMAINAnswer {
			return true
		}
	}
	return false
}

// seeksBetter reports whether other servers are to be asked because the answer is stale. Of
// addresses it does not matter: they are asked for where the SRV records came from.
func (rep *reply) seeksBetter(q question, w way) bool {
	return rep.stale && q.typ == typeSRV && !w.settle
}

// hasty is the way to look for a better answer than one that is there: a server that is silent
// must not keep that one from a caller for long.
func (w way) hasty(r *Resolver) way {
	w.timeout, w.once = min(w.timeout, r.timeout()/4), true
	return w
}

// besideStale is the way for a name that a stale server tells; "": none does. That server is
// asked first, so that its answer is used if all are stale: otherwise the sets of two stale
// servers could alternate.
func (w way) besideStale(server string, settle bool) way {
	w.settle = settle
	if server != "" && len(w.without(server).servers) < len(w.servers) {
		w = w.first(server)
		w.stale = server
	}
	return w
}

// staleServer is the server of the session if it says that it is stale. One that was
// discovered answers no questions.
func (f *follow) staleServer() string {
	if !f.stale || f.found {
		return ""
	}
	return f.session.server.address
}

// seekBetterLocked has a name asked for soon, since its session is stale, at a random moment
// as after a loss. It does so once in a TTL: a server that is stale by turns must not be a
// reason for ever more questions.
func (r *Resolver) seekBetterLocked(e *entry) {
	now := time.Now()
	if !e.push.sought.IsZero() && now.Sub(e.push.sought) < e.state.TTL {
		return
	}
	e.push.sought = now
	e.wait = min(e.wait, r.spreadLocked(0, lostSpread))
	e.wake()
}

// staleAlone is how long no session is begun with a server that was left because it was stale:
// otherwise names could go to and fro between servers that are stale in their sessions only.
const staleAlone = time.Minute

// leaveStaleLocked ends the following of a name in a session that is stale, after another
// server has given an answer that is not. The name is followed there next. An answer of a
// cache is no reason: it may be older than the set.
func (r *Resolver) leaveStaleLocked(e *entry, out outcome) {
	f := e.push.follow
	if f == nil || f.staleServer() == "" || out.stale || out.cached || out.aliased || out.server == f.staleServer() {
		return
	}
	server := f.session.server
	if until := time.Now().Add(staleAlone); server.until.Before(until) {
		server.until = until
	}
	e.lostLocked(r, f)
	f.session.dropLocked(f)
}

// Tests: stale_test.go.
