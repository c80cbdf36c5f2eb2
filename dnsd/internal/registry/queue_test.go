package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

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
