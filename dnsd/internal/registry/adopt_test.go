package registry_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestAdoptTakesOverWhoIsRegisteredElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, _ := start(t, registry.Config{})
		for i := range 3000 { // more than one commit
			in := math(fmt.Sprintf("a%d", i))
			in.Incarnation = 7
			register(t, old, in)
		}
		for _, id := range []string{"drained", "gone", "gonetoo"} {
			in := math(id)
			in.Incarnation = 9
			register(t, old, in)
		}
		for _, id := range []string{"drained", "gonetoo"} {
			if _, err := old.Drain(t.Context(), math(id).Key, true); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"gone", "gonetoo"} {
			if err := old.Deregister(t.Context(), math(id).Key, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(14 * time.Second) // nearly the whole lease

		r, m := start(t, registry.Config{})
		newer := math("a1")
		newer.Incarnation, newer.Weight = 8, 1
		register(t, r, newer) // was faster
		if n, err := r.Adopt(t.Context(), old); n != 3000 || err != nil {
			t.Fatalf("Adopt = %d, %v; want 3000", n, err)
		}
		if n := len(m.Instances()); n != 3001 {
			t.Errorf("%d published, want 3001", n)
		}
		if l, _ := r.Instance(newer.Key); l.Weight != 1 || l.Incarnation != 8 {
			t.Errorf("who was faster is %+v", l.Instance)
		}
		if l, _ := r.Instance(math("a2").Key); l.ExpiresIn != 15*time.Second || l.State != registry.Up {
			t.Errorf("the lease did not begin anew: %+v in %v", l.Instance, l.ExpiresIn)
		}
		if l, _ := r.Instance(math("drained").Key); l.State != registry.Drained || !l.Sticky {
			t.Errorf("the drained one is %+v", l.Instance)
		}
		late := math("gone")
		late.Incarnation = 8
		var fenced *registry.FencedError
		if _, _, err := r.Register(t.Context(), late); !errors.As(err, &fenced) || fenced.Live != 9 || !fenced.Gone {
			t.Errorf("an old process: %v, want it fenced by 9, which is gone", err)
		}
		back := math("gonetoo")
		back.Incarnation = 10
		if got := register(t, r, back); got.State != registry.Drained {
			t.Errorf("a sticky drain was lost: %+v", got)
		}
	})
}

func TestAdoptSaysWhatDoesNotFit(t *testing.T) {
	old, _ := start(t, registry.Config{})
	fleet(t, old, 5)
	r, _ := start(t, registry.Config{MaxInstances: 3})
	var limit *registry.LimitError
	if _, err := r.Adopt(t.Context(), old); !errors.As(err, &limit) || limit.Max != 3 {
		t.Errorf("Adopt = %v, want a LimitError", err)
	}
}
