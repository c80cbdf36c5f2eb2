package rpcclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/rpc"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/resolver"
)

// most returns how many of the times are within one window of the given width, at most.
func most(times []time.Time, width time.Duration) (n int) {
	begin := 0
	for end := range times {
		for times[end].Sub(times[begin]) > width {
			begin++
		}
		n = max(n, end-begin+1)
	}
	return n
}

// one serves the first connection and refuses all others, like a server at its limit, or
// one that has closed its listener and finishes its calls.
func one(f *fakeNet, addr string, serve func(net.Conn)) func(net.Conn) {
	return func(nc net.Conn) {
		f.set(addr, nil)
		serve(nc)
	}
}

func TestGoodConnectionDoesNotMakeItsNodeBeDialledInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		f.set("full:1", one(f, "full:1", stock(&Arith{})))
		c := fakeClient(t, f, Config{}, "full:1")
		defer c.Close()
		ready(t, c)
		const minutes = 10
		for range minutes * 60 {
			time.Sleep(time.Second)
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Fatal(err)
			}
		}
		dials := f.dialled("full:1")
		if n := len(dials); n > minutes*60/4+5 {
			t.Errorf("%d dials in %d minutes", n, minutes)
		}
		if n := most(dials, 10*time.Second); n > 7 {
			t.Errorf("%d dials within 10s", n)
		}
	})
}

func TestWaitingCallsDoNotHurryDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		c := fakeClient(t, f, Config{}, "dead:1", "dead:2")
		defer c.Close()
		var calls sync.WaitGroup
		end := time.Now().Add(time.Minute)
		for range 100 {
			calls.Go(func() {
				for time.Now().Before(end) {
					if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); !errors.Is(err, ErrNoNodes) {
						t.Error(err)
						return
					}
				}
			})
		}
		for time.Now().Before(end) { // the debug page says when the next dial is
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			for _, n := range c.Stats().Nodes {
				dials := f.dialled(n.Addr)
				if n.NextDial.IsZero() || time.Since(dials[len(dials)-1]) > pauses[len(pauses)-1]+spread {
					t.Fatalf("%s: last dialled %v ago, next dial at %v", n.Addr, time.Since(dials[len(dials)-1]), n.NextDial)
				}
			}
		}
		calls.Wait()
		for _, addr := range []string{"dead:1", "dead:2"} {
			if n := len(f.dialled(addr)); n > 20 {
				t.Errorf("%s: %d dials in a minute with 100 calls waiting", addr, n)
			}
		}
	})
}

// The network does at random what is worst: it refuses, is silent, hangs up after a while,
// or says that it drains.
func TestDialsArePacedWhateverTheServerDoes(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			chance := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rnd.IntN(n)
			}
			odd := func(nc net.Conn) {
				p := newPeer(nc)
				life := []time.Duration{0, time.Millisecond, time.Second, stable - time.Millisecond, 2 * stable}[chance(5)]
				drains := chance(4) == 0
				time.AfterFunc(life, func() {
					if drains {
						p.drain(1 << 40)
					}
					nc.Close()
				})
				for {
					if _, _, err := p.next(); err != nil {
						return
					}
				}
			}
			var dials []time.Time
			cfg := Config{Source: announce("odd:1"), Conn: ConnConfig{PerNode: 1 + int(seed)%3}}
			cfg.Conn.Dial = func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
				mu.Lock()
				dials = append(dials, time.Now())
				mu.Unlock()
				if chance(3) == 0 {
					return nil, errRefused
				}
				ours, theirs := net.Pipe()
				go odd(theirs)
				return ours, nil
			}
			c, err := New("_math._tcp.svc", &cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			const minutes = 20
			time.Sleep(minutes * time.Minute)
			mu.Lock()
			defer mu.Unlock()
			// At most the pauses begin again for each connection that lasted, and each of
			// these was at least 5s old.
			if n := most(dials, stable); n > 8*cfg.Conn.PerNode {
				t.Errorf("seed %d: %d dials within %v", seed, n, stable)
			}
			if n := len(dials); n > minutes*60 {
				t.Errorf("seed %d: %d dials in %d minutes", seed, n, minutes)
			}
		})
	}
}

// The server gives up each connection at the first call on it, and never answers the call:
// the connection lives as long as its calls.
func TestConnectionsGivenUpWithCallsInFlightArePaced(t *testing.T) {
	for name, notice := range map[string]func(uint64) rpc.Response{"retire": rpcwire.Retire, "drain": rpcwire.Drain} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeNet(map[string]func(net.Conn){})
			f.set("odd:1", func(nc net.Conn) {
				p := newPeer(nc)
				for {
					req, _, err := p.next()
					if err != nil {
						return
					}
					p.enc.Encode(notice(req.Seq))
					p.enc.Encode(struct{}{})
				}
			})
			c := fakeClient(t, f, Config{}, "odd:1")
			defer c.Close()
			ready(t, c)
			var calls sync.WaitGroup
			for range 1000 {
				time.Sleep(5 * time.Millisecond)
				calls.Go(func() { c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)) })
			}
			if n := len(f.dialled("odd:1")); n > 8 {
				t.Errorf("%s: %d dials in 5s, of 1000 calls", name, n)
			}
			calls.Wait()
		})
	}
}

func TestPausesGrowUntilAConnectionHasLasted(t *testing.T) {
	now := time.Unix(1e9, 0)
	fixed := func(time.Duration) time.Duration { return 0 }
	after := func(r *redial, d time.Duration) time.Duration { now = now.Add(d); return r.pause(fixed) }
	r := &redial{}
	if got := r.pause(fixed); got != 0 {
		t.Errorf("first dial waits %v", got)
	}
	good := now // a connection is made, and is kept
	r.made()
	for i, want := range []time.Duration{pauses[0], pauses[1], pauses[2], pauses[3], pauses[4], pauses[4]} {
		now = now.Add(time.Hour)
		r.lasts(good, now) // it is much older than stable, but older than the failures, too
		r.dialled()
		r.failed(now)
		r.lasts(good, now)
		if got := after(r, time.Second); got != want {
			t.Errorf("after %d failures: %v, want %v", i+1, got, want)
		}
	}
	again := now.Add(time.Second) // a second connection is made
	r.lasts(again, again.Add(stable))
	if r.fruitless == 0 {
		t.Error("forgotten before the connection has lasted")
	}
	r.lasts(again, again.Add(stable+1))
	if r.fruitless != 0 {
		t.Error("not forgotten although a connection that came later has lasted")
	}
	// The only connection of a node is lost, and had lasted.
	r.failed(now)
	r.lost = true
	r.ended(now.Add(-time.Minute), now, true, false)
	if got := r.pause(func(d time.Duration) time.Duration { return d }); got != spread {
		t.Errorf("first dial after a loss waits up to %v, want %v", got, spread)
	}
	r.dialled()
	if got := r.pause(func(d time.Duration) time.Duration { return d }); got != 0 {
		t.Errorf("the second connection after it waits %v", got)
	}
	// A value that does not fit costs a connection. It changes no pause that has grown, and
	// is no failure.
	longest := func(d time.Duration) time.Duration { return d }
	for range 3 {
		r.ended(now, now, true, true)
		if got := r.pause(longest); got != afterMisfit {
			t.Errorf("after a misfit waits %v", got)
		}
		r.dialled()
	}
	r.failed(now)
	r.ended(now, now, true, true)
	if got := r.pause(fixed); got != pauses[0] {
		t.Errorf("after a failure and a misfit waits %v", got)
	}
}
