package resolver

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// TestALostSessionIsBegunAgain: the name is asked for within a second, and a change in
// between is seen then. The pauses between sessions grow and are random.
func TestALostSessionIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		p.mu.Lock()
		p.records[mathTCP] = instances(t, 3) // it is not told
		p.revision++
		p.mu.Unlock()
		lost := time.Now()
		p.cut()
		time.Sleep(lostSpread)
		synctest.Wait()
		qs := s.asked("SRV")
		if len(qs) != 2 || qs[1].at.Sub(lost) > lostSpread || len(w.last().Endpoints) != 3 {
			t.Errorf("%d questions, %d endpoints a second after the session was lost", len(qs), len(w.last().Endpoints))
		}
		time.Sleep(time.Second)
		if p.open() != 1 || r.Freshness(mathTCP).By != "push" {
			t.Error("there is no session again")
		}
		var pauses []time.Duration
		for range 8 { // it is cut each time when it is there
			lost := time.Now()
			n := p.sessionsBegun()
			p.cut()
			for p.sessionsBegun() == n {
				time.Sleep(10 * time.Millisecond)
			}
			pauses = append(pauses, time.Since(lost))
			time.Sleep(100 * time.Millisecond)
		}
		for i, pause := range pauses {
			most := min(pushBackoff<<(i+1), maxPushBackoff) // there was a loss before
			if pause < most/3 || pause > most+lostSpread+10*time.Second {
				t.Errorf("loss %d: a session again after %v, want %v to %v", i, pause, most/3, most)
			}
		}
		time.Sleep(lasting)
		for range 12 { // each lives long enough for the pause to be short again
			n := p.sessionsBegun()
			p.cut()
			time.Sleep(pushBackoff + lostSpread + lasting)
			if p.sessionsBegun() != n+1 {
				t.Errorf("%d sessions after a loss", p.sessionsBegun()-n)
			}
		}
		if n := len(w.seen()); n != 2 {
			t.Errorf("%d states", n)
		}
	})
}

// TestARetryDelayIsKept: the server ends the session and says when to come back. It is left
// alone for just that long, also if it is long. Another server is used at once.
func TestARetryDelayIsKept(t *testing.T) {
	for _, delay := range []time.Duration{1500 * time.Millisecond, time.Minute, 2 * time.Hour} {
		for _, others := range []bool{false, true} {
			t.Run(fmt.Sprint(delay, others), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, s, r := following(t, 2)
					other := newPush()
					other.records[mathTCP] = instances(t, 2)
					if others {
						n := fakeNet{"ns1:53": s, "ns2:53": newServer(other.handler(t))}
						n["ns2:53"].push = other
						r = n.client("ns1", "ns2")
					}
					w := watch(t, r, mathTCP)
					defer w.close()
					time.Sleep(time.Minute)
					told := time.Now()
					if others {
						s.become(rcode(dns.RcodeServerFailure))
					}
					p.send(dso.AppendRetryDelay(nil, dns.RcodeSuccess, delay))
					time.Sleep(delay + 6*time.Second)
					if others {
						if p.open() != 0 || other.open() != 1 || other.begun[0].Sub(told) > lostSpread {
							t.Errorf("%d sessions with this server, %d with the other", p.open(), other.open())
						}
						return
					}
					p.mu.Lock()
					defer p.mu.Unlock()
					if len(p.begun) != 2 || p.begun[1].Sub(told) < delay || p.begun[1].Sub(told) > delay+time.Second {
						t.Errorf("told at %v, sessions at %v", told, p.begun)
					}
					if len(w.seen()) != 1 {
						t.Errorf("%v", w.seen())
					}
				})
			})
		}
	}
}

// TestADialThatFailsIsNoReasonToStop, whether the server has had a session before or not: its
// host refuses, drops what comes, or ends the connection, and as soon as it does not, there
// is a session. It costs a connection a minute.
func TestADialThatFailsIsNoReasonToStop(t *testing.T) {
	for name, fault := range map[string]error{
		"refused": syscall.ECONNREFUSED, "no route": syscall.EHOSTUNREACH, "reset": syscall.ECONNRESET, "time-out": os.ErrDeadlineExceeded,
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(name, known), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, s, r := following(t, 2)
					dials := counted(r)
					if !known {
						s.fault("tcp", fault)
					}
					w := watch(t, r, mathTCP)
					defer w.close()
					time.Sleep(2 * time.Second)
					s.fault("tcp", fault)
					p.cut()
					time.Sleep(3 * time.Second)
					s.fault("tcp", nil)                     // it was away for a moment
					time.Sleep(8*pushBackoff + time.Second) // the pause after four failures
					if p.open() != 1 {
						t.Error("no session when the pause must be over")
					}
					time.Sleep(lasting)
					s.fault("tcp", fault)
					p.cut()
					before := len(dials())
					time.Sleep(3 * time.Hour)
					if n := len(dials()) - before; n < 3*60 || n > 3*60*2+10 {
						t.Errorf("%d connections in three hours to a server that takes none", n)
					}
					s.fault("tcp", nil)
					time.Sleep(maxPushBackoff + time.Second)
					if p.open() != 1 {
						t.Error("no session again")
					}
				})
			})
		}
	}
}

// TestACertificateThatExpiredCostsNoHourOfPush: it is renewed, and the next dial succeeds. Only
// a server that was discovered, and never had the right one, is left alone.
func TestACertificateThatExpiredCostsNoHourOfPush(t *testing.T) {
	own, other := new(tls.Config), new(tls.Config)
	for _, tt := range []struct {
		name string
		s    pushServer
		want time.Duration // at most
	}{
		{"the one that answers", pushServer{tls: own}, pushBackoff},
		{"the one that answers, and had a session", pushServer{tls: own, known: true}, pushBackoff},
		{"discovered, and had a session", pushServer{tls: other, known: true}, pushBackoff},
		{"discovered", pushServer{tls: other}, unsupportedFor},
	} {
		r := &Resolver{TLS: own}
		r.mu.Lock()
		tt.s.failedLocked(r, fmt.Errorf("TLS: %w", &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}))
		r.mu.Unlock()
		alone := time.Until(tt.s.until)
		if alone > tt.want || alone < tt.want/4 || tt.s.unable != (tt.want == unsupportedFor) {
			t.Errorf("%s: left alone for %v, unable %t; want %v", tt.name, alone, tt.s.unable, tt.want)
		}
	}
}
