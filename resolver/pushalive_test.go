package resolver

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// TestAQuietSessionIsKeptAlive about once a minute, or at the interval that the server says
// if that is shorter. Any message will do.
func TestAQuietSessionIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		if got := strings.Count(p.notes(), "keepalive"); got < 55 || got > 65 {
			t.Errorf("%d KeepAlives in an hour", got)
		}
		p.send(dso.AppendKeepAlive(nil, 0, dso.KeepAlive{Inactivity: dso.Forever, Interval: dso.Forever}))
		time.Sleep(time.Hour)
		if got := strings.Count(p.notes(), "keepalive"); got < 50 || got > 70 {
			t.Errorf("%d KeepAlives in an hour of a server that wants none", got)
		}
		p.mu.Lock()
		p.interval = 20 * time.Second
		p.mu.Unlock()
		p.send(dso.AppendKeepAlive(nil, 0, dso.KeepAlive{Inactivity: dso.Forever, Interval: 20 * time.Second}))
		time.Sleep(10*time.Minute + time.Second)
		if got := strings.Count(p.notes(), "keepalive"); got != 30 {
			t.Errorf("%d KeepAlives in 10 minutes, the interval is 20 s", got)
		}
		for range 10 {
			time.Sleep(15 * time.Second)
			p.become(mathTCP, instances(t, 3)...)
		}
		time.Sleep(time.Second)
		if got := p.notes(); got != "" {
			t.Errorf("%s, while the server had something to say", got)
		}
		if p.sessionsBegun() != 1 {
			t.Errorf("%d sessions", p.sessionsBegun())
		}
	})
}

// TestAServerThatHangsIsFound: its kernel takes what is sent, and it says nothing any more.
// That is found within a minute or so, whether the client had something to say or not. Then
// the other server is asked, and followed.
func TestAServerThatHangsIsFound(t *testing.T) {
	for name, leave := range map[string]bool{"the client says nothing": false, "after an UNFOLLOW": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, _ := following(t, 2)
				other := newPush()
				other.records[mathTCP] = instances(t, 3)
				n := fakeNet{"ns1:53": s, "ns2:53": newServer(other.handler(t))}
				n["ns2:53"].push = other
				r := n.client("ns1", "ns2")
				w, b := watch(t, r, mathTCP), watch(t, r, "_b._tcp.svc")
				defer w.close()
				defer b.close()
				time.Sleep(time.Hour)
				s.become(silence)
				p.mu.Lock()
				p.hello = func(uint16) [][]byte { return nil }
				p.mu.Unlock()
				if leave {
					b.close()
				}
				time.Sleep(80 * time.Second)
				if got := r.Freshness(mathTCP); got.By != "push" || got.Server != "ns2:53" || len(w.last().Endpoints) != 3 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestASlowSetIsASignOfLife: the response to a KeepAlive comes after what was sent before it.
func TestASlowSetIsASignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		set := setFrames(2, dso.Whole, 2, instances(t, 1500), nil)
		if len(set) < 4 {
			t.Fatalf("only %d messages", len(set))
		}
		asked := make(chan struct{})
		p.mu.Lock()
		p.hello = func(id uint16) [][]byte {
			close(asked)
			p.hello = nil
			go func() {
				for _, frame := range set {
					time.Sleep(probePatience - time.Second)
					p.send(frame)
				}
				p.send(dso.AppendResponse(nil, id, dns.RcodeSuccess, dso.KeepAlive{Interval: time.Hour}.TLV()))
			}()
			return nil
		}
		p.mu.Unlock()
		<-asked
		time.Sleep(time.Minute)
		if p.sessionsBegun() != 1 || len(w.last().Endpoints) != 1500 {
			t.Errorf("%d sessions, %d endpoints", p.sessionsBegun(), len(w.last().Endpoints))
		}
	})
}

// TestAServerThatDoesNotReadIsGivenUp: each write has a deadline.
func TestAServerThatDoesNotReadIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		r := fakeNet{"ns1:53": newServer(two(t))}.client("ns1")
		inner, first := r.Dial, true
		r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if network == "udp" || !first {
				return inner(ctx, network, addr)
			}
			first = false
			return client, nil
		}
		go func() {
			io.ReadFull(server, make([]byte, len(keepAlive(1))))
			server.Write(dso.AppendResponse(nil, 1, dns.RcodeSuccess, dso.KeepAlive{Interval: time.Hour}.TLV()))
		}()
		w := watch(t, r, mathTCP)
		defer w.close()
		open := func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			s := r.pushServers["ns1:53"].session
			return s != nil && s.open
		}
		time.Sleep(writeTimeout - time.Second)
		if !open() {
			t.Error("the session ended before its time")
		}
		time.Sleep(2 * time.Second)
		if open() {
			t.Error("the session waits for ever")
		}
	})
}

// TestSignsOfLifeAreSpread: many clients that came together do not ask together.
func TestSignsOfLifeAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 300
		p, s, _ := following(t, 2)
		var mu sync.Mutex
		var at []time.Time
		p.hello = func(id uint16) [][]byte {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			return [][]byte{dso.AppendResponse(nil, id, dns.RcodeSuccess, dso.KeepAlive{Interval: time.Hour}.TLV())}
		}
		n := fakeNet{"ns1:53": s}
		for range clients {
			w := watch(t, n.client("ns1"), mathTCP)
			defer w.close()
		}
		time.Sleep(10*time.Minute + time.Second)
		mu.Lock()
		defer mu.Unlock()
		if most, rate := busiest(at[clients:], time.Second), len(at[clients:])/clients; most > clients/6 || rate < 9 || rate > 11 {
			t.Errorf("%d KeepAlives in one second of %d clients, and %d of each in 10 minutes", most, clients, rate)
		}
	})
}

// TestWhenASessionIsDead, by the clock alone.
func TestWhenASessionIsDead(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	none := func() float64 { return 0.5 } // a pause of a minute
	for _, tt := range []struct {
		name  string
		do    func(a *alive)
		due   int // of the next KeepAlive
		until int // the deadline for reading
		dead  int // from then on
	}{
		{"nothing happens", func(*alive) {}, 60, 60, 1 << 20},
		{"a message comes", func(a *alive) { a.heard, a.moved = at(40), at(40) }, 100, 100, 1 << 20},
		{"a message goes", func(a *alive) { a.moved = at(40) }, 60, 60, 1 << 20},
		{"a short interval", func(a *alive) { a.interval = 20 * time.Second; a.moved = at(5) }, 25, 25, 1 << 20},
		{"no interval", func(a *alive) { a.interval = dso.Forever; a.moved = at(5) }, 60, 60, 1 << 20},
		{"a request", func(a *alive) { a.asked(at(10)); a.asked(at(20)) }, 60, 40, 40},
		{"one of two responses", func(a *alive) { a.asked(at(10)); a.answered(at(15), 7, 1, none) }, 60, 45, 45},
		{"a response", func(a *alive) { a.asked(at(10)); a.answered(at(15), 7, 0, none) }, 60, 60, 1 << 20},
		{"a KeepAlive", func(a *alive) { a.probe, a.probed = 7, at(60); a.asked(at(60)) }, 60, 65, 65},
		{"a message after a KeepAlive", func(a *alive) { a.probe, a.probed, a.heard = 7, at(60), at(63); a.asked(at(60)) }, 123, 68, 68},
		{"messages, and no response", func(a *alive) { a.probe, a.probed, a.heard = 7, at(60), at(88); a.asked(at(60)) }, 148, 90, 90},
		{"the response to another one", func(a *alive) { a.probe, a.probed = 7, at(60); a.asked(at(60)); a.answered(at(62), 6, 1, none) }, 60, 65, 65},
		{"its response", func(a *alive) {
			a.probe, a.probed, a.heard = 7, at(60), at(61)
			a.asked(at(60))
			a.answered(at(61), 7, 0, none)
		}, 121, 121, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var a alive
			a.begin(begin, time.Hour, none)
			tt.do(&a)
			got := fmt.Sprint(a.due().Sub(begin), a.deadline().Sub(begin), a.dead(at(tt.dead-1)), a.dead(at(tt.dead)))
			if want := fmt.Sprint(time.Duration(tt.due)*time.Second, time.Duration(tt.until)*time.Second, false, tt.dead < 1<<20); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}
