package rpcclient

import (
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTraceHearsOfEachStep(t *testing.T) {
	good, bad := startStock(t, ""), startStock(t, "")
	var log []string
	trace := &Trace{
		Picked:   func(method, node string, try int) { log = append(log, fmt.Sprint("picked ", method, " ", try)) },
		Sent:     func(method, node string) { log = append(log, "sent") },
		Answered: func(_, _ string, _ time.Duration, err error) { log = append(log, fmt.Sprint("answered ", err)) },
		Failed:   func(_ string, a Attempt) { log = append(log, fmt.Sprint("failed ", a.Phase, " ", a.Executed)) },
		Retrying: func(string, time.Duration) { log = append(log, "retrying") },
	}
	c := newClient(t, Config{}, good.addr, bad.addr)
	allUp(t, c, 2)
	ctx := WithTrace(t.Context(), trace)
	if err := c.Call(ctx, "Arith.Divide", &Args{1, 0}, nil); err == nil {
		t.Fatal("no error")
	}
	if err := c.Call(ctx, "Arith.Nope", &Args{1, 0}, nil); err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"picked Arith.Divide 1", "sent", "answered divide by zero", "failed answer yes",
		"picked Arith.Nope 1", "sent", "answered rpc: can't find method Arith.Nope", "failed answer yes",
	}
	if !slices.Equal(log, want) {
		t.Errorf("got  %q\nwant %q", log, want)
	}
}

// TestTracesAddUp: a Trace does not hide those that the context and the Config have.
func TestTracesAddUp(t *testing.T) {
	s := startStock(t, "")
	var log []string
	trace := func(name string) *Trace {
		return &Trace{Picked: func(string, string, int) { log = append(log, name) }}
	}
	c := newClient(t, Config{Trace: trace("config")}, s.addr)
	ctx := WithTrace(WithTrace(WithTrace(t.Context(), trace("outer")), trace("inner")), nil)
	if err := c.Call(ctx, "Arith.Multiply", &Args{6, 7}, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"config", "inner", "outer"}; !slices.Equal(log, want) {
		t.Errorf("got %q, want %q", log, want)
	}
}

// TestAHookThatPanicsLeaksNothing: the caller panics, and no request and no pick is left.
func TestAHookThatPanicsLeaksNothing(t *testing.T) {
	boom := func() { panic("hook") }
	for name, trace := range map[string]*Trace{
		"Picked":   {Picked: func(string, string, int) { boom() }},
		"Sent":     {Sent: func(string, string) { boom() }},
		"Answered": {Answered: func(string, string, time.Duration, error) { boom() }},
		"Failed":   {Failed: func(string, Attempt) { boom() }},
		"Retrying": {Retrying: func(string, time.Duration) { boom() }},
		"Hedging":  {Hedging: func(string, time.Duration) { boom() }},
	} {
		synctest.Test(t, func(t *testing.T) {
			var lose atomic.Bool
			node := func(nc net.Conn) {
				p := newPeer(nc)
				for {
					req, args, err := p.next()
					if err != nil {
						return
					}
					if lose.Load() {
						nc.Close()
						return
					}
					time.Sleep(10 * time.Millisecond)
					p.answer(req.Seq, "", args.A*args.B)
				}
			}
			f := newFakeNet(map[string]func(net.Conn){"a:1": node, "b:1": node})
			c := fakeClient(t, f, Config{}, "a:1", "b:1")
			defer c.Close()
			allUp(t, c, 2)
			for range 100 {
				c.latencies.record("Arith.Multiply", time.Millisecond, c.now())
				c.latencies.earn("Arith.Multiply", 0.02)
			}
			lose.Store(name == "Failed" || name == "Retrying")
			ctx := WithTrace(t.Context(), trace)
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				c.Call(ctx, "Arith.Multiply", &Args{6, 7}, new(int), Hedge(0.02))
			}()
			if call := <-c.Go(ctx, "Arith.Multiply", &Args{6, 7}, new(int), nil, Hedge(0.02)).Done; call.Error == nil && name != "Hedging" {
				t.Errorf("%s: Go has no error", name)
			}
			lose.Store(false)
			time.Sleep(time.Second)
			synctest.Wait()
			s := c.Stats()
			for _, n := range s.Nodes {
				if n.InFlight != 0 {
					t.Errorf("%s: %d picks are left on %s", name, n.InFlight, n.Addr)
				}
			}
			if s.InFlight != 0 {
				t.Errorf("%s: %d calls are under way", name, s.InFlight)
			}
			if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}); err != nil || product != 42 {
				t.Errorf("%s: the next call: %d, %v", name, product, err)
			}
		})
	}
}
