package push

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// TestToBeginAgainAndAgainHasItsPrice: a client that ends its subscription to a large service
// and begins it again makes dnsd work by a few octets. Above a bound it is refused, for as
// long as the refusal says, also in another session; others are not.
func TestToBeginAgainAndAgainHasItsPrice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.load("_math._tcp", 2000)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c, other := connectFrom(t, s, "192.0.2.1"), connectFrom(t, s, "192.0.2.2")
		const name = "_math._tcp.svc."
		c.follow(1, name)
		octets := c.octets(s)
		if octets < 2000*40 {
			t.Fatalf("the set of 2000 instances counts %v octets", octets)
		}
		c.send(dso.AppendUnfollow(nil, 1))
		c.follow(2, name)
		if n := c.octets(s); n != 2*octets {
			t.Errorf("the second time counts %v octets, want %v", n-octets, octets)
		}
		shared := connectFrom(t, s, "192.0.2.3")
		shared.follow(1, name) // it is sent what another client had made
		if n := shared.octets(s); n != 0 {
			t.Errorf("what another client had made counts %v octets", n)
		}
		c.holder(s).made.add(time.Now(), mostWhole, madeEach)
		for _, again := range []*client{c, connectFrom(t, s, "192.0.2.1")} {
			m := again.tries(9, "_other._tcp.svc.")
			delay, ok, err := m.RetryDelay()
			if m.Rcode != dns.RcodeRefused || !ok || err != nil || delay <= comeBack || delay > 2*comeBack {
				t.Errorf("above the bound: %+v, %v %v %v", m, delay, ok, err)
			}
		}
		other.follow(1, name)
		time.Sleep(2 * comeBack)
		c.follow(10, "_other._tcp.svc.")
		c.conn.Close()
		synctest.Wait()
		if c.holder(s) == nil {
			t.Error("the client is forgotten before its octets are")
		}
	})
}

// TestASessionIsSentOnlySoMuch: also if others had the set made.
func TestASessionIsSentOnlySoMuch(t *testing.T) {
	var sent tally
	now := time.Now()
	for range 8 {
		if wait := sent.above(now, mostWhole, sentEach); wait != 0 {
			t.Fatalf("refused for %v below the bound", wait)
		}
		sent.add(now, mostWhole/8+1, sentEach)
	}
	if wait := sent.above(now, mostWhole, sentEach); wait <= 0 || wait > time.Microsecond {
		t.Errorf("just above the bound: %v", wait)
	}
	sent.add(now, sentEach, sentEach)
	if wait := sent.above(now.Add(time.Second/2), mostWhole, sentEach); wait < 490*time.Millisecond || wait > 510*time.Millisecond {
		t.Errorf("half a second after a second's octets too many: %v", wait)
	}
	sent.add(now.Add(24*time.Hour), 1, sentEach)
	if sent.octets != 1 {
		t.Errorf("after a day: %v octets", sent.octets)
	}
}

// TestWorkCountsWithoutRecords: a set without records may take long to make. It is made by
// the subscription here, so the time of that is noted.
func TestWorkCountsWithoutRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.load("_math._tcp", 10)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		s.making = func(string) { time.Sleep(3900 * time.Microsecond) }
		c := connectFrom(t, s, "192.0.2.1")
		c.follow(1, "_none._tcp.svc.")
		if got := c.octets(s); got != 3*madeWork {
			t.Errorf("3.9 ms count %v octets, want %v", got, 3*madeWork)
		}
	})
}

func (c *client) holder(s *Server) *holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.clients {
		if h.key == c.from {
			return h
		}
	}
	return nil
}

func (c *client) octets(s *Server) float64 {
	h := c.holder(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.made.octets
}

// TestAPanicKeepsNoPlace: the beginning of a subscription panics. The session ends, and what
// it held is given back.
func TestAPanicKeepsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		h := s.find("svc.")
		h.mu.Lock()
		parts := h.parts
		h.parts = nil // to write into it panics
		h.mu.Unlock()
		c := connect(t, s, false)
		frame, err := dso.AppendFollow(nil, 1, "_math._tcp.svc.")
		c.send(frameOf(t, frame, err))
		c.closed()
		synctest.Wait()
		if st := s.Stats(); st.Panics != 1 || st.Subscriptions != 0 || st.Sessions != 0 {
			t.Errorf("%+v", st)
		}
		h.mu.Lock()
		if h.parts = parts; len(h.topics) > 0 {
			t.Errorf("%d topics without a subscription", len(h.topics))
		}
		h.mu.Unlock()
		c = connect(t, s, false)
		c.follow(1, "_math._tcp.svc.")
		w.put("_math._tcp", 1)
		c.knows(1, w, "_math._tcp.svc.") // the hub runs
	})
}

// TestALowerRevisionEndsTheSessions: the zone has got another registry, and within a session
// revisions only grow. Clients are told when to come back, and see no set that goes back.
func TestALowerRevisionEndsTheSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.load("_math._tcp", 3)
		for i := range 5 {
			w.put("_math._tcp", 10+i)
		}
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		var clients []*client
		for range 3 {
			c := connect(t, s, false)
			c.follow(1, "_math._tcp.svc.")
			clients = append(clients, c)
		}
		w.rev = 2
		w.load("_math._tcp", 4)
		seen := map[time.Duration]bool{}
		for _, c := range clients {
			m := c.read()
			delay, ok, err := m.RetryDelay()
			if m.Primary.Type != dso.TypeRetryDelay || m.Rcode != dns.RcodeSuccess || !ok || err != nil || delay < comeBack || delay > comeBack+spreadTime || seen[delay] {
				t.Errorf("%+v, %v %v %v", m, delay, ok, err)
			}
			seen[delay] = true
			c.conn.Close()
		}
		c := connect(t, s, false)
		c.follow(1, "_math._tcp.svc.")
		c.knows(1, w, "_math._tcp.svc.")
		w.put("_math._tcp", 20)
		c.knows(1, w, "_math._tcp.svc.")
	})
}

// BenchmarkWholeSet makes the whole set of a large service, as for a client that begins again.
func BenchmarkWholeSet(b *testing.B) {
	w := newWorld(b, "svc.")
	w.load("_math._tcp", 20_000)
	s := newServer(b, Config{Zones: []*zone.Zone{w.zone}})
	h := s.find("svc.")
	t := &topic{hub: h, key: topicKey{follow: true, name: "_math._tcp.svc.", qtype: dns.TypeSRV}}
	at := &mark{number: 1, zone: w.zone, view: w.zone.View()}
	for b.Loop() {
		b.SetBytes(int64(t.encode(nil, at, dso.Whole, t.records(at), nil).octets))
	}
}
