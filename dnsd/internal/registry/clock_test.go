package registry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestAStallMakesLeasesLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := registry.Open(registry.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		run := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		}
		in := math("a1")
		in.Service = "_math._udp" // UDP services are not probed
		register(t, r, in)
		run(10 * time.Second)
		time.Sleep(time.Hour) // Run does not run
		run(4 * time.Second)
		if l, ok := r.Instance(in.Key); !ok || l.ExpiresIn > time.Second || l.ExpiresIn < 900*time.Millisecond {
			t.Errorf("after 14 of 15 seconds and a stall it is %+v, %v", l, ok)
		}
		if s := r.Stats(); s.Stalls != 1 || s.Stalled < time.Hour-time.Second || s.Stalled > time.Hour+time.Second {
			t.Errorf("stats: %+v", s)
		}
		run(2 * time.Second)
		if _, ok := r.Instance(in.Key); ok {
			t.Error("not expired after its 15 seconds")
		}
	})
}

func TestTheTimeBeforeRunIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := registry.Open(registry.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		register(t, r, math("a1"))
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
		if l, ok := r.Instance(math("a1").Key); !ok || l.ExpiresIn < lease-2*time.Second {
			t.Errorf("it is %+v, %v", l, ok)
		}
		if s := r.Stats(); s.Stalls != 0 {
			t.Errorf("%d stalls", s.Stalls)
		}
	})
}
