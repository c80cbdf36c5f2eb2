package registry_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

func TestConfigIsChecked(t *testing.T) {
	for field, cfg := range map[string]registry.Config{
		"Lease.Default":     {Lease: registry.Leases{Default: time.Second}},
		"Lease.Min":         {Lease: registry.Leases{Min: time.Second}},
		"Lease.Max":         {Lease: registry.Leases{Max: time.Second, Default: 5 * time.Second, Min: 4 * time.Second}},
		"TTL":               {TTL: 8 * time.Second},
		"Guard.Percent":     {Guard: registry.Guard{Percent: 101}},
		"Guard.Leases":      {Guard: registry.Guard{Leases: 1001}},
		"Guard.Max":         {Guard: registry.Guard{Max: -1}},
		"Limits.Instances":  {Limits: registry.Limits{Instances: -1}},
		"Limits.PerService": {Limits: registry.Limits{PerService: 100_000_001}},
		"History.Changes":   {History: registry.History{Changes: -1}},
		"History.Age":       {History: registry.History{Age: -1}},
	} {
		r, err := registry.Open(cfg)
		if err == nil {
			r.Close()
		}
		var bad *setting.Error
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	// No lease is so long that a TTL of half of it has more bits than DNS has for it.
	var bad *setting.Error
	if _, err := registry.Check(registry.Config{Lease: registry.Leases{Max: 2_000_000 * time.Hour}}); !errors.As(err, &bad) || bad.Field != "Lease.Max" {
		t.Errorf("an endless lease: %v", err)
	}
	// The default lease is the nearest to 15s that the bounds allow.
	for _, c := range []struct{ lease, min, max, want time.Duration }{
		{want: 15 * time.Second},
		{min: time.Minute, want: time.Minute},
		{max: 5 * time.Second, want: 5 * time.Second},
		{lease: 2 * time.Second, min: 2 * time.Second, want: 2 * time.Second},
	} {
		got, err := registry.Check(registry.Config{Lease: registry.Leases{Default: c.lease, Min: c.min, Max: c.max}})
		if err != nil || got.Lease.Default != c.want {
			t.Errorf("lease %v, bounds %v and %v: %v, %v, want %v", c.lease, c.min, c.max, got.Lease.Default, err, c.want)
		}
	}
	// It does not move the bounds: a mistyped lease is an error.
	for _, lease := range []time.Duration{2 * time.Second, 25 * time.Hour} {
		if _, err := registry.Check(registry.Config{Lease: registry.Leases{Default: lease}}); err == nil {
			t.Errorf("lease %v is good beside the default bounds", lease)
		}
	}
}
