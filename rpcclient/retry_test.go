package rpcclient

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestAnAnswerIsNeverTriedAgainWhateverItSays: the error of a method may have the text that
// net/rpc has for a method that it does not know.
func TestAnAnswerIsNeverTriedAgainWhateverItSays(t *testing.T) {
	const method = "Upstream.Ask"
	for _, text := range []string{
		"rpc: can't find method " + method,
		"rpc: can't find service " + method,
		"rpc: service/method request ill-formed: " + method,
	} {
		first, second := passOn{text: text}, passOn{text: text}
		a, b := startStock(t, ""), startStock(t, "")
		a.rpc.RegisterName("Upstream", &first)
		b.rpc.RegisterName("Upstream", &second)
		c := newClient(t, Config{}, a.addr, b.addr)
		allUp(t, c, 2)
		err := c.Call(t.Context(), method, &Args{}, nil, Idempotent())
		var call *Error
		var server rpc.ServerError
		if !errors.As(err, &server) || string(server) != text || !errors.As(err, &call) || call.Executed != ExecutedYes || len(call.Attempts) != 1 {
			t.Errorf("%v (%#v)", err, err)
		}
		if n := first.executed.Load() + second.executed.Load(); n != 1 {
			t.Errorf("%s: executed %d times", text, n)
		}
	}
}

// passOn answers with the error of another server.
type passOn struct {
	text     string
	executed atomic.Int32
}

func (p *passOn) Ask(*Args, *int) error {
	p.executed.Add(1)
	return errors.New(p.text)
}

func TestRetriesStayWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"hung:1": silent, "hung:2": silent, "hung:3": silent})
		c := fakeClient(t, f, Config{Retry: RetryConfig{AttemptTimeout: 50 * time.Millisecond}}, "hung:1", "hung:2", "hung:3")
		defer c.Close()
		ready(t, c)
		const calls = 2000
		begin := time.Now()
		over := 0
		for range calls {
			err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), Idempotent())
			var e *Error
			if !errors.As(err, &e) || e.Executed != ExecutedMaybe {
				t.Fatal(err)
			}
			if errors.Is(err, ErrOverBudget) {
				over++
			}
		}
		s := c.Stats()
		// The floor is 3 a second, and 30 of them can be spent at once.
		limit := calls/10 + 3*uint64(time.Since(begin)/time.Second) + 30
		if extra := s.Attempts - calls; extra > limit || extra < limit/2 {
			t.Errorf("%d extra attempts for %d calls in %v, want up to %d", extra, calls, time.Since(begin), limit)
		}
		if over == 0 {
			t.Error("no call says ErrOverBudget")
		}
	})
}

// TestRefusedCallWaitsForTheFirstDialOfAnotherNode, and for nothing else, and not for ever.
// The node that has refused is not asked again.
func TestRefusedCallWaitsForTheFirstDialOfAnotherNode(t *testing.T) {
	full := refuses("full", 3000)
	for name, tt := range map[string]struct {
		cfg     Config
		timeout time.Duration // of the call
		other   func(told, Args) []answer
		dial    time.Duration // how long the dial of the other node takes
		fails   bool          // it fails
		tried   bool          // it had failed before the call

		took    time.Duration
		comes   bool // and a delay that spreads the calls
		served  bool
		late    bool // the error is a context.DeadlineExceeded
		refused int  // attempts
		text    string
	}{
		"it comes":              {other: multiplies, dial: time.Second, took: time.Second, comes: true, served: true},
		"it fails":              {fails: true, dial: time.Second, took: time.Second, refused: 1, text: "refused by the server: full"},
		"it refuses, too":       {other: full, dial: time.Second, took: time.Second, comes: true, refused: 2, text: "a:1 answer; attempt 2: b:1 answer"},
		"it takes long":         {cfg: Config{WaitForNode: 2 * time.Second}, dial: 4 * time.Second, took: 2 * time.Second, refused: 1, text: "nothing within Config.WaitForNode: refused by the server: full"},
		"the call ends before":  {timeout: time.Second, dial: 4 * time.Second, took: time.Second, refused: 1, late: true, text: "refused by the server: full"},
		"no call waits":         {cfg: Config{WaitForNode: -1}, dial: time.Second, refused: 1, text: "refused by the server: full"},
		"it is dialled again":   {tried: true, dial: 4 * time.Second, refused: 1, text: "refused by the server: full"},
		"it is not in use":      {cfg: Config{Policy: balancer.Subset(1, "web-2", balancer.P2C)}, dial: time.Second, refused: 1, text: "refused by the server: full"},
		"there is none":         {dial: -1, refused: 1, text: "refused by the server: full"},
		"the client's own time": {cfg: Config{Timeout: time.Second}, dial: 4 * time.Second, took: time.Second, refused: 1, late: true, text: "nothing within Config.Timeout: refused by the server: full"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := &speaker{reply: full}, &speaker{reply: tt.other}
				if there.reply == nil {
					there.reply = multiplies
				}
				f := newFakeNet(map[string]func(net.Conn){"a:1": here.serve})
				f.room = true
				if !tt.fails {
					f.set("b:1", there.serve)
				}
				dials := 0 // of b:1
				cfg := tt.cfg
				cfg.Source = announce("a:1", "b:1")
				if tt.dial < 0 {
					cfg.Source = announce("a:1")
				}
				cfg.Conn.Dial = func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
					if ep.Addr == "b:1" {
						if dials++; tt.tried && dials == 1 {
							return nil, errRefused
						}
						if err := lasts(ctx, tt.dial); err != nil {
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
				ready(t, c)
				if tt.tried {
					time.Sleep(3 * time.Second) // the second dial has begun
				}
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				begin := time.Now()
				var product int
				err = c.Call(ctx, "Arith.Multiply", &Args{6, 7}, &product)
				most := tt.took
				if tt.comes {
					most += retryCap
				}
				if took := time.Since(begin); took < tt.took || took > most {
					t.Errorf("it took %v, want %v to %v", took, tt.took, most)
				}
				if here.asked.Load() != 1 {
					t.Errorf("the node that refuses was asked %d times", here.asked.Load())
				}
				var e *Error
				switch {
				case tt.served && (err != nil || product != 42):
					t.Error(product, err)
				case !tt.served && (!errors.As(err, &e) || e.Executed != ExecutedNever || len(e.Attempts) != tt.refused || !is[*RefusedError](err) ||
					!strings.Contains(err.Error(), tt.text) || errors.Is(err, context.DeadlineExceeded) != tt.late):
					t.Errorf("%v, want %d attempts, late %v, and %q", err, tt.refused, tt.late, tt.text)
				}
			})
		})
	}
}

// comesLate is a client of a network whose node c:1 takes a while to dial the first time.
func comesLate(t *testing.T, f *fakeNet, dial time.Duration, cfg Config, addrs ...string) *Client {
	t.Helper()
	f.room = true
	cfg.Source = announce(addrs...)
	cfg.Conn.Dial = func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
		if ep.Addr == "c:1" {
			if err := lasts(ctx, dial); err != nil {
				return nil, err
			}
		}
		return f.dial(ctx, ep)
	}
	c, err := New("_math._tcp.svc", &cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWhatTheBudgetForbidsIsNotWaitedFor: a call that may not be tried again says so at once,
// although another node has its first dial under way.
func TestWhatTheBudgetForbidsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, other := &speaker{reply: refuses("full", 0)}, &speaker{reply: refuses("full", 0)}, &speaker{reply: multiplies}
		f := newFakeNet(map[string]func(net.Conn){"a:1": a.serve, "b:1": b.serve, "c:1": other.serve})
		cfg := Config{Retry: RetryConfig{Budget: balancer.Budget{Share: 0.1, Floor: -1}}}
		c := comesLate(t, f, 3*time.Second, cfg, "a:1", "b:1", "c:1")
		defer c.Close()
		allUp(t, c, 2)
		begin := time.Now()
		err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
		if took := time.Since(begin); took != 0 || !errors.Is(err, ErrOverBudget) || !is[*RefusedError](err) {
			t.Errorf("%v after %v", err, took)
		}
		if a.asked.Load() != 1 || b.asked.Load() != 1 {
			t.Errorf("asked %d and %d times", a.asked.Load(), b.asked.Load())
		}
	})
}

// TestCallsThatWaitedForANodeDoNotReachItTogether, nor is the delay longer than they can wait.
func TestCallsThatWaitedForANodeDoNotReachItTogether(t *testing.T) {
	for name, tt := range map[string]struct {
		dial, wait time.Duration // wait: 0 is the default
		spread     time.Duration // the calls reach it within this
	}{
		"there is time":      {dial: time.Second, spread: retryCap},
		"there is not":       {dial: time.Second, wait: 1200 * time.Millisecond, spread: 100 * time.Millisecond},
		"there is no moment": {dial: time.Second, wait: time.Second + 2, spread: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const calls = 200
				full, arrivals := &speaker{reply: refuses("full", 0)}, make(chan time.Time, calls)
				other := &speaker{reply: func(req told, args Args) []answer {
					arrivals <- time.Now()
					return multiplies(req, args)
				}}
				f := newFakeNet(map[string]func(net.Conn){"a:1": full.serve, "c:1": other.serve})
				c := comesLate(t, f, tt.dial, Config{WaitForNode: tt.wait}, "a:1", "c:1")
				defer c.Close()
				ready(t, c)
				up := time.Now().Add(tt.dial)
				var wg sync.WaitGroup
				for range calls {
					wg.Go(func() {
						if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}); err != nil || product != 42 {
							t.Error(product, err)
						}
					})
				}
				wg.Wait()
				close(arrivals)
				early, late := 0, 0 // in the first and the second half of the time
				for at := range arrivals {
					switch after := at.Sub(up); {
					case after < 0 || after > tt.spread:
						t.Errorf("a call came %v after the node", after)
					case after <= tt.spread/2:
						early++
					default:
						late++
					}
				}
				if early+late != calls || tt.spread > 1 && (early < calls/4 || late < calls/4) {
					t.Errorf("%d early, %d late", early, late)
				}
			})
		})
	}
}

// TestNodeIsAwaitedUntilTheGroupHasIt: a refused call that finds no node awaited does not wait
// any more, so a node must be found by then.
func TestNodeIsAwaitedUntilTheGroupHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, other := &speaker{reply: multiplies}, &speaker{reply: multiplies}
		f := newFakeNet(map[string]func(net.Conn){"a:1": a.serve, "c:1": other.serve})
		var client atomic.Pointer[Client]
		given := 0
		policy := func(nodes []*balancer.Node) balancer.Picker {
			for _, b := range nodes {
				if n := b.Value().(*node); n.addr() != "c:1" || !n.up() || given > 0 {
					continue
				}
				if given++; !client.Load().awaited() {
					t.Error("the group gets the node, and it is no longer awaited")
				}
			}
			return balancer.P2C(nodes)
		}
		c := comesLate(t, f, time.Second, Config{Policy: policy}, "a:1", "c:1")
		defer c.Close()
		client.Store(c)
		ready(t, c)
		if !c.awaited() {
			t.Error("the node is not awaited while it is dialled")
		}
		allUp(t, c, 2)
		synctest.Wait()
		if given != 1 || c.awaited() {
			t.Errorf("given %d times; awaited %v afterwards", given, c.awaited())
		}
	})
}
