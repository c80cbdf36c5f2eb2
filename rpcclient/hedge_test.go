package rpcclient

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/rpc"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// learn makes the client know that calls take a millisecond.
func learn(t *testing.T, c *Client, opts ...CallOption) {
	t.Helper()
	for range 200 {
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), opts...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHedgeTakesTheFirstAnswerAndTheLateOneTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		delay := func() time.Duration {
			if hang.CompareAndSwap(true, false) {
				return time.Second // the first request after hang was set, and no other
			}
			return time.Millisecond
		}
		f := newFakeNet(map[string]func(net.Conn){"a:1": slow(delay), "b:1": slow(delay)})
		c := fakeClient(t, f, Config{}, "a:1", "b:1")
		defer c.Close()
		ready(t, c)
		opts := Hedge(0.02)
		learn(t, c, opts)
		if n := c.Stats().Hedges; n > 10 {
			t.Fatalf("%d hedges of 200 calls that take the same time", n)
		}
		before := c.Stats()
		hang.Store(true)
		begin := time.Now()
		var reply int
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, &reply, opts); err != nil || reply != 42 {
			t.Fatal(reply, err)
		}
		if took := time.Since(begin); took < 2*time.Millisecond || took > 3*time.Millisecond {
			t.Errorf("took %v, want a little over 2ms", took)
		}
		after := c.Stats()
		if after.Hedges != before.Hedges+1 || after.HedgesWon != before.HedgesWon+1 {
			t.Errorf("%+v", after)
		}
		reply = -1
		time.Sleep(2 * time.Second) // the late reply comes
		synctest.Wait()
		if reply != -1 {
			t.Errorf("late reply wrote %d", reply)
		}
	})
}

func TestHedgingAddsNoMoreLoadThanAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		f := newFakeNet(nil)
		f.nodes = map[string]func(net.Conn){}
		delay := func() time.Duration {
			f.mu.Lock()
			defer f.mu.Unlock()
			return time.Duration(1+rnd.ExpFloat64()*10) * time.Millisecond
		}
		f.nodes["a:1"], f.nodes["b:1"] = slow(delay), slow(delay)
		c := fakeClient(t, f, Config{Methods: map[string]Method{"Arith.Multiply": {Idempotent: true, Hedge: 0.05}}}, "a:1", "b:1")
		defer c.Close()
		ready(t, c)
		const calls = 3000
		for range calls {
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(err)
			}
		}
		s := c.Stats()
		if share := float64(s.Hedges) / calls; share < 0.02 || share > 0.07 {
			t.Errorf("%d hedges of %d calls, want about 5 %%", s.Hedges, calls)
		}
	})
}

// TestHedgesStayWithinTheirShare though four times as many calls are slow: at the
// beginning, and after a long time without slow calls.
func TestHedgesStayWithinTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Second) // the requests that were given up end
		var n atomic.Int64
		delay := func() time.Duration { // slow calls come in groups, and not at first
			if i := n.Add(1); i > 300 && i%200 < 8 {
				return time.Duration(20+10*(i%200)) * time.Millisecond
			}
			return 2 * time.Millisecond
		}
		f := newFakeNet(map[string]func(net.Conn){"a:1": slow(delay), "b:1": slow(delay), "c:1": slow(delay)})
		c := fakeClient(t, f, Config{}, "a:1", "b:1", "c:1")
		defer c.Close()
		ready(t, c)
		for calls := 1; calls <= 3000; calls++ {
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), Hedge(0.01)); err != nil {
				t.Fatal(err)
			}
			if s := c.Stats(); s.Hedges > uint64(calls)/100 {
				t.Fatalf("%d hedges of %d calls", s.Hedges, calls)
			}
		}
		if s := c.Stats(); s.Hedges < 10 {
			t.Errorf("only %d hedges of 3000 calls, of which 4 %% are slow", s.Hedges)
		}
	})
}

func TestEarlyFailureDoesNotHideTheOthersAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		f := newFakeNet(nil)
		// The first node takes the request and dies, after the hedge was sent.
		node := func(nc net.Conn) {
			p := newPeer(nc)
			for {
				req, args, err := p.next()
				if err != nil {
					return
				}
				if hang.CompareAndSwap(true, false) {
					time.Sleep(4 * time.Millisecond)
					nc.Close()
					return
				}
				time.Sleep(2 * time.Millisecond)
				p.answer(req.Seq, "", args.A*args.B)
			}
		}
		f.nodes = map[string]func(net.Conn){"a:1": node, "b:1": node}
		c := fakeClient(t, f, Config{}, "a:1", "b:1")
		defer c.Close()
		ready(t, c)
		opts := Hedge(0.02)
		learn(t, c, opts)
		hang.Store(true)
		var failed []Attempt
		ctx := WithTrace(t.Context(), &Trace{Failed: func(_ string, a Attempt) { failed = append(failed, a) }})
		var reply int
		if err := c.Call(ctx, "Arith.Multiply", &Args{6, 7}, &reply, opts); err != nil || reply != 42 {
			t.Fatal(reply, err)
		}
		if len(failed) != 1 || failed[0].Executed != ExecutedMaybe || failed[0].Hedge {
			t.Errorf("failed attempts: %v", failed)
		}
	})
}

func TestServersErrorEndsHedgedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := func(nc net.Conn) {
			p := newPeer(nc)
			for {
				req, args, err := p.next()
				if err != nil {
					return
				}
				time.Sleep(time.Millisecond)
				if args.B == 0 {
					p.answer(req.Seq, "divide by zero", struct{}{})
				} else {
					p.answer(req.Seq, "", args.A/args.B)
				}
			}
		}
		f := newFakeNet(map[string]func(net.Conn){"a:1": node, "b:1": node})
		c := fakeClient(t, f, Config{}, "a:1", "b:1")
		defer c.Close()
		learn(t, c, Hedge(0.02))
		var server rpc.ServerError
		err := c.Call(t.Context(), "Arith.Multiply", &Args{1, 0}, new(int), Hedge(0.02))
		var e *Error
		if !errors.As(err, &server) || !errors.As(err, &e) || e.Executed != ExecutedYes || len(e.Attempts) != 1 {
			t.Fatal(err)
		}
	})
}
