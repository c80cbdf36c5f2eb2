package registrytest

import (
	"cmp"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// shelf is a store in memory that lasts as long as the test. With a fault it breaks a
// promise of registry.Backend.
type shelf struct {
	fault     string
	revision  uint64
	instances map[registry.Key]*registry.Instance
	fences    map[registry.Key]registry.Fence
}

func newShelf(fault string) *shelf {
	return &shelf{fault: fault, instances: map[registry.Key]*registry.Instance{}, fences: map[registry.Key]registry.Fence{}}
}

func (s *shelf) Load() (*registry.Snapshot, error) {
	all := slices.SortedFunc(maps.Values(s.instances), func(a, b *registry.Instance) int { return a.Compare(b.Key) })
	fences := slices.SortedFunc(maps.Values(s.fences), func(a, b registry.Fence) int {
		return cmp.Or(a.Time.Compare(b.Time), a.Compare(b.Key))
	})
	snap := &registry.Snapshot{Revision: s.revision}
	switch s.fault {
	case "order":
		slices.Reverse(all)
	case "revision":
		snap.Revision = min(snap.Revision, 1)
	case "fences":
		fences = nil
	}
	snap.Instances = func(yield func(*registry.Instance, error) bool) {
		for _, in := range all {
			c := *in
			if !yield(&c, nil) {
				return
			}
		}
	}
	snap.Fences = func(yield func(registry.Fence, error) bool) {
		for _, f := range fences {
			if !yield(f, nil) {
				return
			}
		}
	}
	return snap, nil
}

func (s *shelf) Commit(b *registry.Batch) error {
	s.revision = b.Revision
	for _, c := range b.Changes {
		switch {
		case c.New != nil:
			s.instances[c.Key()] = c.New
		case s.fault != "removals":
			delete(s.instances, c.Key())
		}
	}
	for _, f := range b.Fences {
		if f.Empty() {
			delete(s.fences, f.Key)
		} else {
			s.fences[f.Key] = f
		}
	}
	return nil
}

func (s *shelf) Close() error { return nil }

func suiteOf(fault string) Suite {
	return Suite{Fresh: func(testing.TB) Store {
		s := newShelf(fault)
		return func() (registry.Backend, error) { return s, nil }
	}}
}

func TestSuitePassesABackendThatKeepsItsPromises(t *testing.T) { suiteOf("").Run(t) }

// faultEnv tells the test binary which fault its backend has.
const faultEnv = "ROLLCALL_BROKEN_BACKEND"

func TestSuiteFindsBrokenBackends(t *testing.T) {
	if fault := os.Getenv(faultEnv); fault != "" {
		suiteOf(fault).Run(t)
		return
	}
	for _, fault := range []string{"order", "revision", "fences", "removals"} {
		child := exec.Command(os.Args[0], "-test.run=^TestSuiteFindsBrokenBackends$", "-test.failfast", "-rapid.shrinktime=0s", "-rapid.nofailfile")
		child.Env = append(os.Environ(), faultEnv+"="+fault)
		out, err := child.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--- FAIL: TestSuiteFindsBrokenBackends") {
			t.Errorf("a backend that is wrong about %s: %v\n%s", fault, err, out)
		}
	}
}
