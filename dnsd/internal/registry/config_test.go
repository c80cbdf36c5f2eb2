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
		"Lease":         {Lease: time.Second},
		"MinLease":      {MinLease: time.Second},
		"MaxLease":      {MaxLease: time.Second, Lease: 5 * time.Second, MinLease: 4 * time.Second},
		"TTL":           {TTL: 8 * time.Second},
		"Guard.Percent": {Guard: registry.Guard{Percent: 101}},
		"Guard.Leases":  {Guard: registry.Guard{Leases: 1001}},
		"Guard.Max":     {Guard: registry.Guard{Max: -1}},
		"MaxInstances":  {MaxInstances: -1},
		"MaxPerService": {MaxPerService: 100_000_001},
		"History":       {History: -1},
		"HistoryAge":    {HistoryAge: -1},
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
	// The default lease is the nearest to 15s that the bounds allow.
	for _, c := range []struct{ lease, min, max, want time.Duration }{
		{want: 15 * time.Second},
		{min: time.Minute, want: time.Minute},
		{max: 5 * time.Second, want: 5 * time.Second},
		{lease: 2 * time.Second, want: 2 * time.Second},
		{lease: 48 * time.Hour, want: 48 * time.Hour},
	} {
		got, err := registry.Check(registry.Config{Lease: c.lease, MinLease: c.min, MaxLease: c.max})
		if err != nil || got.Lease != c.want {
			t.Errorf("lease %v, bounds %v and %v: %v, %v, want %v", c.lease, c.min, c.max, got.Lease, err, c.want)
		}
	}
}
