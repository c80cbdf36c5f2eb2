package rpcclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// TestNoErrorLiesAboutExecution: calls are cancelled, are late, wait for their turn and are
// refused, all at random. No method is idempotent.
func TestNoErrorLiesAboutExecution(t *testing.T) {
	const workers, each = 8, 100
	var executed [workers * each]atomic.Int64
	var addrs []string
	var servers []*rpcserver.Server
	for range 2 {
		s, addr := startOurs(t, rpcserver.Config{
			Quiet:  10 * time.Millisecond,
			Limits: rpcserver.Limits{InFlight: 2},
			Middleware: []rpcserver.Middleware{func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
				if rand.IntN(10) == 0 {
					return rpcserver.Refuse("by chance", time.Duration(rand.IntN(2))*time.Millisecond)
				}
				return next(ctx, call)
			}},
		})
		err := rpcserver.Handle(s, "Count.Do", func(ctx context.Context, args Args) (int, error) {
			executed[args.A].Add(1)
			if rand.IntN(2) == 0 {
				select {
				case <-ctx.Done():
				case <-time.After(rand.N(2 * time.Millisecond)):
				}
			}
			return 2 * args.A, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		servers, addrs = append(servers, s), append(addrs, addr)
	}
	c := newClient(t, Config{Conn: ConnConfig{PerNode: 1, PingTimeout: time.Minute}}, addrs...)
	ready(t, c)
	var errs [workers * each]error
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := w*each + i
				timeout := time.Minute
				act := rand.IntN(4)
				if act == 0 {
					timeout = rand.N(10 * time.Millisecond)
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				switch act {
				case 1:
					time.AfterFunc(rand.N(3*time.Millisecond), cancel)
				case 2:
					servers[w%2].SetServing("", rand.IntN(2) == 0, "by chance")
				}
				n, err := Invoke[int](ctx, c, "Count.Do", Args{A: id})
				if errs[id] = err; err == nil && n != 2*id {
					t.Errorf("%d is answered with %d", id, n)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	c.Close()
	for _, s := range servers {
		s.Shutdown(t.Context())
	}
	counts := map[string]int{}
	for id, err := range errs {
		n := executed[id].Load()
		var e *Error
		switch {
		case err == nil && n == 1:
			counts["answered"]++
		case errors.As(err, &e) && (e.Executed == ExecutedNever && n == 0 || e.Executed == ExecutedMaybe && n <= 1 || e.Executed == ExecutedYes && n == 1):
			counts[e.Executed.String()]++
		default:
			t.Errorf("%d was executed %d times: %v", id, n, err)
		}
	}
	t.Log(counts)
}
