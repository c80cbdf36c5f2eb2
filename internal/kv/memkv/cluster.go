package memkv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Config of a Cluster. The zero value is an etcd with its defaults.
type Config struct {
	// ID is the first kv.Header.Cluster. 0: a random one.
	ID uint64
	// Limits of a transaction. Zero: 128 operations, and 1.5 MiB.
	Limits kv.Limits
	// MinTTL is the shortest time of a lease. 0: as in etcd, 2 s, and times are rounded up
	// to whole seconds. If it is set, times are not rounded.
	MinTTL time.Duration
	// Progress is how long a watch is quiet before it says that nothing has changed; at
	// least 1 ms. 0: 1 s. Negative: it never says so.
	Progress time.Duration
	// History is how many revisions are kept. Older ones are compacted. 0: 10,000.
	History int
	// Quota is how many octets the data may have, by etcd's formula: 256, the key and the
	// value for each put that is not compacted, and 64 for each lease. What would exceed it
	// gets kv.ErrNoSpace, and the store is full until SetFull(false). 0: no bound.
	Quota int64
}

const (
	defaultOps      = 128         // etcd's --max-txn-ops
	defaultBytes    = 1536 * 1024 // etcd's --max-request-bytes
	defaultMinTTL   = 2 * time.Second
	defaultProgress = time.Second // etcd sends it each 10 minutes; a test would not see it
	minProgress     = time.Millisecond
	defaultHistory  = 10_000
)

// Cluster is a store: the data that several connections share. It is safe for concurrent
// use.
type Cluster struct {
	config Config

	mu        sync.Mutex // guards all below, and the fields of each Store and watch
	data      *data
	stopped   bool
	stores    map[*Store]struct{} // that are not closed
	lastLease kv.LeaseID          // ids are not given twice, also after Restore
	changed   chan struct{}       // closed and replaced when something changes that is waited for
	timer     *time.Timer         // for the first end of a lease
}

// New makes an empty store.
func New(c Config) *Cluster {
	if c.ID == 0 {
		c.ID = newID()
	}
	if c.Limits.Ops <= 0 {
		c.Limits.Ops = defaultOps
	}
	if c.Limits.Bytes <= 0 {
		c.Limits.Bytes = defaultBytes
	}
	if c.History <= 0 {
		c.History = defaultHistory
	}
	if c.Progress = cmp.Or(c.Progress, defaultProgress); c.Progress > 0 {
		c.Progress = max(c.Progress, minProgress)
	}
	return &Cluster{
		config: c, data: newData(c.ID), stores: map[*Store]struct{}{},
		lastLease: kv.LeaseID(rand.Int32()), changed: make(chan struct{}),
	}
}

// Open makes a connection. The name is for messages only. Closing it ends no lease.
func (c *Cluster) Open(name string) *Store {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Store{c: c, name: name, watches: map[*watch]struct{}{}}
	c.stores[s] = struct{}{}
	return s
}

// Revision is the newest revision.
func (c *Cluster) Revision() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data.revision
}

// Stop makes the store unavailable for every connection. Its data stay, and no lease ends.
func (c *Cluster) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	c.stopped = true
	c.endWatchesLocked(errStopped)
	c.wakeLocked()
}

// Start undoes Stop. Each lease lasts its whole time again.
func (c *Cluster) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		c.stopped = false
		c.extendLocked()
		c.wakeLocked()
	}
}

// Compact forgets what is older than a revision. 0 is the newest one. A watch whose link
// hangs, and that has not got all up to the revision, ends with kv.ErrCompacted when the
// link works again. One whose link works goes on: a server would have sent it everything
// by then.
func (c *Cluster) Compact(revision int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	switch {
	case revision == 0:
		revision = c.data.revision
	case revision > c.data.revision:
		return fmt.Errorf("memkv: compact revision %d: the newest is %d", revision, c.data.revision)
	case revision < c.data.compacted:
		return fmt.Errorf("memkv: compact revision %d: that of %d was compacted: %w", revision, c.data.compacted, kv.ErrCompacted)
	}
	c.compactLocked(revision)
	return nil
}

// SetFull raises or ends the alarm of a full store. While it is raised, grants and
// transactions that put a key get kv.ErrNoSpace, whether their conditions hold or not.
func (c *Cluster) SetFull(full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data.full = full
}

// Snapshot is a copy of all data.
type Snapshot struct{ data *data }

// Other is an id for Restore: that of a new cluster, as each etcd gets that is made from
// a copy.
func (s *Snapshot) Other() uint64 { return newID() }

// newID is a random id of a cluster, not 0.
func newID() uint64 { return rand.Uint64() | 1 }

// Snapshot copies all data.
func (c *Cluster) Snapshot() *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	return &Snapshot{data: c.data.clone()}
}

// Restore puts a snapshot in place of the data, as if etcd was restored from a copy:
// revisions go back, watches end, leases last their whole time again, and the alarm of a
// full store is as it was. The id becomes that of the cluster. If it is 0, it stays as it
// was in the snapshot.
func (c *Cluster) Restore(s *Snapshot, id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = s.data.clone()
	c.data.cluster = cmp.Or(id, c.data.cluster)
	c.endWatchesLocked(errRestored)
	c.extendLocked()
	c.wakeLocked()
}

// Why a watch or a call ends.
var (
	errStopped  = fmt.Errorf("the store is stopped: %w", kv.ErrUnavailable)
	errRestored = fmt.Errorf("the store was restored from a copy: %w", kv.ErrUnavailable)
	errFull     = errors.New("the store is full: compact it, and end the alarm")
)

// commitLocked does operations at the next revision.
func (c *Cluster) commitLocked(ops []kv.Op) {
	c.data.apply(ops, time.Now())
	c.boundLocked()
	c.wakeLocked()
}

// boundLocked compacts what is more than the history that is kept.
func (c *Cluster) boundLocked() {
	if old := c.data.revision - int64(c.config.History); old > c.data.compacted {
		c.compactLocked(old)
	}
}

func (c *Cluster) compactLocked(revision int64) {
	c.data.compact(revision)
	for s := range c.stores {
		for w := range s.watches {
			w.compactedLocked(revision)
		}
	}
	c.wakeLocked()
}

// roomLocked refuses what needs n octets if the store is full, or becomes full.
func (c *Cluster) roomLocked(n int64) error {
	if c.config.Quota > 0 && c.data.size+n > c.config.Quota {
		c.data.full = true
	}
	if c.data.full {
		return fmt.Errorf("memkv: %w: %w", errFull, kv.ErrNoSpace)
	}
	return nil
}

// expireLocked ends the leases that are over. Every call does it first, so that what it
// sees does not depend on when the timer fires.
func (c *Cluster) expireLocked() {
	if c.stopped {
		return
	}
	now := time.Now()
	var over []kv.LeaseID
	for id, l := range c.data.leases {
		if !now.Before(l.ends) {
			over = append(over, id)
		}
	}
	slices.SortFunc(over, func(a, b kv.LeaseID) int {
		return cmp.Or(c.data.leases[a].ends.Compare(c.data.leases[b].ends), cmp.Compare(a, b))
	})
	for _, id := range over {
		c.revokeLocked(id)
	}
}

func (c *Cluster) revokeLocked(id kv.LeaseID) {
	c.data.revoke(id, time.Now())
	c.boundLocked()
	c.wakeLocked()
}

// extendLocked gives every lease its whole time, as the new leader of an etcd does.
func (c *Cluster) extendLocked() {
	now := time.Now()
	for _, l := range c.data.leases {
		l.ends = now.Add(l.ttl)
	}
	c.alarmLocked()
}

// alarmLocked sets the timer to the first end of a lease. A renewal does not: the timer
// then fires early, and is set again.
func (c *Cluster) alarmLocked() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if len(c.data.leases) == 0 || c.stopped {
		return
	}
	first := slices.MinFunc(slices.Collect(maps.Values(c.data.leases)), func(a, b *lease) int { return a.ends.Compare(b.ends) })
	c.timer = time.AfterFunc(time.Until(first.ends), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.expireLocked()
		c.alarmLocked()
	})
}

// endWatchesLocked ends all watches from the store's side.
func (c *Cluster) endWatchesLocked(why error) {
	for s := range c.stores {
		for w := range s.watches {
			w.endLocked(why, true)
		}
	}
}

// wakeLocked lets everything look again that waits.
func (c *Cluster) wakeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// waitLocked gives up the lock until something changes, the context ends, or the time is
// over; 0 is no time.
func (c *Cluster) waitLocked(ctx context.Context, d time.Duration) {
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
	}
}

// Tests: memkv_test.go, store_test.go.
