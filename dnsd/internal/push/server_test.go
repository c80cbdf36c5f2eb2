package push

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

func TestBounds(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}, Limits: Limits{Sessions: 3, PerAddress: 2}})
	first := connect(t, s, false)
	connect(t, s, false)
	one := Conn{Conn: first.conn, From: netip.MustParseAddr("192.0.2.1")}
	if s.Serve(one) {
		t.Error("three sessions of one address")
	}
	v6 := one
	v6.From = netip.MustParseAddr("2001:db8::1")
	other, theirs := pipe(t)
	v6.Conn = theirs
	if !s.Serve(v6) {
		t.Error("no session of another address")
	}
	v6.From = netip.MustParseAddr("2001:db9::1")
	if s.Serve(v6) {
		t.Error("a session above the bound for all")
	}
	if n := s.Stats().Refused; n != 2 {
		t.Errorf("refused: %d", n)
	}
	other.Close()
}

// TestSubscriptionsAreBounded: in a session, and in all of them.
func TestSubscriptionsAreBounded(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}, Limits: Limits{Sessions: 1}})
	c := connect(t, s, false)
	for i := range meanPerSession + 1 {
		frame, err := dso.AppendFollow(nil, uint16(i+1), string(rune('a'+i))+".svc.")
		m := c.request(frameOf(t, frame, err))
		if good := i < meanPerSession; good != (m.Rcode == dns.RcodeSuccess) {
			t.Errorf("FOLLOW %d: %s", i, dns.RcodeToString[m.Rcode])
		}
		if delay, ok, _ := m.RetryDelay(); i == meanPerSession && (m.Rcode != dns.RcodeRefused || !ok || delay < time.Second || delay > 3*time.Second) {
			t.Errorf("FOLLOW %d: %+v", i, m)
		}
	}
	c.send(dso.AppendUnfollow(nil, 1))
	c.follow(100, "_again._tcp.svc.") // there is room for it now
	if st := s.Stats(); st.Subscriptions != meanPerSession || st.Refused != 1 {
		t.Errorf("%+v", st)
	}
}

// TestAClientThatNeverBeginsIsAborted: it may try some messages, and not many.
func TestAClientThatNeverBeginsIsAborted(t *testing.T) {
	s := newServer(t, Config{})
	c := connect(t, s, false)
	for i := range mostFresh {
		frame, err := dso.AppendFollow(nil, uint16(i+1), "_a._tcp.nowhere.")
		if m := c.request(frameOf(t, frame, err)); m.Rcode != dns.RcodeNotAuth {
			t.Fatalf("FOLLOW %d: %+v", i, m)
		}
	}
	frame, err := dso.AppendFollow(nil, 99, "_a._tcp.nowhere.")
	c.send(frameOf(t, frame, err))
	c.closed()
}

// TestDrainSpreadsTheReturn: each client is told a later time, and nothing is sent after
// that. One that stays is aborted after 5 s (RFC 8490 section 6.6.1).
func TestDrainSpreadsTheReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		var clients []*client
		for range 5 {
			c := connect(t, s, false)
			c.follow(1, "_a._tcp.svc.")
			clients = append(clients, c)
		}
		fresh := connect(t, s, false)
		s.Drain()
		w.put("_a._tcp", 1)
		synctest.Wait()
		seen := map[time.Duration]bool{}
		for _, c := range clients {
			m := c.read()
			delay, ok, err := m.RetryDelay()
			if m.Primary.Type != dso.TypeRetryDelay || !ok || err != nil || delay < comeBack || delay > comeBack+time.Duration(len(clients)+1)*mostSpread || seen[delay] {
				t.Errorf("%+v %v %v %v", m, delay, ok, err)
			}
			seen[delay] = true
		}
		fresh.closed() // nothing may be sent to it
		clients[0].conn.Close()
		time.Sleep(leaveTime - time.Second)
		synctest.Wait()
		if n := s.Stats().Sessions; n != 4 {
			t.Errorf("%d sessions, expected those that stay", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Sessions != 0 || st.Aborted != 4 {
			t.Errorf("%+v", st)
		}
		_, theirs := pipe(t)
		if s.Serve(Conn{Conn: theirs}) {
			t.Error("a session after Drain")
		}
	})
}

// TestAZoneThatGoesLeavesTheOthersTheirClients: one that follows a zone that stays comes back
// soon.
func TestAZoneThatGoesLeavesTheOthersTheirClients(t *testing.T) {
	w, other := newWorld(t, "svc."), newWorld(t, "other.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone, other.zone}})
	alone, both, stays := connect(t, s, false), connect(t, s, false), connect(t, s, false)
	alone.follow(1, "_a._tcp.svc.")
	both.follow(1, "_a._tcp.svc.")
	both.follow(2, "_a._tcp.other.")
	stays.follow(2, "_a._tcp.other.")
	s.Update(Config{Zones: []*zone.Zone{other.zone}})
	for c, least := range map[*client]time.Duration{alone: 5 * time.Minute, both: comeBack} {
		m := c.read()
		delay, ok, err := m.RetryDelay()
		if m.Rcode != dns.RcodeNotAuth || !ok || err != nil || delay < least || delay > least+time.Second {
			t.Errorf("%+v, %v %t %v, want %v", m, delay, ok, err, least)
		}
	}
	other.put("_a._tcp", 1)
	stays.knows(2, other, "_a._tcp.other.")
}

// TestAZoneWithoutSubscribersIsLeftAlone: its hub runs only while there are any.
func TestAZoneWithoutSubscribersIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		running := func() bool {
			synctest.Wait()
			h := s.find("svc.")
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.running
		}
		if running() {
			t.Error("it runs at the start")
		}
		c := connect(t, s, false)
		c.follow(1, "_a._tcp.svc.")
		if !running() {
			t.Error("it does not run")
		}
		c.send(dso.AppendUnfollow(nil, 1))
		if running() {
			t.Error("it runs without a subscription")
		}
		c.follow(2, "_a._tcp.svc.")
		w.put("_a._tcp", 1)
		c.knows(2, w, "_a._tcp.svc.")
	})
}
