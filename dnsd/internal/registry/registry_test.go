package registry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestUpdateChangesLaterRegistrations(t *testing.T) {
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in := registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a1"}, Host: "192.0.2.1", Port: 1}
	before, err := r.Register(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Update(registry.Config{Lease: registry.Leases{Default: 30 * time.Second}, Limits: registry.Limits{PerService: 2}}); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Instance(before.Instance.Key); got.Lease != 15*time.Second {
		t.Errorf("the lease of a registered instance: %v, want 15s", got.Lease)
	}
	in.ID = "a2"
	if got, err := r.Register(t.Context(), in); err != nil || got.Instance.Lease != 30*time.Second {
		t.Errorf("the lease of a new instance: %v, %v, want 30s", got, err)
	}
	in.ID = "a3"
	var limit *registry.LimitError
	if _, err := r.Register(t.Context(), in); !errors.As(err, &limit) {
		t.Errorf("beyond the new limit: %v", err)
	}
	if err := r.Update(registry.Config{Lease: registry.Leases{Default: time.Second}}); err == nil {
		t.Error("a bad configuration is accepted")
	}
	in.ID = "a1"
	in.Weight = 7
	if got, err := r.Register(t.Context(), in); err != nil || got.Instance.Lease != 30*time.Second {
		t.Errorf("after a refused update: %v, %v, want a lease of 30s", got, err)
	}
}
