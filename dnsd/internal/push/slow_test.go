package push

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// TestSlowReaderIsBroughtUpToDate: what it missed is put together into one difference. It
// gets each record once, however many changes there were.
func TestSlowReaderIsBroughtUpToDate(t *testing.T) {
	overBoth(t, func(t *testing.T, connect connector) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s)
		c.follow(1, "_math._tcp.svc.")
		synctest.Wait() // the writer has seen that all is read
		before := c.sets[1].messages
		for i := range 100 {
			w.put("_math._tcp", i%10)
			synctest.Wait() // the hub has seen it, and the client reads nothing
		}
		c.knows(1, w, "_math._tcp.svc.")
		if n := c.sets[1].messages - before; n != 2 {
			t.Errorf("%d messages, expected the one that was on its way and the difference", n)
		}
		if n := s.Stats().Resynchronised; n != 1 {
			t.Errorf("resynchronised: %d", n)
		}
	})
}

// TestAServiceThatChangesAllTheTimeDelaysNoOther: a client that reads slowly gets the changes
// of each name in turn.
func TestAServiceThatChangesAllTheTimeDelaysNoOther(t *testing.T) {
	overBoth(t, func(t *testing.T, connect connector) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s)
		for i, name := range []string{"_busy._tcp", "_quiet._tcp", "_still._tcp"} {
			c.follow(uint16(i+1), name+".svc.")
		}
		w.put("_busy._tcp", 0)
		synctest.Wait() // it is on its way, and the client reads nothing
		w.put("_quiet._tcp", 1)
		w.put("_still._tcp", 1)
		for i := range 5 {
			w.put("_busy._tcp", i+1) // before each message
			synctest.Wait()
			c.read()
			synctest.Wait()
		}
		if len(c.sets[2].records) == 0 || len(c.sets[3].records) == 0 {
			t.Error("the client has read five messages, and knows nothing of two names of three")
		}
		c.knows(1, w, "_busy._tcp.svc.")
	})
}

// TestSlowReaderOfAGreatDifferenceGetsTheWholeSet: what is longer than a message is the
// same for all that read slowly.
func TestSlowReaderOfAGreatDifferenceGetsTheWholeSet(t *testing.T) {
	overBoth(t, func(t *testing.T, connect connector) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s)
		c.follow(1, "_math._tcp.svc.")
		w.put("_math._tcp", 9999)
		synctest.Wait()
		for i := range 1000 {
			w.put("_math._tcp", i)
		}
		synctest.Wait()
		w.remove("_math._tcp", 3)
		synctest.Wait()
		c.knows(1, w, "_math._tcp.svc.")
	})
}

// TestAnswersThatAreNotReadAreBounded, those to subscriptions as well, which may be longer
// than what the client sends.
func TestAnswersThatAreNotReadAreBounded(t *testing.T) {
	overBoth(t, func(t *testing.T, connect connector) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s)
		c.follow(1, "_math._tcp.svc.")
		frame, err := dso.AppendFollow(nil, 2, "_other._tcp.svc.")
		both := dso.AppendUnfollow(dso.Pad(frameOf(t, frame, err), 0, paddedBlock), 2)
		var sent atomic.Int64
		go func() {
			for {
				if _, err := c.conn.Write(both); err != nil {
					return
				}
				sent.Add(1)
			}
		}()
		synctest.Wait()
		if n := sent.Load(); n < 10 || n > 2*mostOut/paddedBlock {
			t.Errorf("%d subscriptions of a client that reads no answer", n)
		}
	})
}

// TestAZoneGoesWhileAClientIsBehind: there is no difference to make any more.
func TestAZoneGoesWhileAClientIsBehind(t *testing.T) {
	overBoth(t, func(t *testing.T, connect connector) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s)
		c.follow(1, "_math._tcp.svc.")
		for i := range 3 {
			w.put("_math._tcp", i)
			synctest.Wait()
		}
		s.find("_math._tcp.svc.").close()
		synctest.Wait()
		before := c.sets[1].messages
		c.until("what was on its way", func() bool { return c.sets[1].messages > before })
		synctest.Wait()
	})
}

// TestReaderThatStopsIsAborted: a write has 10 s.
func TestReaderThatStopsIsAborted(t *testing.T) {
	overBoth(t, func(t *testing.T, connect connector) {
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		c := connect(t, s)
		c.follow(1, "_math._tcp.svc.")
		w.put("_math._tcp", 1)
		time.Sleep(writeTime - time.Second)
		synctest.Wait()
		if n := s.Stats().Sessions; n != 1 {
			t.Fatal("it has ended too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Sessions != 0 || st.Aborted != 1 {
			t.Errorf("%+v", st)
		}
		c.closed()
	})
}

// TestClientsOfAnySpeedKnowTheZoneAtTheEnd: with random changes, loads and pauses, over
// sockets and pipes, with TLS and without, each client knows what the zone has.
func TestClientsOfAnySpeedKnowTheZoneAtTheEnd(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, "svc.")
		s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
		names := []string{"_a._tcp", "_b._tcp"}
		done := make(chan struct{})
		clients := []*client{connect(t, s, false), connect(t, s, true), connectTCP(t, s), connectTLS(t, s), connectTLSPipe(t, s)}
		finished := make(chan *client)
		for i, c := range clients {
			pace := rand.New(rand.NewPCG(seed, uint64(i)))
			go func() {
				defer func() { finished <- c }()
				c.follow(1, "_a._tcp.svc.")
				c.follow(2, "_b._tcp.svc.")
				for {
					select {
					case <-done:
						return
					default:
					}
					if pace.IntN(4) == 0 {
						time.Sleep(time.Duration(pace.IntN(3000)) * time.Microsecond)
					}
					if c.ready() {
						c.read()
					}
				}
			}()
		}
		for range 400 {
			name := names[rnd.IntN(2)]
			switch rnd.IntN(20) {
			case 0:
				w.load(name, rnd.IntN(300))
			case 1, 2, 3, 4, 5, 6:
				w.remove(name, rnd.IntN(400))
			case 7:
				time.Sleep(time.Duration(rnd.IntN(2000)) * time.Microsecond)
			default:
				w.put(name, rnd.IntN(400))
			}
		}
		close(done)
		for range clients {
			<-finished
		}
		w.put("_a._tcp", 1000)
		w.put("_b._tcp", 1000)
		for _, c := range clients {
			c.until("both", func() bool { return c.sets[1].revision >= w.rev-1 && c.sets[1].whole })
			c.knows(2, w, "_b._tcp.svc.")
			c.until("all", func() bool { return c.sets[1].whole })
			w.rev-- // that of _a._tcp
			c.knows(1, w, "_a._tcp.svc.")
			w.rev++
		}
	}
}
