package registry_test

import (
	"context"
	"errors"
	"fmt"
	gomath "math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Suspects are published after all live instances, and ordered as they registered,
// whatever their priorities are and whichever instances come and go.
func TestSuspectsFollowEveryLiveTier(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			r, err := registry.Open(registry.Config{Probe: func(context.Context, string) error { return errors.New("no route to host") }})
			if err != nil {
				rt.Fatal(err)
			}
			defer r.Close()
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { r.Run(ctx); close(done) }()
			defer func() { cancel(); <-done }()
			priority := rapid.OneOf(
				rapid.SampledFrom([]uint16{0, 1, 10, 20, 5000, 64_535, 64_536, gomath.MaxUint16 - 16, gomath.MaxUint16 - 15, gomath.MaxUint16 - 1, gomath.MaxUint16}),
				rapid.Uint16(),
			)
			const n = 12
			registered := map[string]uint16{}
			register := func(i int) {
				in := math(fmt.Sprint("a", i))
				in.Priority = priority.Draw(rt, "priority")
				if _, err := r.Register(context.Background(), in); err != nil {
					rt.Fatal(err)
				}
				registered[in.ID] = in.Priority
			}
			for i := range n {
				register(i)
			}
			live := rapid.IntRange(0, n-1).Draw(rt, "live")
			for range 4 { // the others are silent, and become suspects
				time.Sleep(lease / 3)
				for i := range live {
					r.Renew(context.Background(), math(fmt.Sprint("a", i)).Key, 0) //nolint:errcheck // it is registered
				}
			}
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				register(rapid.IntRange(0, n+3).Draw(rt, "who"))
				synctest.Wait()
				v, _ := r.Service("_math._tcp")
				for _, a := range v.Instances {
					pa, _ := a.Published()
					for _, b := range v.Instances {
						pb, _ := b.Published()
						switch {
						case a.State == registry.Suspect && b.State == registry.Up && pa <= pb:
							rt.Fatalf("suspect %s of %d is published at %d, %s of %d, which is live, at %d", a.ID, registered[a.ID], pa, b.ID, registered[b.ID], pb)
						case a.State == registry.Suspect && b.State == registry.Suspect && (registered[a.ID] < registered[b.ID]) != (pa < pb):
							rt.Fatalf("suspects %s of %d and %s of %d are published at %d and %d", a.ID, registered[a.ID], b.ID, registered[b.ID], pa, pb)
						}
					}
				}
			}
		})
	})
}

// The network of the tier 10 is gone. The tier 5000 lives.
func TestLiveFailoverTierIsPreferredToSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		for _, id := range []string{"m1", "m2", "m3"} {
			register(t, r, math(id))
		}
		backup := math("backup")
		backup.Priority = 5000
		register(t, r, backup)
		for range 4 {
			time.Sleep(lease / 3)
			renew(t, r, "backup")
		}
		if got, want := published(m), "_math._tcp/backup up 5000:100\n_math._tcp/m2 suspect 5001:100\n_math._tcp/m3 suspect 5001:100"; got != want {
			t.Errorf("published\n%s\nwant\n%s", got, want)
		}
		last := math("last")
		last.Priority = gomath.MaxUint16
		register(t, r, last)
		if got, want := published(m), "_math._tcp/backup up 5000:100\n_math._tcp/last up 65519:100\n_math._tcp/m2 suspect 65520:100\n_math._tcp/m3 suspect 65520:100"; got != want {
			t.Errorf("published\n%s\nwant\n%s", got, want)
		}
	})
}
