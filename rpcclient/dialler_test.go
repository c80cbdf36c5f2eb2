package rpcclient

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
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
