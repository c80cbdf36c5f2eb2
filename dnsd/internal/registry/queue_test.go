package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Requests that wait in the queue while a commit runs share the next one.
func TestRequestsAtOnceShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Backend: registry.Memory(), enter: make(chan int), leave: make(chan struct{})}
		r, err := registry.Open(registry.Config{Backend: b})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { register(t, r, math("first")) })
		if n := <-b.enter; n != 1 {
			t.Errorf("the first commit has %d changes", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := r.Register(ctx, math("impatient"))
			gaveUp <- err
		}()
		for i := range 50 {
			wg.Go(func() { register(t, r, math(fmt.Sprintf("a%d", i))) })
		}
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled while it waited: %v", err)
		}
		if n := r.Stats().Instances; n != 0 {
			t.Errorf("%d published before they were stored", n)
		}
		b.leave <- struct{}{}
		if n := <-b.enter; n != 50 {
			t.Errorf("the second commit has %d changes, want 50", n)
		}
		b.leave <- struct{}{}
		wg.Wait()
		if s := r.Stats(); s.Instances != 51 || s.Commits != 2 {
			t.Errorf("%+v", s)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A leader waits for clients that come again soon, or shortly after it: all share one
// commit. Clients that come later than it may wait are in two groups that alternate, and
// waits for them cost nearly nothing.
func TestALeaderWaitsOnlyIfThatBringsRequests(t *testing.T) {
	const (
		clients = 40
		each    = 100                  // registrations of a client
		took    = 8 * time.Millisecond // a commit: a leader may wait 4 ms
	)
	for _, c := range []struct {
		name    string
		away    time.Duration // of a client that was answered
		spread  time.Duration // from one client to the next
		apart   time.Duration // how much later the second half begins
		fewest  uint64        // commits of all registrations
		most    uint64
		longest time.Duration // all together
	}{
		{"soon", time.Millisecond, 0, took / 2, each, each + 2, each*(took+time.Millisecond) + 4*took},
		{"in a burst", 3 * time.Millisecond, 25 * time.Microsecond, 0, each, each + 2, each*(took+4*time.Millisecond) + 4*took},
		{"late", 6 * time.Millisecond, 0, took / 2, 2*each - 4, 2*each + 4, 2*each*took + 12*4*time.Millisecond + 4*took},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &lasting{registry.Memory(), took}
				r, err := registry.Open(registry.Config{Backend: b})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				var wg sync.WaitGroup
				for i := range clients {
					wg.Go(func() {
						if i >= clients/2 {
							time.Sleep(c.apart)
						}
						for n := range each {
							register(t, r, math(fmt.Sprintf("a%d-%d", i, n)))
							time.Sleep(c.away + time.Duration(i)*c.spread)
						}
					})
				}
				wg.Wait()
				if n := r.Stats().Commits; n < c.fewest || n > c.most {
					t.Errorf("%d commits, want %d to %d", n, c.fewest, c.most)
				}
				if d := time.Since(began); d > c.longest {
					t.Errorf("took %v, want at most %v", d, c.longest)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// lasting is a backend whose commits take a time.
type lasting struct {
	registry.Backend
	took time.Duration
}

func (l *lasting) Commit(b *registry.Batch) error {
	time.Sleep(l.took)
	return l.Backend.Commit(b)
}

// slow is a backend whose commits wait for the test.
type slow struct {
	registry.Backend
	enter chan int      // gets the number of changes of a commit that begins
	leave chan struct{} // lets a commit end
}

func (s *slow) Commit(b *registry.Batch) error {
	s.enter <- len(b.Changes)
	<-s.leave
	return s.Backend.Commit(b)
}
