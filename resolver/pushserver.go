package resolver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"
)

const (
	// unsupportedFor is how long a server is left alone that has answered that it does not know
	// DSO, or has broken its rules: RFC 8490 section 6.6.3.3 wants an hour at least.
	unsupportedFor = time.Hour
	// pushBackoff and maxPushBackoff bound the pause before a server is connected to again for
	// any other reason: its host refuses while it starts again, it is too busy to answer, or
	// something between ends connections. The least pause is a third of the longest: clients
	// that lost the server together have asked it within lostSpread, and connect between half a
	// second and a second and a half after the loss, a seventh of them in the busiest 100 ms. The
	// pause before a server that has never taken a session doubles up to unsupportedFor: one that
	// ends such connections, or is silent, may not know DSO, and RFC 8490 section 6.6.3.2 takes
	// the second failure for that. We take many for it, since a server that starts, and one that
	// is full, look the same for a while.
	pushBackoff    = 1500 * time.Millisecond
	maxPushBackoff = time.Minute
	doubled        = 16 // times: enough to pass the longest
	// lasting is how long a session must live for the pause after it to be short again.
	lasting = 10 * time.Second
	// findAfter is how many connections must fail before another server is looked for that
	// tells about changes. One that answers that it does not know how is enough.
	findAfter = 3
	// leastDelay is the shortest time that a server may want: one that says 0 by mistake must
	// not be asked in a loop.
	leastDelay = time.Second
	// deafFor is how long a server is left alone whose session did not tell what it answers by
	// DNS: it hangs, or something between does.
	deafFor = time.Minute
	// longestRefusal bounds the time for which a refused request is not made again. RFC 8490
	// section 7.2.2 says that a client should not, and RFC 8765 section 6.2.2 has an hour as the
	// longest time that it recommends: a wrong or hostile server must not keep a process of weeks
	// from what it allows later. After a session that the server ends, section 6.6.3 of the former
	// leaves no choice: there the time is kept, up to 49 days.
	longestRefusal = time.Hour
	// lostSpread is the time over which clients that have lost a session ask by DNS.
	lostSpread = time.Second
	// maxPushServers bounds the servers remembered: those of all zones that are remembered, and
	// of any configuration.
	maxPushServers = maxPushZones*maxFoundAddrs + 64
)

// pushServer is what is known of a server as one that tells about changes. Resolver.mu
// guards it.
type pushServer struct {
	address string
	tls     *tls.Config  // nil: no TLS
	session *pushSession // nil: none
	until   time.Time    // it is left alone until then
	known   bool         // it has accepted a session
	unable  bool         // it has answered that it knows no DSO, or has shown it
	losses  int          // sessions in a row that were lost, or never came to be
	began   time.Time    // of the last session that it accepted
	told    bool         // that it has broken the protocol is in the log
}

// pushKey is the key of a server in Resolver.pushServers.
func pushKey(address string, config *tls.Config) string {
	if config == nil {
		return address
	}
	return address + " " + config.ServerName
}

// pushServerLocked returns what is known of a server.
func (r *Resolver) pushServerLocked(address string, config *tls.Config) *pushServer {
	key := pushKey(address, config)
	if s := r.pushServers[key]; s != nil {
		return s
	}
	if r.pushServers == nil {
		r.pushServers = map[string]*pushServer{}
	}
	if len(r.pushServers) >= maxPushServers {
		r.forgetServersLocked()
	}
	s := &pushServer{address: address, tls: config}
	r.pushServers[key] = s
	return s
}

// forgetServersLocked makes room: it forgets servers that nothing is to be known of, and then
// half of the others that have no session. One that is left alone would be connected to again.
func (r *Resolver) forgetServersLocked() {
	now := time.Now()
	for key, s := range r.pushServers {
		if s.session == nil && !now.Before(s.until) {
			delete(r.pushServers, key)
		}
	}
	for key, s := range r.pushServers {
		if len(r.pushServers) <= maxPushServers/2 {
			return
		}
		if s.session == nil {
			delete(r.pushServers, key)
		}
	}
}

// opened notes that a session was accepted.
func (s *pushServer) opened() { s.known, s.unable, s.began = true, false, time.Now() }

// hopeless reports whether it makes sense to look for another server.
func (s *pushServer) hopeless() bool { return !s.known && (s.unable || s.losses >= findAfter) }

// failedLocked decides how long the server is left alone after a session has ended.
func (s *pushServer) failedLocked(r *Resolver, err error) {
	var delay *delayError
	var wrong *protocolError
	lasted := !s.began.IsZero() && time.Since(s.began) >= lasting
	if s.losses++; lasted {
		s.losses = 1
	}
	longest := unsupportedFor
	if s.known {
		longest = maxPushBackoff
	}
	longest = min(pushBackoff<<min(s.losses-1, doubled), longest)
	alone := r.spreadLocked(longest/3, longest)
	switch {
	case errors.As(err, &delay): // no random part: the server has spread the delays (RFC 8490 section 6.6.3)
		// One that ends each session so is as good as one that loses them. But one that is full
		// must not be left alone for long when it says that it has room soon.
		alone = max(delay.delay, leastDelay, min(alone, maxPushBackoff))
		if lasted {
			s.losses = 0
		}
		if delay.delay > longestRefusal {
			r.logLocked(slog.LevelWarn, "resolver: the server wants no session for a long time; names are kept fresh by their TTL until then, or until this program starts again", "server", s.address, "for", alone)
		}
	case errors.As(err, &wrong):
		alone, s.unable = unsupportedFor, true
		if !s.told {
			s.told = true
			r.logLocked(slog.LevelWarn, "resolver: the server broke the rules of DSO; names are kept fresh by their TTL", "server", s.address, "error", err, "for", alone)
		}
	case errors.As(err, new(*unsupportedError)):
		alone, s.unable = unsupportedFor, true
	case errors.As(err, new(*tls.CertificateVerificationError)) && s.tls != r.TLS && !s.known:
		// A server that had a session had the right certificate, and will have it again. That of
		// a server over r.TLS was right when it answered by DNS.
		alone, s.unable = unsupportedFor, true
	case errors.Is(err, errDeaf):
		alone = deafFor
	}
	s.began = time.Time{}
	s.until = time.Now().Add(alone)
	r.logLocked(slog.LevelDebug, "resolver: no session of DNS push", "server", s.address, "error", err, "again", alone)
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
		r.logLocked(slog.LevelInfo, "resolver: a session of DNS push has ended, asking by DNS", "server", s.server.address, "names", len(s.follows), "error", err)
	}
	for f := range s.follows {
		f.e.lostLocked(r, f)
		if s.open { // otherwise the name is not asked for soon, which could lead to another server
			f.e.push.server = ""
		}
	}
	clear(s.follows)
}

// Tests: pushserver_test.go, pushlost_test.go, pushherd_test.go.
