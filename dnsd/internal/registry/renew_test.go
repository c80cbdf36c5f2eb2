package registry_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// A renewal that arrives while the instance is being removed is not acknowledged.
func TestRenewalDuringRemovalIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Backend: registry.Memory(), enter: make(chan int), leave: make(chan struct{})}
		r, err := registry.Open(registry.Config{Backend: b})
		if err != nil {
			t.Fatal(err)
		}
		step := func() { <-b.enter; b.leave <- struct{}{} }
		go step()
		register(t, r, math("a1"))
		go r.Deregister(t.Context(), math("a1").Key, nil)
		<-b.enter
		answers := make(chan error, 2)
		go func() { _, err := r.Renew(t.Context(), math("a1").Key, 0); answers <- err }()
		go func() {
			done, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: math("a1").Key}})
			if len(done.Unknown) == 1 {
				err = registry.ErrNotFound
			}
			answers <- err
		}()
		synctest.Wait()
		b.leave <- struct{}{}
		for range 2 {
			if err := <-answers; !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("renewed while it was removed: %v, want ErrNotFound", err)
			}
		}
		r.Close()
	})
}

func TestRenewalsOfAReplacedProcessAreTold(t *testing.T) {
	r, _ := start(t, registry.Config{})
	in := math("a1")
	in.Incarnation = 7
	register(t, r, in)
	before, _ := r.Instance(in.Key)
	done, err := r.RenewAll(t.Context(), []registry.Renewal{
		{Key: in.Key, Incarnation: 6}, {Key: math("a2").Key, Incarnation: 1}, {Key: in.Key, Incarnation: 8},
	})
	if err != nil || done.Count != 0 || len(done.Unknown) != 2 || len(done.Replaced) != 1 || done.Replaced[0] != in.Key {
		t.Errorf("RenewAll = %+v, %v", done, err)
	}
	if after, _ := r.Instance(in.Key); after.ExpiresIn > before.ExpiresIn {
		t.Error("an old process renewed the lease of the one that replaced it")
	}
	if done, err := r.RenewAll(t.Context(), []registry.Renewal{{Key: in.Key, Incarnation: 7}, {Key: in.Key}}); err != nil || done.Count != 2 || len(done.Unknown)+len(done.Replaced) > 0 {
		t.Errorf("RenewAll = %+v, %v", done, err)
	}
}

func TestRenewAllSaysThatASuspectCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Guard: registry.Guard{NoProbe: true}})
		all := make([]registry.Renewal, 5)
		for i, id := range []string{"a1", "a2", "a3", "a4", "a5"} {
			all[i] = registry.Renewal{Key: register(t, r, math(id)).Key}
		}
		time.Sleep(16 * time.Second) // all are silent, and the guard takes them for suspects
		suspects := r.Stats().Suspect
		if suspects == 0 {
			t.Fatal("no suspects")
		}
		done, err := r.RenewAll(t.Context(), all)
		if err != nil || done.Did != registry.Changed || done.Count+len(done.Unknown) != len(all) || done.Revision != r.Revision() {
			t.Errorf("RenewAll = %+v, %v, with %d suspects", done, err, suspects)
		}
		if done, err = r.RenewAll(t.Context(), all[:3]); err != nil || done.Did != registry.Renewed || done.Revision != r.Revision() {
			t.Errorf("RenewAll again = %+v, %v, want a renewal", done, err)
		}
	})
}
