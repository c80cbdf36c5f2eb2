package push

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// now is what is held.
func (h *held) now() (octets, versions int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.octets, len(h.order)
}

// TestTheSessionThatIsTheFurthestBehindIsAborted: when clients that do not read hold many
// versions of a large service. The others get all.
func TestTheSessionThatIsTheFurthestBehindIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.load("_big._tcp", 1000)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		frame, err := dso.AppendFollow(nil, 1, "_big._tcp.svc.")
		frameOf(t, frame, err)
		var all []*client
		begin := func() {
			c := connect(t, s, false)
			c.send(frame)
			all = append(all, c)
			synctest.Wait()
		}
		begin()
		one, _ := s.held.now()
		if one < 2*scratch {
			t.Fatalf("a client that does not read holds %d octets", one)
		}
		begin() // which shares it
		if n, _ := s.held.now(); n != one {
			t.Fatalf("two clients hold %d octets of the same version, want %d", n, one)
		}
		s.held.most = 3*one + one/2
		for i := range 4 {
			w.put("_big._tcp", 2000+i)
			begin()
			if n, _ := s.held.now(); n > s.held.most {
				t.Fatalf("they hold %d octets", n)
			}
		}
		// Six clients hold five versions, and there is room for three.
		for i, c := range all {
			if i < 3 {
				c.closed()
				continue
			}
			c.read()
			c.until("the set", func() bool { f := c.sets[1]; return f != nil && f.whole && f.revision >= w.rev })
			c.knows(1, w, "_big._tcp.svc.")
		}
		synctest.Wait()
		if n, order := s.held.now(); n != 0 || order != 0 {
			t.Errorf("%d octets in %d versions are held when all is read", n, order)
		}
		if st := s.Stats(); st.Aborted != 3 || st.Sessions != 3 {
			t.Errorf("%+v", st)
		}
	})
}

// TestOneLargeSetIsSentHoweverLargeItIs, to many clients.
func TestOneLargeSetIsSentHoweverLargeItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.load("_big._tcp", 1000)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		s.held.most = 1
		var all []*client
		for range 5 {
			c := connect(t, s, false)
			frame, err := dso.AppendFollow(nil, 1, "_big._tcp.svc.")
			c.send(frameOf(t, frame, err))
			all = append(all, c)
		}
		synctest.Wait()
		for _, c := range all {
			c.read()
			c.until("the set", func() bool { f := c.sets[1]; return f != nil && f.whole })
			c.knows(1, w, "_big._tcp.svc.")
		}
	})
}

// TestWhatIsHeldIsGivenBack: at each end of a subscription.
func TestWhatIsHeldIsGivenBack(t *testing.T) {
	for name, end := range map[string]func(*Server, *client){
		"the client closes":  func(_ *Server, c *client) { c.conn.Close() },
		"UNFOLLOW":           func(_ *Server, c *client) { c.send(dso.AppendUnfollow(nil, 1)) },
		"the server drains":  func(s *Server, _ *client) { s.Drain() },
		"it reads nothing":   func(*Server, *client) { time.Sleep(writeTime + time.Second) },
		"the zone goes away": func(s *Server, _ *client) { s.Update(Config{}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "svc.")
			w.load("_big._tcp", 1000)
			s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
			c := connect(t, s, false)
			frame, err := dso.AppendFollow(nil, 1, "_big._tcp.svc.")
			c.send(frameOf(t, frame, err))
			synctest.Wait()
			if n, _ := s.held.now(); n == 0 {
				t.Error("nothing is held")
			}
			end(s, c)
			synctest.Wait()
			if n, versions := s.held.now(); n != 0 || versions != 0 {
				t.Errorf("%s: %d octets are held", name, n)
			}
			if name == "UNFOLLOW" {
				c.read()                         // the response
				c.request(keepAliveFrame(t, 77)) // the session goes on
			}
		})
	}
}

func keepAliveFrame(_ testing.TB, id uint16) []byte {
	return dso.AppendKeepAlive(nil, id, dso.KeepAlive{})
}

// TestManyVersionsCostNoMoreThanTheBound: of random clients, some of which read.
func TestManyVersionsCostNoMoreThanTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "svc.")
		w.load("_big._tcp", 500)
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		s.held.most = 100_000
		for i := range 60 {
			c := connectFrom(t, s, fmt.Sprintf("192.0.2.%d", i))
			frame, err := dso.AppendFollow(nil, 1, "_big._tcp.svc.")
			c.send(frameOf(t, frame, err))
			synctest.Wait()
			if i%3 == 0 {
				c.read()
				c.until("the set", func() bool { return c.sets[1] != nil && c.sets[1].whole })
			}
			w.put("_big._tcp", i)
			synctest.Wait()
			if n, versions := s.held.now(); n > s.held.most && versions > 1 {
				t.Errorf("%d octets of %d versions", n, versions)
			}
		}
	})
}
