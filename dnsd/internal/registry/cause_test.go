package registry_test

import (
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// lates is a sink that notes late renewals.
type lates struct{ left []time.Duration }

func (s *lates) Load(uint64, iter.Seq[*registry.Instance], []registry.Change) {}
func (s *lates) Apply([]registry.Change)                                      {}
func (s *lates) Late(_ *registry.Instance, left time.Duration)                { s.left = append(s.left, left) }

// A renewal in the last quarter of a lease is told, and no other: not one in time, not the
// change of an instance, not the return of a suspect, and nothing after the sink left.
func TestOnlyLateRenewalsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		s := &lates{}
		detach := r.Attach(s)
		renew := func(after time.Duration) {
			t.Helper()
			time.Sleep(after)
			if _, err := r.Renew(t.Context(), math("a1").Key, 0); err != nil {
				t.Fatal(err)
			}
		}
		register(t, r, math("a1"))
		renew(5 * time.Second)
		renew(10 * time.Second)
		if len(s.left) != 0 {
			t.Fatalf("told of renewals in time: %v", s.left)
		}
		renew(12 * time.Second)
		if _, err := r.RenewAll(t.Context(), nil); err != nil || len(s.left) != 1 || s.left[0] != 3*time.Second {
			t.Fatalf("%v, %v", s.left, err)
		}
		time.Sleep(13 * time.Second)
		register(t, r, math("a1")) // the same again, which is a renewal
		if len(s.left) != 2 {
			t.Fatalf("%v", s.left)
		}
		time.Sleep(13 * time.Second)
		other := math("a1")
		other.Weight++
		register(t, r, other)
		if len(s.left) != 2 {
			t.Errorf("a change is told: %v", s.left)
		}
		detach()
		renew(13 * time.Second)
		if len(s.left) != 2 || r.Stats().Late != 3 {
			t.Errorf("%v, and %d are counted", s.left, r.Stats().Late)
		}
	})
}

// An instance that renews late each time, or a thousand of them, cost 16 calls a second.
func TestLateRenewalsAreToldFewTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		s := &lates{}
		r.Attach(s)
		var all []registry.Renewal
		for i := range 100 {
			in := math("a" + string(rune('a'+i/26)) + string(rune('a'+i%26)))
			register(t, r, in)
			all = append(all, registry.Renewal{Key: in.Key})
		}
		for n := 1; n <= 2; n++ {
			time.Sleep(14 * time.Second)
			if _, err := r.RenewAll(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			if len(s.left) != 16*n || r.Stats().Late != uint64(100*n) {
				t.Errorf("%d told, %d counted", len(s.left), r.Stats().Late)
			}
		}
	})
}
