package registrytest

import (
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// content is a snapshot whose sequences were read.
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

// Tests: suite_test.go.
