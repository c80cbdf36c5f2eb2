package registry

import (
	"iter"
	"time"
)

// Backend stores what a registry must not forget. The package comment says what it must
// promise. [Memory] and package boltstore are backends. Package registrytest holds the
// suite that each must pass.
type Backend interface {
	// Load returns everything that was committed. The registry calls it once, before
	// Commit.
	Load() (*Snapshot, error)
	// Commit makes b durable before it returns, as a whole or not at all. It must not
	// keep b. ErrNoSpace says that there is no room for b.
	Commit(b *Batch) error
	// Close releases the store. The registry calls it last.
	Close() error
}

// Snapshot is the content of a backend.
type Snapshot struct {
	Revision  uint64                      // the highest that was committed
	Instances iter.Seq2[*Instance, error] // ordered by key; State is Up, Suspect or Drained
	Fences    iter.Seq2[Fence, error]     // ordered by Time
}

// Batch is what one commit makes durable.
type Batch struct {
	Revision uint64   // the highest that was given out; never lower than in the batch before
	Changes  []Change // in order; the last one of a key counts
	Fences   []Fence  // in order; an empty one removes the fence of its key
}

// Fence is what the registry remembers of a key whose instance was removed: its
// incarnation, so that an older process cannot register under the key, and a sticky
// drain.
type Fence struct {
	Key
	Incarnation uint64 // 0: no incarnation is remembered
	Drained     bool   // the next instance under the key is drained
	Time        time.Time
}

// Empty says that there is nothing to remember.
func (f *Fence) Empty() bool { return f.Incarnation == 0 && !f.Drained }

// Memory returns a backend that stores nothing.
func Memory() Backend { return memory{} }

type memory struct{}

func (memory) Load() (*Snapshot, error) {
	return &Snapshot{
		Instances: func(func(*Instance, error) bool) {},
		Fences:    func(func(Fence, error) bool) {},
	}, nil
}
func (memory) Commit(*Batch) error { return nil }
func (memory) Close() error        { return nil }
