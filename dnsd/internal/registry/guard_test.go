package registry_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// In each lease only a share of a service's silent instances is removed without proof.
func TestGuardRemovesThirtyPercentALease(t *testing.T) {
	for _, c := range []struct{ size, silent, gone int }{
		{1, 1, 0}, {2, 2, 0}, // below the guard's minimum: each gets one more lease
		{3, 1, 1}, {3, 2, 1}, {4, 3, 1}, {6, 5, 1}, {7, 6, 2}, {10, 9, 3}, {10, 2, 2}, {20, 19, 6},
	} {
		t.Run(fmt.Sprintf("%dOf%d", c.silent, c.size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := start(t, registry.Config{})
				in := math("other") // so that an instance is heard
				in.Service = "_text._tcp"
				register(t, r, in)
				ids := fleet(t, r, c.size)
				for range 4 {
					time.Sleep(lease / 3)
					renew(t, r, ids[c.silent:]...)
					if _, err := r.Renew(t.Context(), in.Key, 0); err != nil {
						t.Fatal(err)
					}
				}
				s := r.Stats()
				if gone := c.size + 1 - s.Instances; gone != c.gone || s.Suspect != c.silent-c.gone {
					t.Errorf("%d removed and %d suspects, want %d and %d", gone, s.Suspect, c.gone, c.silent-c.gone)
				}
				if c.size > 2 {
					return
				}
				for range 3 {
					time.Sleep(lease / 3)
					if _, err := r.Renew(t.Context(), in.Key, 0); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if s := r.Stats(); s.Instances != 1 {
					t.Errorf("after another lease: %+v, want only the other service", s)
				}
			})
		})
	}
}

func TestNothingExpiresWhileNoInstanceIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		ids := fleet(t, r, 2)
		alone := math("alone")
		alone.Service = "_text._tcp" // which is otherwise too small for the guard
		register(t, r, alone)
		time.Sleep(5 * lease)
		synctest.Wait()
		if s := r.Stats(); s.Instances != 3 || s.Suspect != 3 {
			t.Fatalf("after five silent leases: %+v", s)
		}
		renew(t, r, ids[0]) // the network works again
		time.Sleep(lease / 3)
		if got, want := published(m), "_math._tcp/a0 up 10:100\n_math._tcp/a1 suspect 1010:100\n_text._tcp/alone suspect 1010:100"; got != want {
			t.Errorf("published\n%s\nwant\n%s", got, want)
		}
		// The reprieve ends ten leases after it began, even if other instances are heard.
		for range 16 {
			time.Sleep(lease / 3)
			renew(t, r, ids[0])
		}
		if s := r.Stats(); s.Suspect != 2 {
			t.Errorf("released early: %+v", s)
		}
		keep(t, r, lease, ids[0])
		if got, want := published(m), "_math._tcp/a0 up 10:100"; got != want {
			t.Errorf("after the reprieve\n%s\nwant\n%s", got, want)
		}
	})
}

func TestReprieveEndsAfterFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		for _, id := range []string{"a1", "a2", "a3"} {
			in := math(id)
			in.Lease = time.Hour
			register(t, r, in)
		}
		time.Sleep(time.Hour + 14*time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Suspect != 3 {
			t.Fatalf("silent for a lease: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Instances != 0 {
			t.Errorf("reprieved for more than 15 minutes: %+v", s)
		}
	})
}

func TestOperatorReleasesTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		for _, service := range []string{"_math._tcp", "_text._tcp"} {
			for _, id := range []string{"a1", "a2", "a3"} {
				in := math(id)
				in.Service = service
				register(t, r, in)
			}
		}
		time.Sleep(lease + time.Second)
		r.ReleaseGuard(t.Context(), "_math._tcp")
		time.Sleep(time.Second)
		if _, ok := r.Service("_math._tcp"); ok {
			t.Error("released, and still there")
		}
		if v, _ := r.Service("_text._tcp"); len(v.Instances) != 3 {
			t.Errorf("not released, and removed: %v", v)
		}
		r.ReleaseGuard(t.Context(), "")
		time.Sleep(time.Second)
		if s := r.Stats(); s.Instances != 0 {
			t.Errorf("all released: %+v", s)
		}
	})
}

func TestGuardOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{Guard: registry.Guard{Off: true}})
		fleet(t, r, 10)
		time.Sleep(lease + time.Second)
		synctest.Wait()
		if s := r.Stats(); s.Instances != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// An operator switches the guard off because it reprieves instances that are known to be dead.
func TestGuardSwitchedOffEndsReprieves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{})
		fleet(t, r, 10)
		time.Sleep(16 * time.Second) // no instance is heard
		if n := r.Stats().Suspect; n != 10 {
			t.Fatalf("%d suspects, want all 10", n)
		}
		if err := r.Update(registry.Config{Guard: registry.Guard{Off: true}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(16 * time.Second)
		if n := r.Stats().Instances; n != 0 {
			t.Errorf("a lease after the guard was switched off %d are still there", n)
		}
	})
}

func TestGuardReprievesMassExpiryForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		ids := []string{"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"}
		for _, id := range ids {
			register(t, r, math(id))
		}
		beat := func(d time.Duration) {
			for range d / (5 * time.Second) {
				time.Sleep(5 * time.Second)
				renew(t, r, "a9")
			}
			synctest.Wait()
		}
		beat(20 * time.Second) // the other nine instances are silent
		s := r.Stats()
		if s.Instances != 7 || s.Suspect != 6 || s.Up != 1 {
			t.Fatalf("after a lease: %+v, want 3 of 10 removed, 6 suspects", s)
		}
		if want := "_math._tcp/a3 suspect 1010:100"; !strings.Contains(published(m), want) {
			t.Errorf("published\n%s\nwant %q in it", published(m), want)
		}
		renew(t, r, "a3") // it lives
		if in, _ := r.Instance(math("a3").Key); in.State != registry.Up {
			t.Errorf("a renewed suspect is %v", in.State)
		}
		beat(10*15*time.Second + 5*time.Second)
		if got, want := published(m), "_math._tcp/a9 up 10:100"; got != want {
			t.Errorf("after ten leases\n%s\nwant %s", got, want)
		}
	})
}
