package registry_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestFencesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := startTuned(t, registry.Config{}, func(n *registry.Tuning) { n.Fences, n.FenceAge = 10, time.Hour })
		for i := range 100 {
			in := math(fmt.Sprintf("a%d", i))
			in.Incarnation = 5
			register(t, r, in)
			if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.Stats().Fences; n != 10 {
			t.Errorf("%d fences, want 10", n)
		}
		old := math("a99")
		old.Incarnation = 4
		if _, err := r.Register(t.Context(), old); err == nil {
			t.Error("the newest fence is lost")
		}
		time.Sleep(2 * time.Hour)
		register(t, r, math("b1"))
		if n := r.Stats().Fences; n != 0 {
			t.Errorf("%d fences after they aged", n)
		}
	})
}

// The clock of a host was ahead, and was corrected.
func TestIncarnationOfAClockThatWasAhead(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	now := uint64(time.Now().UnixMilli())
	in.Incarnation = now + 30_000
	register(t, r, in)
	if _, err := r.Deregister(t.Context(), in.Key, &in.Incarnation); err != nil {
		t.Fatal(err)
	}
	restarted := in
	restarted.Incarnation = now + 5_000
	_, err := r.Register(t.Context(), restarted)
	var fenced *registry.FencedError
	if !errors.As(err, &fenced) || !fenced.Gone || fenced.Live != in.Incarnation {
		t.Fatalf("the next process: %v, want the incarnation that was registered last, and that it is gone", err)
	}
	restarted.Incarnation = fenced.Live + 1 // as a new process does
	register(t, r, restarted)
	old := in
	if _, err := r.Register(t.Context(), old); !errors.As(err, &fenced) || fenced.Gone {
		t.Errorf("the process before: %v, want it fenced by the registered one", err)
	}
}

func TestOperatorClearsAFence(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	in.Incarnation = 9
	register(t, r, in)
	if _, err := r.Unfence(t.Context(), in.Key); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("no fence yet: %v", err)
	}
	if _, err := r.Deregister(t.Context(), in.Key, nil); err != nil {
		t.Fatal(err)
	}
	in.Incarnation = 3
	if _, err := r.Register(t.Context(), in); err == nil {
		t.Fatal("not fenced")
	}
	if _, err := r.Unfence(t.Context(), in.Key); err != nil {
		t.Fatal(err)
	}
	register(t, r, in)
}
