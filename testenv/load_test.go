package testenv

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient"
)

// load is a number of callers that call without pause until stopped.
type load struct {
	stop  func() // ends the callers and waits for them
	calls atomic.Int64
	mu    sync.Mutex // guards errs
	errs  []error
}

// startLoad runs callers that check every product they get.
func startLoad(t *testing.T, c *rpcclient.Client, callers int, opts ...rpcclient.CallOption) *load {
	t.Helper()
	return startCalls(t, c, callers, 0, opts...)
}

// startCalls is startLoad with a pause of each caller after each call.
func startCalls(t *testing.T, c *rpcclient.Client, callers int, pause time.Duration, opts ...rpcclient.CallOption) *load {
	t.Helper()
	l := &load{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				var product int
				// The call's own context does not end with the load: a call
				// under way is finished, and its result counts.
				callCtx, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				err := c.Call(callCtx, "Arith.Multiply", &Args{A: n, B: i}, &product, opts...)
				done()
				if err == nil && product != n*i {
					t.Errorf("%d * %d: got %d", n, i, product)
				}
				if err != nil {
					l.mu.Lock()
					l.errs = append(l.errs, err)
					l.mu.Unlock()
				}
				l.calls.Add(1)
				if pause > 0 {
					select {
					case <-time.After(pause):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(l.stop)
	return l
}

// awaitCalls returns when n more calls were made.
func (l *load) awaitCalls(t *testing.T, n int64) {
	t.Helper()
	awaitCount(t, "calls", l.calls.Load, l.calls.Load()+n)
}

// awaitCount returns when count has reached want. A counter has no event, so it
// looks again and again.
func awaitCount(t *testing.T, what string, count func() int64, want int64) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for count() < want {
		select {
		case <-deadline:
			t.Fatalf("waited %v for %d %s, have %d", patience, want, what, count())
		case <-tick.C:
		}
	}
}

// finish stops the load and says that no call failed.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		t.Errorf("%d of %d calls failed; the first: %v", len(l.errs), l.calls.Load(), l.errs[0])
	}
}
