package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Commit makes b durable. When that fails it restores the file as it was before.
func (s *Store) Commit(b *registry.Batch) (err error) {
	if s.broken != nil {
		return s.broken
	}
	defer func() {
		if p := recover(); p != nil {
			s.broken = s.damaged("commit", fmt.Errorf("%v", p))
			err = s.broken
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	s.log.noSpace = nil
	if cap(s.values) > 1<<20 {
		s.values = nil
	}
	s.values = s.values[:0]
	if !s.sealed && !s.leaks {
		if err := s.firstSeal(); err != nil {
			return err
		}
	}
	revision, instances := max(s.revision, b.Revision), s.instances+grows(b)
	err = s.update(func(tx *bolt.Tx, sum *uint64) error {
		if err := s.write(tx, b, sum); err != nil {
			return err
		}
		state := seal(keyState, appendState(nil, revision, instances), 0)
		return newTable(tx, bucketMeta, seedMeta, sum).put(keyState, state)
	})
	if err == nil {
		s.revision, s.instances = revision, instances
	}
	return err
}

// firstSeal makes a tree with a seal, before the first commit to a file that has none.
// Only the format changes, so that it does not matter which tree an error or a crash
// leaves.
func (s *Store) firstSeal() error {
	return s.update(func(tx *bolt.Tx, sum *uint64) error {
		return newTable(tx, bucketMeta, seedMeta, sum).put(keyFormat, []byte(format))
	})
}

// update makes one transaction of bbolt durable. When that fails it restores the file
// as it was before.
func (s *Store) update(change func(tx *bolt.Tx, sum *uint64) error) error {
	before, err := s.metas()
	if err == nil {
		err = s.ours(before)
	}
	if err != nil {
		return fmt.Errorf("boltstore: commit %s: %w", s.path, err)
	}
	s.db.NoSync = s.sealed // without a seal in the file, only bbolt's own two syncs make the trees safe
	sum, after := s.sum, before
	err = s.db.Update(func(tx *bolt.Tx) error { return change(tx, &sum) })
	if err == nil {
		after, err = s.complete(sum)
	}
	if err == nil {
		s.sum, s.known, s.sealed = sum, after, !s.leaks
		return nil
	}
	err = fmt.Errorf("boltstore: commit %s: %w", s.path, s.classify(err))
	if undone := s.undo(before); undone != nil {
		s.broken = fmt.Errorf("%w; and the file could not be restored as it was before, so nothing more is stored until a restart: %w", err, undone)
		return s.broken
	}
	return err
}

// grows returns by how much b changes the number of instances. Adding a negative
// number wraps, and the sum is right.
func grows(b *registry.Batch) (n uint64) {
	for i := range b.Changes {
		if b.Changes[i].Old == nil {
			n++
		}
		if b.Changes[i].New == nil {
			n--
		}
	}
	return n
}

// table is a bucket in a transaction that changes it. sum follows the changes.
type table struct {
	bucket *bolt.Bucket
	cursor *bolt.Cursor // in the bucket. To look up a record, it allocates less than the bucket does
	seed   uint64
	sum    *uint64
}

func newTable(tx *bolt.Tx, name []byte, seed uint64, sum *uint64) table {
	b := tx.Bucket(name)
	return table{b, b.Cursor(), seed, sum}
}

func (t table) put(key, value []byte) error {
	t.forget(key)
	var h hasher
	*t.sum += h.parts(t.seed, key, value)
	return t.bucket.Put(key, value)
}

func (t table) delete(key []byte) error {
	t.forget(key)
	return t.bucket.Delete(key)
}

// forget takes the record of key out of the sum, if there is one. No value is empty,
// because each has a checksum or is a format.
func (t table) forget(key []byte) {
	if found, old := t.cursor.Seek(key); bytes.Equal(found, key) {
		var h hasher
		*t.sum -= h.parts(t.seed, key, old)
	}
}

// write writes the records of b.
func (s *Store) write(tx *bolt.Tx, b *registry.Batch, sum *uint64) error {
	instances := newTable(tx, bucketInstances, seedInstances, sum)
	fences := newTable(tx, bucketFences, seedFences, sum)
	for i := range b.Changes {
		if err := s.put(instances, &b.Changes[i]); err != nil {
			return err
		}
	}
	for i := range b.Fences {
		f := &b.Fences[i]
		s.key = appendKey(s.key[:0], f.Key)
		if f.Empty() {
			if err := fences.delete(s.key); err != nil {
				return err
			}
			continue
		}
		start := len(s.values)
		s.values = appendFence(s.values, f)
		if err := fences.put(s.key, s.seal(start)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) put(instances table, c *registry.Change) error {
	s.key = appendKey(s.key[:0], c.Key())
	if c.New == nil {
		return instances.delete(s.key)
	}
	start := len(s.values)
	s.values = appendInstance(s.values, c.New)
	return instances.put(s.key, s.seal(start))
}

// seal returns the value that begins at start, with its checksum.
func (s *Store) seal(start int) []byte {
	s.values = seal(s.key, s.values, start)
	return s.values[start:len(s.values):len(s.values)]
}

// complete seals the tree that bbolt has written, and then syncs it. Before the sync has
// returned, any part of the tree may be on the disk.
func (s *Store) complete(sum uint64) (now metaPages, err error) {
	if now, err = s.metas(); err != nil || s.leaks {
		return now, err
	}
	i := now.newest()
	now[i].seal(sum)
	if _, err := s.file.WriteAt(now[i][metaEnd:], int64(i)*int64(s.db.Info().PageSize)+metaEnd); err != nil {
		return now, err
	}
	return now, s.db.Sync()
}

// metas reads the meta pages.
func (s *Store) metas() (metaPages, error) {
	return readMetas(s.file, s.db.Info().PageSize)
}

// writeMeta writes meta page i.
func (s *Store) writeMeta(m *metaPages, i int) error {
	_, err := s.file.WriteAt(m[i][:], int64(i)*int64(s.db.Info().PageSize))
	return err
}

// ours returns an error unless the file at the path is the one that this store opened
// and wrote last. If a copy were put in its place while it is open, the next start
// would read the copy, and not what was stored since.
func (s *Store) ours(now metaPages) error {
	const cure = "stop dnsd before a copy is put back, then start it"
	opened, err := s.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the file was removed or renamed while it is in use: " + cure)
	case err != nil:
		return err
	case !os.SameFile(opened, named):
		return errors.New("another file was put in its place while it is in use: " + cure)
	case now != s.known:
		return errors.New("another process wrote to the file while it is in use: " + cure)
	}
	return nil
}

// undo restores the file as it was before a commit that failed. When the sync fails,
// the meta page names the new tree already, on the disk or only in the cache, and bbolt
// would build on that tree. undo therefore writes the old meta pages. The newer of them
// names the old tree: bbolt does not use its pages again before a commit has succeeded.
// Then it opens the file again.
func (s *Store) undo(before metaPages) error {
	now, err := s.metas()
	if err != nil {
		return err
	}
	if now != before {
		for i := range before {
			if err := s.writeMeta(&before, i); err != nil {
				return err
			}
		}
		if err := s.file.Sync(); err != nil {
			return err
		}
	}
	if err := s.db.Close(); err != nil {
		return err
	}
	if err := s.attach(false); err != nil {
		return err
	}
	return s.db.View(func(tx *bolt.Tx) error {
		var state []byte
		if meta := tx.Bucket(bucketMeta); meta != nil {
			state = unseal(keyState, meta.Get(keyState))
		}
		revision, instances, ok := parseState(state)
		if !ok || revision != s.revision || instances != s.instances {
			return errors.New("the restored tree has another state")
		}
		return nil
	})
}

// Tests: commit_test.go, torn_test.go, upgrade_test.go, crash_test.go, fault_linux_test.go, nospace_linux_test.go, powerloss_linux_test.go.
