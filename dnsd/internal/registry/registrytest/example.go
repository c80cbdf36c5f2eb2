package registrytest

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func example(id string) registry.Instance {
	return registry.Instance{
		Key:  registry.Key{Service: "_math._tcp", ID: id},
		Host: "10.0.0.7", Port: 8080, Priority: 10, Weight: 100,
	}
}

func mustRegister(tb testing.TB, r *registry.Registry, in registry.Instance) {
	tb.Helper()
	if _, err := r.Register(context.Background(), in); err != nil {
		tb.Fatal(err)
	}
}

func drawKey(t *rapid.T) registry.Key {
	return registry.Key{
		Service: rapid.SampledFrom([]string{"_math._tcp", "_math._udp", "_math-2._tcp"}).Draw(t, "service"),
		ID:      rapid.SampledFrom([]string{"a", "a-1", "a1", "b", "c", "d"}).Draw(t, "id"),
	}
}

// drawChange draws a change that fits the instances in now.
func drawChange(t *rapid.T, now map[registry.Key]registry.Instance, revision uint64, wall time.Time) registry.Change {
	k := drawKey(t)
	c := registry.Change{Revision: revision, Time: wall}
	if old, ok := now[k]; ok {
		c.Old = &old
		if rapid.Bool().Draw(t, "remove") {
			return c
		}
	}
	c.New = &registry.Instance{
		Key:         k,
		Host:        rapid.SampledFrom([]string{"10.0.0.7", "2001:db8::1", "a1.example.net."}).Draw(t, "host"),
		Port:        rapid.Uint16Min(1).Draw(t, "port"),
		Priority:    rapid.Uint16().Draw(t, "priority"),
		Weight:      rapid.Uint16().Draw(t, "weight"),
		TTL:         time.Duration(rapid.IntRange(1, 43200).Draw(t, "ttl")) * time.Second,
		Lease:       time.Duration(rapid.Int64Range(2e9, 864e11).Draw(t, "lease")),
		Meta:        rapid.MapOfN(rapid.StringMatching(`[a-z]{1,8}`), rapid.String(), 0, 3).Draw(t, "meta"),
		Incarnation: rapid.Uint64().Draw(t, "incarnation"),
		State:       rapid.SampledFrom([]registry.State{registry.Up, registry.Suspect, registry.Drained}).Draw(t, "state"),
		Drain:       rapid.Bool().Draw(t, "drain"),
		Revision:    revision,
	}
	c.New.Sticky = c.New.State == registry.Drained && rapid.Bool().Draw(t, "sticky")
	if len(c.New.Meta) == 0 {
		c.New.Meta = nil
	}
	return c
}

// at is a position of the current life of r.
func at(r *registry.Registry, revision uint64) *registry.Position {
	p := r.At(revision)
	return &p
}

// Tests: suite_test.go.
