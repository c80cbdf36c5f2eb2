package registrytest

import (
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Mirror is a registry.Sink that keeps what it is told. It fails the test if the changes
// are not in order.
type Mirror struct {
	TB interface{ Errorf(string, ...any) } // a testing.TB or a *rapid.T

	mu       sync.Mutex // guards what follows
	gaps     bool       // revisions may be left out
	revision uint64
	now      map[registry.Key]*registry.Instance
	history  []registry.Change
}

// AllowGaps allows revisions to be left out from now on, as Registry.AttachRenewed does.
func (m *Mirror) AllowGaps() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gaps = true
}

// Load implements registry.Sink.
func (m *Mirror) Load(revision uint64, all iter.Seq[*registry.Instance], history []registry.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revision, m.now = revision, map[registry.Key]*registry.Instance{}
	m.history = slices.Clone(history)
	var last registry.Key
	for in := range all {
		if len(m.now) > 0 && last.Compare(in.Key) >= 0 {
			m.TB.Errorf("Load: %v after %v", in.Key, last)
		}
		last = in.Key
		m.now[in.Key] = in
	}
	for i, c := range history {
		if want := revision - uint64(len(history)-1-i); c.Revision != want {
			m.TB.Errorf("Load: history has revision %d where %d belongs", c.Revision, want)
		}
	}
}

// Apply implements registry.Sink.
func (m *Mirror) Apply(changes []registry.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		if c.Revision != m.revision+1 && !(m.gaps && c.Revision > m.revision) {
			m.TB.Errorf("Apply: revision %d after %d", c.Revision, m.revision)
		}
		m.revision = c.Revision
		old := m.now[c.Key()]
		if (old == nil) != (c.Old == nil) || old != nil && old.Revision != c.Old.Revision {
			m.TB.Errorf("Apply: revision %d: old is %+v, told %+v", c.Revision, old, c.Old)
		}
		if c.New == nil {
			delete(m.now, c.Key())
		} else {
			m.now[c.Key()] = c.New
		}
		m.history = append(m.history, c)
	}
}

// Revision returns the revision of the last change.
func (m *Mirror) Revision() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision
}

// Instances returns all instances, drained ones too.
func (m *Mirror) Instances() map[registry.Key]*registry.Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.now)
}

// History returns all changes, beginning with those that it was loaded with.
func (m *Mirror) History() []registry.Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.history)
}

// Tests: suite_test.go.
