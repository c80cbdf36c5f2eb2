package resolver

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

const (
	// asksInterval is the keepalive interval that is proposed: the one that RFC 8490 section
	// 6.5.2 recommends. The server decides.
	asksInterval = time.Hour
	// probeAfter is how long a session may be silent, on average, until the client asks for a
	// sign of life. A server has nothing to say while nothing changes, and the host of one that
	// hangs acknowledges what the kernel sends. So a client may go on for that long with
	// endpoints that are gone. A server with 10,000 clients answers 170 KeepAlives a second.
	probeAfter = time.Minute
	// probePatience is how long the server may be silent after that. It answers at once, so
	// this is the time for TCP to send a packet again a few times.
	probePatience = 5 * time.Second
)

// alive is by what a session knows that its server lives. Resolver.mu guards it.
type alive struct {
	interval time.Duration // of keepalives, which the server decides (RFC 8490 section 6.5)
	moved    time.Time     // when the last message came or went
	heard    time.Time     // when the last message came
	pause    time.Duration // from then to the next sign of life that is asked for
	waiting  time.Time     // since when a response is waited for; zero: for none
	probe    uint16        // the KeepAlive without a response; 0: none
	probed   time.Time     // when it was sent
}

func (a *alive) begin(now time.Time, interval time.Duration, random func() float64) {
	*a = alive{interval: interval, moved: now, heard: now, pause: probePause(random)}
}

// probePause is a random time, so that clients that came together do not ask together.
func probePause(random func() float64) time.Duration {
	return time.Duration(float64(probeAfter) * (5 + 2*random()) / 6)
}

// asked notes that a response is waited for.
func (a *alive) asked(now time.Time) {
	if a.waiting.IsZero() {
		a.waiting = now
	}
}

// answered notes the response to a request. So many more are waited for.
func (a *alive) answered(now time.Time, id uint16, more int, random func() float64) {
	if a.waiting = now; more == 0 {
		a.waiting = time.Time{}
	}
	if id == a.probe {
		a.probe, a.pause = 0, probePause(random)
	}
}

// dead reports whether the server has been silent for too long.
func (a *alive) dead(now time.Time) bool {
	return !a.waiting.IsZero() && now.Sub(a.waiting) >= patience ||
		a.probe != 0 && !now.Before(a.silentUntil())
}

// silentUntil is when a server is given up that has a KeepAlive to answer. Other messages
// are a sign of life, too: a large set comes before the response.
func (a *alive) silentUntil() time.Time {
	if a.heard.After(a.probed) {
		return a.heard.Add(probePatience)
	}
	return a.probed.Add(probePatience)
}

// due is when to send a KeepAlive, if there is none without a response.
func (a *alive) due() time.Time {
	at := a.heard.Add(a.pause)
	if a.interval < dso.Forever && a.moved.Add(a.interval).Before(at) {
		at = a.moved.Add(a.interval)
	}
	return at
}

// deadline is when reading must end, so that something can be done about the silence.
func (a *alive) deadline() time.Time {
	at := a.due()
	if a.probe != 0 {
		at = a.silentUntil()
	}
	if end := a.waiting.Add(patience); !a.waiting.IsZero() && end.Before(at) {
		at = end
	}
	return at
}

func keepAlive(id uint16) []byte {
	return dso.AppendKeepAlive(nil, id, dso.KeepAlive{Inactivity: dso.DefaultTimeout, Interval: asksInterval})
}

// probeLocked asks the server for a sign of life, unless that is under way.
func (s *pushSession) probeLocked() {
	if s.ended || !s.open || s.alive.probe != 0 {
		return
	}
	id := s.newIDLocked()
	s.alive.probe, s.alive.probed = id, time.Now()
	s.requestLocked(id, keepAlive(id))
}

// next reads the next message. It ends with an error if the server gives no sign of life.
func (s *pushSession) next(conn net.Conn) ([]byte, error) {
	for {
		s.r.mu.Lock()
		err := conn.SetReadDeadline(s.alive.deadline())
		s.r.mu.Unlock()
		if err != nil {
			return nil, err
		}
		msg, err := s.read()
		s.r.mu.Lock()
		now := time.Now()
		switch timeout := errors.Is(err, os.ErrDeadlineExceeded); {
		case err == nil:
			s.alive.moved, s.alive.heard = now, now
		case timeout && s.alive.dead(now):
			err = errUnanswered
		case timeout:
			if err = nil; !now.Before(s.alive.due()) { // otherwise the deadline has been moved
				s.probeLocked()
			}
		}
		s.r.mu.Unlock()
		if msg != nil || err != nil {
			return msg, err
		}
	}
}

// keepSocketAlive lets the kernel find out within half a minute that the host of the server
// is gone, whether there is something to acknowledge or not. No goroutine wakes up for that.
func keepSocketAlive(conn net.Conn) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	probes := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
	tcp.SetKeepAliveConfig(probes)
	limitUnacknowledged(tcp, probes.Idle+time.Duration(probes.Count)*probes.Interval)
}

// Tests: pushalive_test.go, pushalive_linux_test.go.
