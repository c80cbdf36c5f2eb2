package registry

import (
	"iter"
	"time"
)

// Backend keeps what a registry must not forget. A registry is the only user of
// its backend and calls one method at a time. [Memory] and package boltstore are
// backends; package registrytest holds the suite that each must pass.
type Backend interface {
	// Load returns everything committed. It is called once, before Commit.
	Load() (*Snapshot, error)
	// Commit makes b durable as a whole or not at all before it returns. It
	// must not keep b. ErrNoSpace: the disk is full.
	Commit(b *Batch) error
	Close() error
}

// Snapshot is what a backend has kept.
type Snapshot struct {
	Revision  uint64                      // the highest ever committed
	Instances iter.Seq2[*Instance, error] // ordered by key; State is Up, Suspect or Drained
	Fences    iter.Seq2[Fence, error]     // in the order they were first committed
}

// Batch is what one commit makes durable.
type Batch struct {
	Revision uint64   // the highest given out: never lower than in the batch before
	Changes  []Change // in order: of one key the last one counts
	Fences   []Fence  // in order; to be remembered, or, if empty, to be forgotten
}

// Fence remembers of a removed instance its incarnation, so that an older process
// cannot come back under its key, and a sticky drain.
type Fence struct {
	Key
	Incarnation uint64 // 0: of none that said
	Drained     bool   // whoever registers under the key is drained
	Time        time.Time
}

// Empty: there is nothing to remember.
func (f *Fence) Empty() bool { return f.Incarnation == 0 && !f.Drained }

// Memory is a backend that forgets everything at the end.
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
