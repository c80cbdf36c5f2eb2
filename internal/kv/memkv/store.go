package memkv

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Store is a connection of one client to a Cluster. It is a kv.Store.
type Store struct {
	c    *Cluster
	name string

	// All below is guarded by the lock of the Cluster.

	closed  bool
	link    Link
	delay   time.Duration  // of a message, in each direction
	answers time.Duration  // of an answer, in addition
	breaks  int            // how often the link broke: calls that were under way then fail
	losses  []Loss         // what happens to the next transactions
	late    []func() error // transactions that have not arrived yet
	watches map[*watch]struct{}
}

var _ kv.Store = (*Store)(nil)

// Get implements kv.Store.
func (s *Store) Get(ctx context.Context, key string) (pair *kv.Pair, h kv.Header, err error) {
	err = s.call(ctx, "get "+key, read, func(d *data) error {
		h = d.header()
		if p, ok := d.at(key, d.revision); ok {
			p.Value = slices.Clone(p.Value)
			pair = &p
		}
		return nil
	})
	if err != nil {
		return nil, kv.Header{}, err
	}
	return pair, h, nil
}

// Range implements kv.Store.
func (s *Store) Range(ctx context.Context, prefix string, at int64, each func(kv.Pair) error) (h kv.Header, err error) {
	var pairs []kv.Pair
	err = s.call(ctx, "range "+prefix, read, func(d *data) error {
		h = d.header()
		if at != 0 {
			h.Revision = at
		}
		if !d.readable(h.Revision) {
			return fmt.Errorf("revision %d is not one of %d to %d: %w", h.Revision, d.compacted, d.revision, kv.ErrCompacted)
		}
		pairs = d.inOrder(prefix, h.Revision)
		return nil
	})
	if err != nil {
		return kv.Header{}, err
	}
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			return kv.Header{}, fmt.Errorf("memkv: %s: range %s: %w", s.name, prefix, err)
		}
		p.Value = slices.Clone(p.Value)
		if err := each(p); err != nil {
			return kv.Header{}, err
		}
	}
	return h, nil
}

// Txn implements kv.Store.
func (s *Store) Txn(ctx context.Context, t kv.Txn) (r kv.Result, err error) {
	if err := t.Check(s.c.config.Limits); err != nil {
		return kv.Result{}, err
	}
	// The transaction may arrive after the caller was answered, and uses its slices again.
	t = kv.Txn{If: slices.Clone(t.If), Then: slices.Clone(t.Then)}
	for i := range t.Then {
		t.Then[i].Value = slices.Clone(t.Then[i].Value)
	}
	var result kv.Result
	err = s.call(ctx, "transaction", transaction, func(d *data) (err error) {
		result, err = s.c.txnLocked(t)
		return err
	})
	if err != nil {
		return kv.Result{}, err
	}
	return result, nil
}

func (c *Cluster) txnLocked(t kv.Txn) (kv.Result, error) {
	// etcd asks for room before it looks at the conditions.
	if t.Puts() {
		if err := c.roomLocked(costOf(t.Then)); err != nil {
			return kv.Result{}, err
		}
	}
	if !c.data.holds(t.If) {
		return kv.Result{Header: c.data.header()}, nil
	}
	if i := slices.IndexFunc(t.Then, c.data.lacksLease); i >= 0 {
		return kv.Result{}, fmt.Errorf("put %s with lease %x: %w", t.Then[i].Key, int64(t.Then[i].Lease), kv.ErrLeaseGone)
	}
	c.commitLocked(t.Then)
	return kv.Result{Header: c.data.header(), Done: true}, nil
}

// Grant implements kv.Store.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (granted kv.Lease, err error) {
	err = s.call(ctx, "grant a lease", write, func(d *data) error {
		c := s.c
		if err := c.roomLocked(costOfLease); err != nil {
			return err
		}
		c.lastLease++
		l := &lease{ttl: c.config.ttl(ttl), keys: map[string]struct{}{}}
		l.ends = time.Now().Add(l.ttl)
		d.leases[c.lastLease] = l
		d.size += costOfLease
		granted = kv.Lease{ID: c.lastLease, TTL: l.ttl}
		c.alarmLocked()
		return nil
	})
	if err != nil {
		return kv.Lease{}, err
	}
	return granted, nil
}

// ttl is the time that a lease gets if one is asked for.
func (c Config) ttl(asked time.Duration) time.Duration {
	if c.MinTTL != 0 {
		return max(asked, c.MinTTL)
	}
	seconds := (asked + time.Second - 1).Truncate(time.Second)
	return max(seconds, defaultMinTTL)
}

// KeepAlive implements kv.Store.
func (s *Store) KeepAlive(ctx context.Context, id kv.LeaseID) error {
	return s.call(ctx, fmt.Sprintf("keep lease %x alive", int64(id)), read, func(d *data) error {
		l := d.leases[id]
		if l == nil {
			return kv.ErrLeaseGone
		}
		l.ends = time.Now().Add(l.ttl)
		return nil
	})
}

// Revoke implements kv.Store.
func (s *Store) Revoke(ctx context.Context, id kv.LeaseID) error {
	return s.call(ctx, fmt.Sprintf("revoke lease %x", int64(id)), write, func(*data) error {
		s.c.revokeLocked(id)
		return nil
	})
}

// Limits implements kv.Store.
func (s *Store) Limits() kv.Limits { return s.c.config.Limits }

// Status implements kv.Store.
func (s *Store) Status(ctx context.Context) (st kv.Status) {
	node := kv.Node{Name: "memory", URL: "memory:" + s.name}
	err := s.call(ctx, "status", read, func(d *data) error {
		st.Size, st.Quota, st.Version = d.size, s.c.config.Quota, "memory"
		if d.full {
			st.Alarm = "NOSPACE"
		}
		return nil
	})
	if err != nil {
		node.Error = strings.TrimPrefix(err.Error(), "memkv: ")
		return kv.Status{Error: node.Error, Nodes: []kv.Node{node}}
	}
	node.Healthy, node.Leader = true, true
	st.Nodes = []kv.Node{node}
	return st
}

// Close implements kv.Store.
func (s *Store) Close() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.closed = true
	for w := range s.watches {
		w.endLocked(kv.ErrClosed, false)
	}
	delete(s.c.stores, s)
	s.c.wakeLocked()
	return nil
}

// Tests: memkv_test.go.
