package resolver

import (
	"context"
	"slices"
	"time"
)

const (
	// deafAfter is the time between two questions by DNS, after a hint, whose answers both
	// differ from the set that a session told. A change that DNS tells takes milliseconds to
	// come in the session.
	deafAfter = time.Second
	// partFrom is the size of an answer from which on it may be a part of the set, if something
	// on the way has taken away what the server says of that: a server gives a sample when an
	// answer of 64 KiB cannot hold all, and then nearly fills it.
	partFrom = 48 << 10
)

// check asks the server of a session by DNS for a followed name. It returns nil if there is
// no answer that could be compared.
func (r *Resolver) check(ctx context.Context, f *follow, m *memory) *reply {
	server, q := f.session.server.address, question{f.e.name, typeSRV}
	w, err := r.way()
	if err != nil || f.found || !slices.Contains(w.servers, server) {
		return nil // it answers no questions, or those of others
	}
	rep, err := r.exchange(ctx, server, q, w.light(), m.tcp)
	if err != nil || rep.alias != q.name || !rep.aa {
		return nil // without authority it is another one on the way, and may be some time old
	}
	switch rep.verdict(q) {
	case verdictData, verdictNoName, verdictNoData:
		return rep
	}
	return nil
}

// checkedLocked judges a session by an answer of DNS that a hint has asked for. The same
// server gives both. So the answer can be ahead of the session by a moment only, and if it
// still differs a second later, the session is of no use and ends.
//
// No answer means nothing: a packet was lost, or there are too many questions. Then the
// session itself is asked for a sign of life.
func (f *follow) checkedLocked(rep *reply) {
	now := time.Now()
	switch {
	case rep == nil:
		f.doubted = time.Time{}
		f.session.probeLocked()
		return
	case f.pending, f.set.agrees(rep): // a change may have come while DNS was asked
		f.doubted = time.Time{}
		return
	case f.doubted.IsZero():
		f.doubted = now
	}
	if f.recheck = f.doubted.Add(deafAfter); !now.Before(f.recheck) {
		f.session.endLocked(errDeaf)
	}
}

// agrees reports whether the reply can be one of a server that has this set: it has all of
// it, or a part. Addresses are not compared, since not all of them fit an answer.
func (s *pushSet) agrees(rep *reply) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range rep.srvs {
		if _, told := s.srvs[one]; !told {
			return false
		}
	}
	switch {
	case rep.sample > 0:
		return rep.sample == len(s.srvs)
	case rep.records == len(s.srvs):
		return true
	}
	return rep.records < len(s.srvs) && rep.size >= partFrom && !rep.edns
}

// Tests: pushcheck_test.go.
