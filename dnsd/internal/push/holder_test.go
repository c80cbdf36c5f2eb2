package push

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// connectFrom opens a session of an address by a pipe.
func connectFrom(t testing.TB, s *Server, from string) *client {
	t.Helper()
	ours, theirs := pipe(t)
	if !s.Serve(Conn{Conn: theirs, From: netip.MustParseAddr(from)}) {
		t.Fatal("no room for a session")
	}
	c := newClient(t, ours)
	c.from = netip.MustParseAddr(from)
	return c
}

// tries sends a FOLLOW, and returns the response.
func (c *client) tries(id uint16, name string) dso.Message {
	c.t.Helper()
	frame, err := dso.AppendFollow(nil, id, name)
	return c.request(frameOf(c.t, frame, err))
}

// TestOneAddressHasNotAllSubscriptions: others find room when it has as many as it may.
func TestOneAddressHasNotAllSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}, Limits: Limits{PerAddress: 2}})
		greedy, too, other := connectFrom(t, s, "2001:db8::1"), connectFrom(t, s, "2001:db8::2"), connectFrom(t, s, "2001:db8:1::1")
		for i := range mostPerSession {
			greedy.follow(uint16(i+1), fmt.Sprintf("_s%d._tcp.svc.", i))
		}
		m := too.tries(1, "_a._tcp.svc.")
		if delay, ok, err := m.RetryDelay(); m.Rcode != dns.RcodeRefused || !ok || err != nil || delay < time.Second || delay > 3*time.Second {
			t.Errorf("one too many of an address: %+v, %v %v %v", m, delay, ok, err)
		}
		other.follow(1, "_a._tcp.svc.")
		if m := greedy.tries(2000, "_a._tcp.svc."); m.Rcode != dns.RcodeRefused {
			t.Errorf("one too many of a session: %+v", m)
		}
		greedy.conn.Close()
		other.conn.Close()
		synctest.Wait()
		too.follow(3, "_b._tcp.svc.") // there is room for it now
	})
}

// TestAMessageThatDoesNotEndEndsTheSession: after a time, however slowly it comes, also in a
// session that may be silent for an hour.
func TestAMessageThatDoesNotEndEndsTheSession(t *testing.T) {
	for _, every := range []time.Duration{time.Hour, time.Second, messageTime - time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "svc.")
			s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
			c := connect(t, s, false)
			c.request(dso.AppendKeepAlive(nil, 5, dso.KeepAlive{}))
			c.follow(1, "_a._tcp.svc.")
			time.Sleep(time.Minute)
			begun := time.Now()
			go func() {
				c.conn.Write([]byte{0xff, 0xff})
				for {
					time.Sleep(every)
					if _, err := c.conn.Write([]byte{0}); err != nil {
						return
					}
				}
			}()
			c.closed()
			if took := time.Since(begun); took != messageTime {
				t.Errorf("an octet every %v: ended after %v, want %v", every, took, messageTime)
			}
			if n := s.Stats().Aborted; n != 1 {
				t.Errorf("aborted: %d", n)
			}
			c.conn.Close()
			time.Sleep(every)
		})
	}
}

// TestMessagesThatEndMayTakeTheirTime: each of them, and not all together.
func TestMessagesThatEndMayTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s, false)
		c.follow(99, "_a._tcp.svc.")
		for i := range 5 {
			frame := dso.AppendKeepAlive(nil, uint16(i+1), dso.KeepAlive{})
			c.send(frame[:9])
			time.Sleep(messageTime - time.Millisecond)
			c.send(frame[9:])
			if m := c.read(); m.ID != uint16(i+1) || m.Rcode != dns.RcodeSuccess {
				t.Fatal(m)
			}
		}
	})
}

// TestPartsOfLongMessagesAreBounded: the memory of one address and of all, which comes back.
func TestPartsOfLongMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		part := append([]byte{0xff, 0xff}, make([]byte, 60_000)...)
		const sessions, addresses = 20, 40 // each address has room for some 16
		for a := range addresses {
			for range sessions {
				c := connectFrom(t, s, fmt.Sprintf("192.0.2.%d", a))
				go c.conn.Write(part)
			}
		}
		quiet := connectFrom(t, s, "198.51.100.1")
		synctest.Wait()
		if n := s.total.partial.Load(); n > mostPartial || n < mostPartial*9/10 {
			t.Errorf("%d octets in parts of messages, want nearly %d", n, mostPartial)
		}
		s.mu.Lock()
		for _, h := range s.clients {
			if n := h.partial.Load(); n > mostPartialEach {
				t.Errorf("%s has %d octets", h.key, n)
			}
		}
		s.mu.Unlock()
		quiet.follow(1, "_a._tcp.svc.") // whose requests are short
		time.Sleep(messageTime)
		synctest.Wait()
		if n := s.total.partial.Load(); n != 0 || s.Stats().Sessions != 1 {
			t.Errorf("%d octets at the end, %+v", n, s.Stats())
		}
	})
}

// TestALongMessageGivesItsMemoryBack: also if another one has begun after it.
func TestALongMessageGivesItsMemoryBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		c := connect(t, s, false)
		long := dso.Pad(dso.AppendKeepAlive(nil, 1, dso.KeepAlive{}), 0, 60_000)
		next := dso.Pad(dso.AppendKeepAlive(nil, 2, dso.KeepAlive{}), 0, 400)
		c.send(append(long, next[:100]...))
		c.read()
		synctest.Wait()
		if n := s.total.partial.Load(); n != 0 {
			t.Errorf("%d octets for a part of 100", n)
		}
		c.send(next[100:])
		if m := c.read(); m.ID != 2 || m.Rcode != dns.RcodeSuccess {
			t.Error(m)
		}
	})
}

// TestTurnsSpreadTheReturn: soon if few were refused, and no more in a second than the
// server can bear if many were. No client waits for ever.
func TestTurnsSpreadTheReturn(t *testing.T) {
	now := time.Now()
	var few turns
	for range 10 {
		if wait := few.take(now, turnOfAll); wait < time.Second || wait > 2100*time.Millisecond {
			t.Errorf("one of few waits %v", wait)
		}
		now = now.Add(time.Second)
	}
	var many turns
	perSecond := map[int]int{}
	for range 20_000 {
		perSecond[int(many.take(now, turnOfAll)/time.Second)]++
	}
	for second, n := range perSecond {
		if n > 1200 {
			t.Errorf("%d come back in second %d", n, second)
		}
	}
	if len(perSecond) < 40 {
		t.Errorf("20,000 clients come back within %d s", len(perSecond))
	}
	for range 100_000 {
		if wait := many.take(now, turnOfAll); wait < longestTurn/2 || wait > comeBack+longestTurn*3/2 {
			t.Fatalf("the last one waits %v", wait)
		}
	}
	now = now.Add(time.Hour)
	if wait := many.take(now, turnOfAll); wait > 2*time.Second {
		t.Errorf("an hour later one waits %v", wait)
	}
}

// TestWhoIsRefusedComesBackSoon: and one address that is full does not delay the others.
func TestWhoIsRefusedComesBackSoon(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}, Limits: Limits{Sessions: 2, PerAddress: 1}})
	connectFrom(t, s, "192.0.2.1")
	refused := func(from string) time.Duration {
		m, err := dso.Read(s.Refuse(nil, dso.AppendKeepAlive(nil, 9, dso.KeepAlive{})[2:], netip.MustParseAddr(from))[2:], dso.FromServer)
		delay, ok, wrong := m.RetryDelay()
		if err != nil || wrong != nil || !ok || m.Rcode != dns.RcodeRefused || m.ID != 9 {
			t.Fatalf("%+v %v %v", m, err, wrong)
		}
		return delay
	}
	for range 1000 {
		refused("192.0.2.1")
	}
	if delay := refused("192.0.2.1"); delay < 10*time.Second {
		t.Errorf("one of a thousand of an address is to come back in %v", delay)
	}
	connectFrom(t, s, "192.0.2.2")
	if delay := refused("192.0.2.3"); delay > 3*time.Second {
		t.Errorf("another one is to come back in %v", delay)
	}
}

// TestReconfirmIsBounded: for one client, and for all.
func TestReconfirmIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.put("_math._tcp", 7)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}, Reconfirm: func(*zone.Zone, dns.RR) {}})
		rr, err := dns.NewRR("a7.math.tcp.svc. 0 A 10.0.0.7")
		if err != nil {
			t.Fatal(err)
		}
		doubt := func(h *holder) int {
			before := s.Stats().Reconfirmed
			for range 100 {
				s.doubt(rr, h)
				synctest.Wait()
			}
			return int(s.Stats().Reconfirmed - before)
		}
		one := holderAt(netip.Addr{})
		if n := doubt(one); n != doubtsBurst {
			t.Errorf("one client had %d checked, want %d", n, doubtsBurst)
		}
		all := doubtsBurst
		for range 10 {
			all += doubt(holderAt(netip.Addr{}))
		}
		if all != doubtsOfAllBurst {
			t.Errorf("all had %d checked, want %d", all, doubtsOfAllBurst)
		}
		time.Sleep(time.Second)
		if n := doubt(one); n != 1 {
			t.Errorf("a second later %d, want 1", n)
		}
	})
}

// TestANewSessionIsNoNewClient: one that comes again at once may not doubt more than before. It
// is remembered for as long as that has an effect.
func TestANewSessionIsNoNewClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		come := func(from netip.Addr, doubts int) (allowed int) {
			place := s.Reserve(from)
			defer place.Free()
			for range doubts {
				if place.holder.doubts.Allow() {
					allowed++
				}
			}
			return allowed
		}
		from := netip.MustParseAddr("192.0.2.1")
		if first, second := come(from, 20), come(from, 20); first != doubtsBurst || second != 0 {
			t.Errorf("%d, and %d in the next session", first, second)
		}
		time.Sleep(time.Minute)
		come(from, 0)
		if n := len(s.clients); n != 0 {
			t.Errorf("%d clients are remembered", n)
		}
		for i := range 5000 { // each needs a second until it is as good as a new one
			come(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(s.clients); n > 500 {
			t.Errorf("%d clients are remembered, of 100 within a second", n)
		}
	})
}

// TestAPlaceIsASessionOrIsFree: it counts as a session, until it is given back.
func TestAPlaceIsASessionOrIsFree(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}, Limits: Limits{Sessions: 1}})
	from := netip.MustParseAddr("192.0.2.1")
	place := s.Reserve(from)
	if place == nil || s.Reserve(from) != nil {
		t.Fatal("there are more places than sessions")
	}
	place.Free()
	place.Free()
	if place = s.Reserve(from); place == nil {
		t.Fatal("a place was not given back")
	}
	ours, theirs := pipe(t)
	if !s.Serve(Conn{Conn: theirs, From: from, Place: place}) {
		t.Fatal("a place is no room for a session")
	}
	place.Free() // it is the session's now
	if s.Reserve(from) != nil {
		t.Error("the place of a session was given back")
	}
	ours.Close()
	s.Wait()
	if s.Reserve(from) == nil {
		t.Error("no place after the end of the session")
	}
}
