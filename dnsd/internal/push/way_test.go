package push

import (
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// TestAWholeSetThatIsBeingMadeDelaysNoOther: while the set of one service is made, changes
// of it and of others reach those that follow, and others may begin.
func TestAWholeSetThatIsBeingMadeDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		small, big, late := connect(t, s, false), connect(t, s, false), connect(t, s, false)
		small.follow(1, "_small._tcp.svc.")
		big.follow(1, "_big._tcp.svc.")
		w.put("_big._tcp", 1) // what was made for big is out of date
		big.knows(1, w, "_big._tcp.svc.")

		block := make(chan struct{})
		s.making = func(name string) {
			if name == "_big._tcp.svc." {
				<-block
			}
		}
		frame, err := dso.AppendFollow(nil, 1, "_big._tcp.svc.")
		late.send(frameOf(t, frame, err))
		synctest.Wait()
		w.put("_small._tcp", 1)
		small.knows(1, w, "_small._tcp.svc.")
		w.put("_big._tcp", 2)
		big.knows(1, w, "_big._tcp.svc.")
		connect(t, s, false).follow(1, "_other._tcp.svc.")

		close(block)
		if m := late.read(); !m.Response || m.Rcode != dns.RcodeSuccess {
			t.Fatalf("the response: %+v", m)
		}
		late.until("all", func() bool { return late.sets[1] != nil && late.sets[1].revision >= w.rev })
		late.knows(1, w, "_big._tcp.svc.")
		if n := late.sets[1].messages; n != 2 {
			t.Errorf("%d messages, want the set as it was and the difference", n)
		}
	})
}

// TestAWholeSetIsMadeOnceForAllThatBeginTogether: and a client that begins after a change is
// not sent a set from before it.
func TestAWholeSetIsMadeOnceForAllThatBeginTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.put("_big._tcp", 1)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		var made atomic.Int64
		block := make(chan struct{})
		s.making = func(string) { made.Add(1); <-block }
		frame, err := dso.AppendFollow(nil, 1, "_big._tcp.svc.")
		frameOf(t, frame, err)
		begin := func(n int) (clients []*client) {
			for range n {
				c := connect(t, s, false)
				c.send(frame)
				clients = append(clients, c)
			}
			synctest.Wait()
			return clients
		}
		before := begin(20)
		w.put("_big._tcp", 2)
		after := begin(20)
		close(block)
		for _, c := range append(before, after...) {
			c.read()
			c.until("all", func() bool { f := c.sets[1]; return f != nil && f.whole && f.revision >= w.rev })
			c.knows(1, w, "_big._tcp.svc.")
		}
		for i, c := range after {
			if n := c.sets[1].messages; n != 1 {
				t.Errorf("client %d that began after the change had %d messages", i, n)
			}
		}
		// Two sets, and the difference for those that began before.
		if n := made.Load(); n > 3 {
			t.Errorf("%d ways were made for 40 clients", n)
		}
	})
}

// TestChangesWhileSetsAndDifferencesAreMadeAreNotMissed: the zone changes each time that
// something is made, clients read slowly, and subscriptions cover each other.
func TestChangesWhileSetsAndDifferencesAreMadeAreNotMissed(t *testing.T) {
	for seed := range uint64(11) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			w := newWorld(t, "svc.")
			s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
			var mu sync.Mutex // guards w and rnd
			change := func() {
				mu.Lock()
				defer mu.Unlock()
				switch rnd.IntN(8) {
				case 0:
					w.load("_math._tcp", rnd.IntN(40))
				case 1, 2, 3:
					w.remove("_math._tcp", rnd.IntN(20))
				default:
					w.put("_math._tcp", rnd.IntN(20))
				}
			}
			left := 300 // otherwise a client never knows all
			s.making = func(string) {
				mu.Lock()
				left--
				on := left > 0
				mu.Unlock()
				if on {
					change()
				}
			}
			follower, all := connect(t, s, false), newPushed(t, s)
			follower.follow(1, "_math._tcp.svc.")
			all.subscribe(1, "_math._tcp.svc.", dns.TypeSRV, dns.ClassINET)
			covers := uint16(0)
			// One in three ends a subscription. More than mostKnown without reading end the
			// session, and the client reads answers only, which may come before changes.
			for id := uint16(2); id < 3*(mostKnown-1); id++ {
				change()
				switch {
				case covers == 0:
					all.subscribe(id, "_math._tcp.svc.", dns.TypeANY, dns.ClassINET)
					covers = id
				case id%3 == 0:
					all.send(dso.AppendUnsubscribe(nil, covers))
					covers = 0
				}
				change()
				if id%5 == 0 && follower.ready() {
					follower.read()
				}
			}
			mu.Lock()
			left = 0
			mu.Unlock()
			synctest.Wait()
			w.put("_math._tcp", 99)
			follower.knows(1, w, "_math._tcp.svc.")
			if n := s.Stats().Aborted; n > 0 {
				t.Fatalf("%d sessions were aborted", n)
			}
			all.agrees(w, "_math._tcp.svc.", dns.TypeSRV)
		})
	}
}

// TestAPanicEndsTheSession: wherever it is, dnsd goes on, and so do the other sessions.
func TestAPanicEndsTheSession(t *testing.T) {
	frame, err := dso.AppendFollow(nil, 1, "_math._tcp.svc.")
	frameOf(t, frame, err)
	for name, tc := range map[string]func(*testing.T, *Server, *world, *client){
		"in its request": func(_ *testing.T, s *Server, _ *world, c *client) {
			s.making = func(string) { panic("a set") }
			c.send(frame)
		},
		"in its writer": func(_ *testing.T, s *Server, w *world, c *client) {
			c.follow(1, "_math._tcp.svc.")
			for i := range 3 {
				w.put("_math._tcp", i)
				synctest.Wait()
			}
			s.making = func(string) { panic("a difference") }
		},
		"in a connection": func(_ *testing.T, s *Server, w *world, c *client) {
			c.follow(1, "_math._tcp.svc.")
			synctest.Wait()
			for ses := range s.sessions {
				if len(ses.subs) > 0 && ses.subs[0].topic.key.name == "_math._tcp.svc." {
					ses.conn = panics{ses.conn}
				}
			}
			w.put("_math._tcp", 1)
		},
		"in the hub": func(t *testing.T, s *Server, w *world, c *client) {
			c.follow(1, "_math._tcp.svc.")
			synctest.Wait()
			h := s.find("_math._tcp.svc.")
			h.mu.Lock()
			h.at = nil
			h.mu.Unlock()
			w.put("_math._tcp", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "svc.")
				other := newWorld(t, "other.")
				s := newServer(t, Config{Zones: []*zone.Zone{w.zone, other.zone}})
				stays, c := connect(t, s, false), connect(t, s, false)
				stays.follow(1, "_math._tcp.other.")
				tc(t, s, w, c)
				c.closed()
				s.making = nil
				if n := s.Stats().Panics; n != 1 {
					t.Errorf("%d panics", n)
				}
				other.put("_math._tcp", 5)
				stays.knows(1, other, "_math._tcp.other.")
				again := connect(t, s, false) // no lock was left held
				synctest.Wait()
				if name == "in the hub" {
					return // it has no mark in this test
				}
				again.follow(1, "_math._tcp.svc.")
				w.put("_math._tcp", 6)
				again.knows(1, w, "_math._tcp.svc.")
			})
		})
	}
}

// TestNothingFromBeforeAPanicIsSentAfterIt: a panic of one topic leaves the others with sets
// that may be out of date.
func TestNothingFromBeforeAPanicIsSentAfterIt(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := connect(t, s, false)
	c.follow(1, "_math._tcp.svc.")
	h := s.find("_math._tcp.svc.")
	h.mu.Lock()
	for _, one := range h.topics {
		bad := topicKey{name: one.key.name, qtype: dns.TypeSRV} // a change has it before one
		h.topics[bad] = &topic{key: bad, part: one.part}        // that has no hub
		w.put("_math._tcp", 1)
		h.advanceLocked()
		if n := len(one.ways); n != 0 || s.Stats().Panics != 1 {
			t.Errorf("%d sets are left after %d panics", n, s.Stats().Panics)
		}
		delete(h.topics, bad)
		break
	}
	h.mu.Unlock()
	c.closed()
}

// TestWhatIsMadeHoldsNoVersionOfTheZone: the set of a service that does not change is kept for
// those that come, while others change all the time.
func TestWhatIsMadeHoldsNoVersionOfTheZone(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := connect(t, s, false)
	c.follow(1, "_quiet._tcp.svc.")
	c.follow(2, "_busy._tcp.svc.")
	h := s.find("svc.")
	gone := make(chan struct{})
	h.mu.Lock()
	runtime.AddCleanup(h.at, func(gone chan struct{}) { close(gone) }, gone)
	h.mu.Unlock()
	for i := range 3 {
		w.put("_busy._tcp", i)
		c.knows(2, w, "_busy._tcp.svc.")
	}
	for range 5 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(time.Second):
		}
	}
	t.Error("the version of the zone in which the first client began is still held")
}

// panics is a connection that cannot be written to.
type panics struct{ net.Conn }

func (panics) Write([]byte) (int, error) { panic("a write") }

// TestLargeBuffersAreNotKept: one that an answer has made large does not stay for pushes.
func TestLargeBuffersAreNotKept(t *testing.T) {
	s := newServer(t, Config{})
	large := make([]byte, 0, mostKept+1)
	s.release(&large)
	for range 10 {
		if b := s.buffer(); cap(*b) > mostKept {
			t.Fatalf("a buffer of %d octets was kept", cap(*b))
		}
	}
}

// BenchmarkWhole is what a client costs that follows a service of 100,000 instances and
// leaves it. delay is the longest time that a change of another service takes meanwhile.
func BenchmarkWhole(b *testing.B) {
	w := newWorld(b, "svc.")
	w.load("_big._tcp", 100_000)
	s := newServer(b, Config{Zones: []*zone.Zone{w.zone}})
	small, big := connect(b, s, false), connect(b, s, false)
	small.follow(1, "_small._tcp.svc.")
	var delay time.Duration
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			begun := time.Now()
			if i%2 == 0 { // the same again would be no change
				w.put("_small._tcp", 1)
			} else {
				w.remove("_small._tcp", 1)
			}
			small.until("the change", func() bool { return small.sets[1].revision >= w.rev })
			delay = max(delay, time.Since(begun))
		}
	}()
	id := uint16(0)
	for b.Loop() {
		id++
		big.follow(id, "_big._tcp.svc.")
		big.send(dso.AppendUnfollow(nil, id))
		delete(big.sets, id)
	}
	close(stop)
	<-stopped
	b.ReportMetric(float64(delay.Microseconds())/1000, "ms-delay")
}
