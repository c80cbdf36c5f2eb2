package rpcclient

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

func TestDeadNodeIsDialledWithGrowingDelayThatANewAnnouncementEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		a := announce("dead:1")
		c := fakeClient(t, f, Config{Source: a, WaitForNode: -1})
		defer c.Close()
		time.Sleep(time.Minute)
		dials := f.dialled("dead:1")
		if len(dials) < 14 || len(dials) > 19 {
			t.Errorf("%d dials in a minute", len(dials))
		}
		for i := 1; i < len(dials); i++ {
			gap := dials[i].Sub(dials[i-1])
			if least := pauses[min(i, len(pauses))-1]; gap > least+spread || gap < least {
				t.Errorf("gap %d is %v, want %v to %v", i, gap, least, least+spread)
			}
		}
		a.say()
		synctest.Wait()
		a.say("dead:1")
		before := len(dials)
		again := time.Now()
		time.Sleep(time.Second)
		dials = f.dialled("dead:1")[before:]
		if len(dials) < 1 || dials[0] != again {
			t.Errorf("announced again at %v, dialled at %v", again, dials)
		}
	})
}

func TestServerThatHangsUpAtOnceIsNotDialledInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"odd:1": func(nc net.Conn) {
			p := newPeer(nc)
			go p.next()
			time.Sleep(10 * time.Millisecond)
			nc.Close()
		}})
		c := fakeClient(t, f, Config{}, "odd:1")
		defer c.Close()
		time.Sleep(10 * time.Second)
		if n := len(f.dialled("odd:1")); n > 30 {
			t.Errorf("%d dials in 10s", n)
		}
	})
}

func TestServerThatIsBackAfterLongIsFoundWhileACallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		c := fakeClient(t, f, Config{}, "back:1")
		defer c.Close()
		time.Sleep(time.Minute) // now the delay is at its longest
		f.set("back:1", stock(&Arith{}))
		begin := time.Now()
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestAwaitedNodesAreCounted: the count is that of the nodes whose first dial has not ended,
// whatever ends it.
func TestAwaitedNodesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"ok:1": silent, "hung:1": silent, "hung:2": silent, "hung:3": silent})
		a := announce("ok:1", "dead:1", "hung:1", "hung:2", "hung:3")
		cfg := Config{Source: a, Conn: ConnConfig{PingInterval: -1}}
		cfg.Conn.Dial = func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
			if strings.HasPrefix(ep.Addr, "hung") {
				if err := lasts(ctx, 2*time.Second); err != nil {
					return nil, err
				}
			}
			return f.dial(ctx, ep)
		}
		c, err := New("_math._tcp.svc", &cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		check := func(when string, want int64) {
			t.Helper()
			synctest.Wait()
			if got := c.awaitedNodes.Load(); got != want {
				t.Errorf("%s: %d nodes are counted, want %d", when, got, want)
			}
		}
		check("one is up, one is dead", 3)
		a.say("ok:1", "dead:1", "hung:1", "hung:2")
		check("one has gone", 2)
		c.member("hung:1").wants(0, "")
		check("one is not needed", 1)
		c.member("hung:1").wants(0, "")
		check("that is said again", 1)
		c.member("hung:1").wants(1, "")
		check("it is needed again", 2)
		time.Sleep(2 * time.Second)
		check("their dials have ended", 0)
		f.set("dead:1", silent)
		time.Sleep(time.Minute)
		check("the dead one is up", 0)
		a.say("ok:1", "dead:1", "hung:1", "hung:2", "hung:3")
		check("one comes back", 1)
		a.say()
		time.Sleep(time.Minute)
		check("all have gone", 0)
		a.say("hung:3")
		check("one has come", 1)
	})
}
