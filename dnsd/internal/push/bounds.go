package push

import (
	"cmp"
	"net/netip"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// Limits bound what clients hold. They do not count as connections of the name server.
type Limits struct {
	Sessions   int // at one time, default 20,000
	PerAddress int // of one address (one /64 for IPv6), default 1,000
}

const (
	// DefaultSessions is how many sessions there may be where nothing is said.
	DefaultSessions = 20_000
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
	l.Sessions = cmp.Or(l.Sessions, DefaultSessions)
	l.PerAddress = cmp.Or(l.PerAddress, defaultPerAddress)
	return l
}

// subscriptions is how many subscriptions there may be in all, and subscriptionsEach how many
// of one address: as much of all as its sessions are of all, and enough for one session.
func (l Limits) subscriptions() int64 { return meanPerSession * int64(l.Sessions) }

func (l Limits) subscriptionsEach() int64 {
	return max(meanPerSession*int64(l.PerAddress), mostPerSession)
}

// Place is room for a session that may begin on a connection. It has to be given to Serve,
// or to Free.
type Place struct {
	srv    *Server
	holder *holder
	used   bool // guarded by Server.mu
}

// Reserve returns a place for a client, or nil if there is none.
func (s *Server) Reserve(from netip.Addr) *Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserveLocked(from)
}

func (s *Server) reserveLocked(from netip.Addr) *Place {
	key, config := limit.Client(from), s.config.Load()
	c := s.clients[key]
	if s.closed || config.Off || s.places >= config.Limits.Sessions || c != nil && c.sessions >= config.Limits.PerAddress {
		return nil
	}
	if c == nil {
		s.forgetLocked()
		c = holderAt(key)
		s.clients[key] = c
	}
	c.sessions++
	s.places++
	return &Place{srv: s, holder: c}
}

// Free gives a place back that Serve did not get. It may be called more than once, and
// after Serve.
func (p *Place) Free() {
	if p == nil {
		return
	}
	p.srv.mu.Lock()
	defer p.srv.mu.Unlock()
	if !p.used {
		p.used = true
		p.srv.vacateLocked(p.holder)
	}
}

// vacateLocked gives the place of a client back. A client that has let dnsd check records is
// remembered until that has no effect any more. Otherwise it could begin sessions again and
// again, and use up what there is for all.
func (s *Server) vacateLocked(c *holder) {
	s.places--
	if c.sessions--; c.sessions == 0 && c.rested() {
		delete(s.clients, c.key)
	}
}

// forgetLocked forgets some of the clients that are only remembered. It looks at two for each
// new one, so they are never many more than came within the last seconds.
func (s *Server) forgetLocked() {
	looks := 2
	for key, c := range s.clients { // in a random order
		if c.sessions == 0 && c.rested() {
			delete(s.clients, key)
		}
		if looks--; looks == 0 {
			return
		}
	}
}

// enter counts a session in. false means that there is no room for it.
func (s *Server) enter(ses *session, p *Place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.config.Load().Off {
		return false
	}
	if p == nil {
		if p = s.reserveLocked(ses.from); p == nil {
			return false
		}
	}
	p.used = true
	ses.holder = p.holder
	s.sessions[ses] = struct{}{}
	s.wg.Add(1)
	s.stats.taken.Add(1)
	return true
}

// leave is the end of a session that has entered.
func (s *Server) leave(ses *session) {
	s.mu.Lock()
	delete(s.sessions, ses)
	s.vacateLocked(ses.holder)
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

// Tests: server_test.go, holder_test.go.
