package resolver

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

const (
	// unsupportedFor is how long a server is left alone that does not know DSO or has broken
	// its rules: RFC 8490 section 6.6.3.3 wants an hour at least.
	unsupportedFor = time.Hour
	// pushBackoff and maxPushBackoff bound the pause before a server is connected to again
	// after a session was lost. A server is back sooner than the longest, and a thousand
	// clients that lost it together are an even load over it.
	pushBackoff    = 500 * time.Millisecond
	maxPushBackoff = 8 * time.Second
	// maxLosses is how many sessions in a row may be lost before the server counts as one that
	// does not know DSO: it answers over UDP, and something between ends its connections.
	maxLosses = 10
	// leastDelay is the shortest time that a server may want: one that says 0 by mistake must
	// not be asked in a loop.
	leastDelay = time.Second
	// deafFor is how long a server is left alone whose session did not tell what it answers by
	// DNS: it hangs, or something between does.
	deafFor = time.Minute
	// lostSpread is the time over which clients that have lost a session ask by DNS.
	lostSpread = time.Second
	// maxPushServers bounds the servers remembered: more than any configuration has.
	maxPushServers = 64
)

// pushServer is what is known of a server as one that tells about changes. Resolver.mu
// guards it.
type pushServer struct {
	address string
	tls     *tls.Config  // nil: no TLS
	session *pushSession // nil: none
	until   time.Time    // it is left alone until then
	known   bool         // it has accepted a session
	losses  int          // sessions in a row that were lost, or never came to be
	began   time.Time    // of the last session that it accepted
	told    bool         // that it has broken the protocol is in the log
}

// pushServerLocked returns what is known of a server.
func (r *Resolver) pushServerLocked(address string, config *tls.Config) *pushServer {
	key := address
	if config != nil {
		key += " " + config.ServerName
	}
	if s := r.pushServers[key]; s != nil {
		return s
	}
	if r.pushServers == nil || len(r.pushServers) >= maxPushServers {
		kept := map[string]*pushServer{}
		for key, s := range r.pushServers {
			if s.session != nil {
				kept[key] = s
			}
		}
		r.pushServers = kept
	}
	s := &pushServer{address: address, tls: config}
	r.pushServers[key] = s
	return s
}

// opened notes that a session was accepted.
func (s *pushServer) opened() { s.known, s.began = true, time.Now() }

// failedLocked decides how long the server is left alone after a session has ended.
func (s *pushServer) failedLocked(r *Resolver, err error) {
	var delay *delayError
	var wrong *protocolError
	alone := unsupportedFor
	if s.losses++; !s.began.IsZero() && time.Since(s.began) >= maxPushBackoff {
		s.losses = 1
	}
	switch {
	case errors.As(err, &delay): // no random part: the server has spread the delays (RFC 8490 section 6.6.3)
		alone, s.losses = max(delay.delay, leastDelay), 0
	case errors.As(err, &wrong):
		if !s.told {
			s.told = true
			r.log().Warn("resolver: the server broke the rules of DSO; names are kept fresh by their TTL", "server", s.address, "error", err, "for", alone)
		}
	case errors.Is(err, errDeaf):
		alone = deafFor
	case errors.As(err, new(*unsupportedError)), !s.known, s.losses > maxLosses:
	default:
		longest := min(pushBackoff<<(s.losses-1), maxPushBackoff)
		alone = r.spreadLocked(longest/2, longest)
	}
	s.began = time.Time{}
	s.until = time.Now().Add(alone)
	r.log().Debug("resolver: no session of DNS push", "server", s.address, "error", err, "again", alone)
}

// sessionLocked returns the session with a server, a new one if there is none.
func (r *Resolver) sessionLocked(ctx context.Context, server *pushServer) *pushSession {
	if server.session != nil {
		return server.session
	}
	s := &pushSession{
		r: r, server: server, done: make(chan struct{}),
		follows: map[*follow]bool{}, active: map[uint16]*follow{}, asked: map[uint16]struct{}{},
	}
	ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	server.session = s
	go s.run(ctx)
	return s
}

// endLocked ends the session, if it has not ended, and lets its names be asked for by DNS,
// each at a random moment of the first second. The next session is with the server that
// answers then.
func (s *pushSession) endLocked(err error) {
	if s.ended {
		return
	}
	s.ended = true
	s.cancel(err)
	if s.server.session == s {
		s.server.session = nil
	}
	if errors.Is(err, errLeft) {
		return
	}
	r := s.r
	s.server.failedLocked(r, err)
	if len(s.follows) > 0 && s.open {
		r.log().Info("resolver: a session of DNS push has ended, asking by DNS", "server", s.server.address, "names", len(s.follows), "error", err)
	}
	for f := range s.follows {
		f.e.lostLocked(r, f)
		f.e.push.server = ""
	}
	clear(s.follows)
}

// Tests: pushserver_test.go, pushlost_test.go.
