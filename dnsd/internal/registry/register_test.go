package registry_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestRegistrationIsPublishedBeforeItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, m := start(t, registry.Config{})
		done, err := r.Register(t.Context(), math("a1"))
		if err != nil || done.Did != registry.Created || done.Revision != 1 || done.Instance.Lease != 15*time.Second || done.Instance.TTL != 5*time.Second {
			t.Fatalf("Register = %+v, %v", done, err)
		}
		if got, want := published(m), "_math._tcp/a1 up 10:100"; got != want {
			t.Errorf("published %q, want %q", got, want)
		}
		again, err := r.Register(t.Context(), math("a1"))
		if err != nil || again.Did != registry.Renewed || again.Revision != 1 || r.Revision() != 1 {
			t.Errorf("the same again = %+v, %v at revision %d: want a renewal", again, err, r.Revision())
		}
	})
}

func TestLimits(t *testing.T) {
	r, _ := start(t, registry.Config{Limits: registry.Limits{Instances: 3, PerService: 2}})
	register(t, r, math("a1"))
	register(t, r, math("a2"))
	_, err := r.Register(t.Context(), math("a3"))
	if limit := (*registry.LimitError)(nil); !errors.As(err, &limit) || !errors.Is(err, registry.ErrFull) || limit.Max != 2 || limit.What != "instances of _math._tcp" {
		t.Errorf("a third instance of the service: %v", err)
	}
	changed := math("a2")
	changed.Weight = 7
	register(t, r, changed) // which adds no instance
	in := math("a1")
	in.Service = "_text._tcp"
	register(t, r, in)
	in.ID = "a2"
	_, err = r.Register(t.Context(), in)
	if limit := (*registry.LimitError)(nil); !errors.As(err, &limit) || limit.Max != 3 || limit.What != "instances" {
		t.Errorf("a fourth instance in all: %v", err)
	}
}
