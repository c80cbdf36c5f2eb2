package registrytest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// failing is a backend whose commits can be made to fail.
type failing struct {
	registry.Backend
	mu  sync.Mutex
	err error // guarded by mu
}

func (f *failing) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Commit(b *registry.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	return f.Backend.Commit(b)
}

// content is a snapshot with all its sequences read.
type content struct {
	revision  uint64
	instances map[registry.Key]registry.Instance
	fences    map[registry.Key]registry.Fence // without their times
}

func load(tb fataler, b registry.Backend) content {
	tb.Helper()
	snap, err := b.Load()
	if err != nil {
		tb.Fatal(err)
	}
	c := content{revision: snap.Revision, instances: map[registry.Key]registry.Instance{}, fences: map[registry.Key]registry.Fence{}}
	var last registry.Key
	for in, err := range snap.Instances {
		if err != nil {
			tb.Fatal(err)
		}
		if len(c.instances) > 0 && last.Compare(in.Key) >= 0 {
			tb.Fatal(fmt.Sprintf("loaded %v after %v", in.Key, last))
		}
		last = in.Key
		c.instances[in.Key] = *in
	}
	var wall time.Time
	for f, err := range snap.Fences {
		if err != nil {
			tb.Fatal(err)
		}
		if f.Time.Before(wall) {
			tb.Fatal("fences are not in order of time")
		}
		wall = f.Time
		f.Time = time.Time{}
		c.fences[f.Key] = f
	}
	return c
}

func (c content) equal(o content) bool {
	return c.revision == o.revision &&
		maps.EqualFunc(c.instances, o.instances, sameInstance) &&
		maps.Equal(c.fences, o.fences)
}

func sameInstance(a, b registry.Instance) bool {
	meta := maps.Equal(a.Meta, b.Meta)
	a.Meta, b.Meta = nil, nil
	return meta && reflect.DeepEqual(a, b)
}

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

// drawChange draws one that fits what is there.
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
		Revision:    revision,
	}
	c.New.Sticky = c.New.State == registry.Drained && rapid.Bool().Draw(t, "sticky")
	if len(c.New.Meta) == 0 {
		c.New.Meta = nil
	}
	return c
}

// at is a position of the present life.
func at(r *registry.Registry, revision uint64) *registry.Position {
	p := r.At(revision)
	return &p
}
