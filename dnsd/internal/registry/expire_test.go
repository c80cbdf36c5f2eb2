package registry_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestLeaseEndsWithoutRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		register(t, r, math("a1"))
		register(t, r, math("a2"))
		register(t, r, math("a3"))
		register(t, r, math("a4"))
		for range 10 {
			time.Sleep(5 * time.Second)
			renew(t, r, "a1", "a3", "a4")
		}
		if got, want := published(m), "_math._tcp/a1 up 10:100\n_math._tcp/a3 up 10:100\n_math._tcp/a4 up 10:100"; got != want {
			t.Errorf("published %q, want %q", got, want)
		}
		time.Sleep(10 * time.Second)
		renew(t, r, "a3", "a4")
		time.Sleep(5*time.Second - time.Millisecond)
		if _, ok := r.Instance(math("a1").Key); !ok {
			t.Error("removed before its lease ended")
		}
		time.Sleep(100 * time.Millisecond)
		if _, ok := r.Instance(math("a1").Key); ok {
			t.Error("still there after its lease ended")
		}
		if _, err := r.Renew(t.Context(), math("a1").Key, 0); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("Renew = %v, want ErrNotFound", err)
		}
	})
}

// Only the race detector can find a mistake here.
func TestRenewalsWhileLeasesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Lease: registry.Leases{Default: lease}})
		ids := fleet(t, r, 2000)
		time.Sleep(lease) // so that Run judges leases meanwhile
		for range 20 {
			for _, id := range ids {
				r.Renew(t.Context(), math(id).Key, 0) //nolint:errcheck // some are removed
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}
