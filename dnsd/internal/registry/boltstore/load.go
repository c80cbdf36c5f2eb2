package boltstore

import (
	"cmp"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Load returns the content of the file. The sequences read the file while they are
// ranged over, and end with an error at the first wrong record.
func (s *Store) Load() (*registry.Snapshot, error) {
	return &registry.Snapshot{
		Revision:  s.revision,
		Instances: s.loadInstances,
		Fences:    s.loadFences,
	}, nil
}

func (s *Store) loadInstances(yield func(*registry.Instance, error) bool) {
	service, n := "", uint64(0)
	for r, err := range s.records(bucketInstances) {
		if err != nil {
			yield(nil, err)
			return
		}
		name, id, ok := splitKey(r.key)
		if string(name) != service {
			service = string(name)
		}
		in, err := parseInstance(service, id, r.value)
		if err != nil || !ok {
			yield(nil, s.damaged("load", fmt.Errorf("instance %q: %w", r.key, errRecord)))
			return
		}
		n++
		if !yield(in, nil) {
			return
		}
	}
	if n != s.instances {
		yield(nil, s.damaged("load", fmt.Errorf("has %d of %d instances", n, s.instances)))
	}
}

func (s *Store) loadFences(yield func(registry.Fence, error) bool) {
	var all []registry.Fence
	for r, err := range s.records(bucketFences) {
		if err != nil {
			yield(registry.Fence{}, err)
			return
		}
		f, err := parseFence(r.key, r.value)
		if err != nil {
			yield(registry.Fence{}, s.damaged("load", fmt.Errorf("fence %q: %w", r.key, err)))
			return
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b registry.Fence) int {
		return cmp.Or(a.Time.Compare(b.Time), a.Key.Compare(b.Key))
	})
	for _, f := range all {
		if !yield(f, nil) {
			return
		}
	}
}

// record is a key and its value without the checksum. It is valid until the next
// record is read.
type record struct{ key, value []byte }

// records reads a bucket, ordered by key.
func (s *Store) records(bucket []byte) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		tx, err := s.db.Begin(false)
		if err != nil {
			yield(record{}, fmt.Errorf("boltstore: load %s: %w", s.path, err))
			return
		}
		defer tx.Rollback()
		c := tx.Bucket(bucket).Cursor()
		for step := c.First; ; step = c.Next {
			r, err := s.read(step)
			if err == nil && r.key == nil {
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// read reads one record.
func (s *Store) read(next func() (k, v []byte)) (r record, err error) {
	defer s.caught("load", &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	k, v := next()
	if k == nil {
		return r, nil
	}
	value := unseal(k, v)
	if value == nil {
		return r, s.damaged("load", fmt.Errorf("record %q: bad checksum", k))
	}
	return record{k, value}, nil
}

// Tests: damage_test.go.
