package push

import (
	"cmp"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// Limits bound what clients hold. They do not count as connections of the name server.
type Limits struct {
	Sessions   int // at one time, default 20,000
	PerAddress int // of one address (one /64 for IPv6), default 1,000
}

const (
	defaultSessions = 20_000
	// defaultPerAddress has room for a network of clients that share one address.
	defaultPerAddress = 1000
	// mostSessions is more than a process may open files: a larger number is a typing
	// error.
	mostSessions = 1_000_000

	// mostPerSession is how many subscriptions a session may have. A client that follows
	// more services than this needs their list, and not each of them.
	mostPerSession = 1000
	// meanPerSession is how many subscriptions there may be in all, for each session that
	// may be there: each takes some 200 octets.
	meanPerSession = 16
	// mostFresh is how many messages a client may send until one of its requests
	// succeeds. One that speaks a later version of the protocol tries a few.
	mostFresh = 16
)

// Check returns l with the default in each field that is zero, or a *setting.Error.
func (l Limits) Check() (Limits, error) {
	l = l.withDefaults()
	if l.Sessions < 1 || l.Sessions > mostSessions {
		return l, setting.Errorf("Push.Sessions", "%d; expected 1 to %d", l.Sessions, mostSessions)
	}
	if l.PerAddress < 1 || l.PerAddress > mostSessions {
		return l, setting.Errorf("Push.PerAddress", "%d; expected 1 to %d", l.PerAddress, mostSessions)
	}
	return l, nil
}

func (l Limits) withDefaults() Limits {
	l.Sessions = cmp.Or(l.Sessions, defaultSessions)
	l.PerAddress = cmp.Or(l.PerAddress, defaultPerAddress)
	return l
}

// enter counts a session in. false means that there is no room for it.
func (s *Server) enter(ses *session) bool {
	key := limit.Client(ses.from)
	l := s.config.Load().Limits
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.config.Load().Off || len(s.sessions) >= l.Sessions || s.byAddr[key] >= l.PerAddress {
		return false
	}
	s.sessions[ses] = struct{}{}
	s.byAddr[key]++
	s.wg.Add(1)
	s.stats.taken.Add(1)
	return true
}

// leave is the end of a session that has entered.
func (s *Server) leave(ses *session) {
	key := limit.Client(ses.from)
	s.mu.Lock()
	delete(s.sessions, ses)
	if s.byAddr[key]--; s.byAddr[key] <= 0 {
		delete(s.byAddr, key)
	}
	s.mu.Unlock()
	s.wg.Done()
}

// all returns the sessions that there are.
func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*session, 0, len(s.sessions))
	for ses := range s.sessions {
		out = append(out, ses)
	}
	return out
}

// admit counts a subscription in. false means that there are too many.
func (s *Server) admit() bool {
	if s.stats.subscriptions.Add(1) <= int64(meanPerSession*s.config.Load().Limits.Sessions) {
		return true
	}
	s.stats.subscriptions.Add(-1)
	return false
}

// Tests: server_test.go.
