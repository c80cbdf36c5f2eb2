package push

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChangesReachAFollower(t *testing.T) {
	for _, socket := range []bool{false, true} {
		w := newWorld(t, "svc.")
		w.put("_math._tcp", 1)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s, false)
		if socket {
			c = connectTCP(t, s)
		}
		if f := c.follow(7, "_MATH._tcp.svc."); len(f.records) != 2 {
			t.Fatalf("first set: %v", f.records)
		}
		c.knows(7, w, "_math._tcp.svc.")
		w.put("_math._tcp", 2)
		c.knows(7, w, "_math._tcp.svc.")
		w.put("_other._tcp", 3) // of which it hears nothing
		w.remove("_math._tcp", 1)
		c.knows(7, w, "_math._tcp.svc.")
		w.load("_math._tcp", 5)
		c.knows(7, w, "_math._tcp.svc.")
		w.load("_math._tcp", 0)
		c.knows(7, w, "_math._tcp.svc.")
		if n := len(c.sets[7].records); n != 0 {
			t.Errorf("%d records of a service that is gone", n)
		}
	}
}

// TestLargeSetArrivesWhole: a set that no message can hold comes in several.
func TestLargeSetArrivesWhole(t *testing.T) {
	w := newWorld(t, "svc.")
	w.load("_math._tcp", 5000)
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := connectTCP(t, s)
	f := c.follow(7, "_math._tcp.svc.")
	if len(f.records) != 10_000 || f.messages < 10 {
		t.Errorf("%d records in %d messages", len(f.records), f.messages)
	}
	c.knows(7, w, "_math._tcp.svc.")
	w.load("_math._tcp", 2500)
	c.knows(7, w, "_math._tcp.svc.")
}

func TestUnfollowEndsIt(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := connect(t, s, false)
	c.follow(1, "_a._tcp.svc.")
	c.follow(2, "_b._tcp.svc.")
	c.send(dso.AppendUnfollow(nil, 1))
	c.send(dso.AppendUnfollow(nil, 9)) // not known: ignored
	c.follow(3, "_c._tcp.svc.")        // answered after what came before
	w.put("_a._tcp", 1)
	w.put("_b._tcp", 1)
	c.until("the change", func() bool { return len(c.sets[2].records) > 0 })
	if len(c.sets[1].records) > 0 {
		t.Error("a change came after UNFOLLOW")
	}
	if n := s.Stats().Subscriptions; n != 2 {
		t.Errorf("%d subscriptions, expected 2", n)
	}
	c.conn.Close()
	s.Wait()
	if st := s.Stats(); st.Subscriptions != 0 || st.Sessions != 0 {
		t.Errorf("after the end: %+v", st)
	}
}

func TestStaleIsTold(t *testing.T) {
	w := newWorld(t, "svc.")
	w.put("_a._tcp", 1)
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := connect(t, s, false)
	c.follow(1, "_a._tcp.svc.")
	w.zone.SetStale(true)
	c.until("the news", func() bool { return c.sets[1].stale })
	if len(c.sets[1].records) != 2 {
		t.Errorf("records after it: %v", c.sets[1].records)
	}
	w.zone.SetStale(false)
	c.until("the news", func() bool { return !c.sets[1].stale })
}

func TestKeepAliveIsAnsweredWithTheServersTimes(t *testing.T) {
	s := newServer(t, Config{})
	c := connect(t, s, false)
	m := c.request(dso.AppendKeepAlive(nil, 5, dso.KeepAlive{Inactivity: time.Hour, Interval: time.Hour}))
	k, err := m.KeepAlive()
	if err != nil || k.Inactivity != inactivity || k.Interval < leastInterval || k.Interval >= mostInterval {
		t.Errorf("%+v, %v", k, err)
	}
}

// TestSilentClientIsAborted: RFC 8490 sections 6.4.1 and 6.5.1.
func TestSilentClientIsAborted(t *testing.T) {
	cases := []struct {
		name  string
		until time.Duration
		begin func(*client)
	}{
		{"without a request", 30 * time.Second, func(c *client) {}},
		{"without a subscription", 30 * time.Second, func(c *client) {
			c.request(dso.AppendKeepAlive(nil, 5, dso.KeepAlive{}))
		}},
		{"with a subscription and the default times", 30 * time.Second, func(c *client) { c.follow(1, "_a._tcp.svc.") }},
		{"with a subscription", 2 * leastInterval, func(c *client) {
			c.request(dso.AppendKeepAlive(nil, 5, dso.KeepAlive{}))
			c.follow(1, "_a._tcp.svc.")
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "svc.")
				s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
				c := connect(t, s, false)
				tc.begin(c)
				time.Sleep(tc.until - time.Second)
				synctest.Wait()
				if n := s.Stats().Sessions; n != 1 {
					t.Fatal("it has ended too early")
				}
				time.Sleep(2*mostInterval - 2*leastInterval + 2*time.Second)
				synctest.Wait()
				if st := s.Stats(); st.Sessions != 0 || st.Aborted != 1 || st.Subscriptions != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// TestPushesKeepASessionAlive: what the server sends resets the keepalive timer (RFC 8490
// section 6.3).
func TestPushesKeepASessionAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s, false)
		c.follow(1, "_a._tcp.svc.")
		for i := range 10 {
			time.Sleep(20 * time.Second)
			w.put("_a._tcp", i)
			c.knows(1, w, "_a._tcp.svc.")
		}
		if n := s.Stats().Sessions; n != 1 {
			t.Error("it has ended")
		}
	})
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, "svc.")
	absent, err := zone.New(zone.Config{Origin: "absent.", Absent: true, NSAddrs: w.addrs()})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone, absent}})
	cases := []struct {
		name  string
		rcode int
		delay time.Duration
	}{
		{"_a._tcp.elsewhere.", dns.RcodeNotAuth, 5 * time.Minute},
		{"_a._tcp.absent.", dns.RcodeServerFailure, time.Second},
		{".", dns.RcodeNotAuth, 5 * time.Minute},
	}
	c := connect(t, s, false)
	for _, tc := range cases {
		frame, err := dso.AppendFollow(nil, 5, tc.name)
		m := c.request(frameOf(t, frame, err))
		delay, ok, err := m.RetryDelay()
		if m.Rcode != tc.rcode || delay != tc.delay || !ok || err != nil {
			t.Errorf("%s: %s, %v %v %v", tc.name, dns.RcodeToString[m.Rcode], delay, ok, err)
		}
	}
}

// TestAClientThatNeverPausesIsEnded: what a client sends without a pause can always be read, so
// that no deadline of a read ends it.
func TestAClientThatNeverPausesIsEnded(t *testing.T) {
	_, s := worldAndServer(t)
	c := connectTCP(t, s)
	c.follow(1, "_math._tcp.svc.")
	var many []byte
	for len(many) < 256<<10 {
		many = append(many, dso.AppendKeepAlive(nil, 5, dso.KeepAlive{})...)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := c.conn.Write(many); err != nil {
				return
			}
		}
	}()
	s.Update(Config{}) // the zone goes, and the client does not go
	s.mu.Lock()
	for ses := range s.sessions { // its time is over
		ses.mu.Lock()
		ses.last = ses.last.Add(-leaveTime)
		ses.mu.Unlock()
	}
	s.mu.Unlock()
	<-ended
}
