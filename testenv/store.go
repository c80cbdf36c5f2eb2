package testenv

import (
	"context"
	"log/slog"
	"sync"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// A Store is what the dnsd of an environment share: it behaves as an etcd does, in memory.
type Store struct{ cluster *memkv.Cluster }

// Store returns the store that the dnsd share.
func (e *Env) Store() *Store {
	e.t.Helper()
	if e.store == nil {
		e.t.Fatal("testenv: the environment has no store: it needs Setup.DNSDs of 2 or more, and no Setup.Stores")
	}
	return e.store
}

// Stop makes the store unavailable for every dnsd, as an etcd that has lost its majority.
func (s *Store) Stop() { s.cluster.Stop() }

// Start undoes Stop. The session of each dnsd begins again.
func (s *Store) Start() { s.cluster.Start() }

// Compact forgets all that is not the present.
func (s *Store) Compact() {
	// It fails for revisions that do not exist; 0 is the present.
	_ = s.cluster.Compact(0)
}

// SetFull says whether the quota of the store is used up: nothing can be put then, but
// removals go on.
func (s *Store) SetFull(full bool) { s.cluster.SetFull(full) }

// Copy returns what brings the store back to what it is now: an operator saves it, and
// restores it later from the copy, into a new etcd.
func (s *Store) Copy() (restore func()) {
	copied := s.cluster.Snapshot()
	return func() { s.cluster.Restore(copied, copied.Other()) }
}

// stores opens the environment's store for one dnsd. A link decides what reaches it.
type stores struct {
	cluster *memkv.Cluster
	name    string

	mu    sync.Mutex // guards what follows
	state memkv.Link
	open  []*memkv.Store
}

// Check implements dnsd.Stores.
func (s *stores) Check(dnsd.SharedStore) error { return nil }

// Open implements dnsd.Stores.
func (s *stores) Open(context.Context, dnsd.SharedStore, *slog.Logger) (kv.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	store := s.cluster.Open(s.name)
	store.SetLink(s.state)
	s.open = append(s.open, store)
	return store, nil
}

// follow applies what is wrong with the link.
func (s *stores) follow(b Break) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = map[Break]memkv.Link{Whole: memkv.Up, Cut: memkv.Cut, Stuck: memkv.Hang, Deaf: memkv.HangReplies}[b]
	for _, store := range s.open {
		store.SetLink(s.state)
	}
}

// Tests: store_test.go.
