package registry_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
)

func TestAdoptCopiesTheInstancesOfAnotherRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, _ := start(t, registry.Config{})
		for i := range 3000 { // which takes more than one commit
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
			if _, err := old.Deregister(t.Context(), math(id).Key, nil); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(14 * time.Second) // nearly the whole lease

		r, m := start(t, registry.Config{})
		newer := math("a1")
		newer.Incarnation, newer.Weight = 8, 1
		register(t, r, newer) // before Adopt
		if n, err := r.Adopt(t.Context(), old); n != 3000 || err != nil {
			t.Fatalf("Adopt = %d, %v; want 3000", n, err)
		}
		if n := len(m.Instances()); n != 3001 {
			t.Errorf("%d published, want 3001", n)
		}
		if l, _ := r.Instance(newer.Key); l.Weight != 1 || l.Incarnation != 8 {
			t.Errorf("the instance that registered here before Adopt is %+v", l.Instance)
		}
		if l, _ := r.Instance(math("a2").Key); l.ExpiresIn != 15*time.Second || l.State != registry.Up {
			t.Errorf("the lease did not begin again: %+v in %v", l.Instance, l.ExpiresIn)
		}
		if l, _ := r.Instance(math("drained").Key); l.State != registry.Drained || !l.Sticky {
			t.Errorf("the drained one is %+v", l.Instance)
		}
		late := math("gone")
		late.Incarnation = 8
		var fenced *registry.FencedError
		if _, err := r.Register(t.Context(), late); !errors.As(err, &fenced) || fenced.Live != 9 || !fenced.Gone {
			t.Errorf("an old process: %v, want it fenced by 9, which is gone", err)
		}
		back := math("gonetoo")
		back.Incarnation = 10
		if got := register(t, r, back); got.State != registry.Drained {
			t.Errorf("a sticky drain was lost: %+v", got)
		}
	})
}

func TestAdoptReturnsTheLimitThatIsReached(t *testing.T) {
	old, _ := start(t, registry.Config{})
	fleet(t, old, 5)
	r, _ := start(t, registry.Config{Limits: registry.Limits{Instances: 3}})
	var limit *registry.LimitError
	if _, err := r.Adopt(t.Context(), old); !errors.As(err, &limit) || limit.Max != 3 {
		t.Errorf("Adopt = %v, want a LimitError", err)
	}
}

// The content of a store is from an earlier life, and older than the instances of from.
func TestAdoptReplacesWhatTheStoreHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.db")
	open := func() registry.Backend {
		store, err := boltstore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	before := life(t, registry.Config{Backend: open()})
	for _, id := range []string{"changed", "same", "newer", "drained", "quick"} {
		in := math(id)
		in.Incarnation = 5
		register(t, before, in)
	}
	if _, err := before.Drain(t.Context(), math("drained").Key, false); err != nil {
		t.Fatal(err)
	}

	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	from, _ := start(t, registry.Config{})
	for id, incarnation := range map[string]uint64{"changed": 6, "same": 5, "newer": 4, "drained": 5, "quick": 6} {
		in := math(id)
		in.Incarnation = incarnation
		if id != "same" {
			in.Port = 999
		}
		register(t, from, in)
	}

	r, m := start(t, registry.Config{Backend: open()})
	quick := math("quick")
	quick.Incarnation, quick.Port = 6, 1000
	register(t, r, quick)
	if _, err := r.Adopt(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	for id, port := range map[string]uint16{"changed": 999, "same": math("same").Port, "newer": math("newer").Port, "drained": 999, "quick": 1000} {
		l, ok := r.Instance(math(id).Key)
		if !ok || l.Port != port || l.State == registry.Drained {
			t.Errorf("%s: port %d, %v, registered: %t; want port %d", id, l.Port, l.State, ok, port)
		}
	}
	if n := len(m.Instances()); n != 5 {
		t.Errorf("%d published, want 5", n)
	}
}
