package boltstore

import (
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
	before, err := s.metas()
	if err == nil {
		err = s.ours(before)
	}
	if err != nil {
		return fmt.Errorf("boltstore: commit %s: %w", s.path, err)
	}
	revision, instances := max(s.revision, b.Revision), s.instances+grows(b)
	err = s.db.Update(func(tx *bolt.Tx) error {
		if err := s.write(tx, b); err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Put(keyState, seal(keyState, appendState(nil, revision, instances), 0))
	})
	if err == nil {
		s.revision, s.instances = revision, instances
		if s.known, err = s.metas(); err != nil { // b is stored, but the next commit could not be compared with it
			s.broken = fmt.Errorf("boltstore: commit %s: %w", s.path, err)
		}
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

// write writes the records of b.
func (s *Store) write(tx *bolt.Tx, b *registry.Batch) error {
	table, fences := tx.Bucket(bucketInstances), tx.Bucket(bucketFences)
	for i := range b.Changes {
		if err := s.put(table, &b.Changes[i]); err != nil {
			return err
		}
	}
	for i := range b.Fences {
		f := &b.Fences[i]
		s.key = appendKey(s.key[:0], f.Key)
		if f.Empty() {
			if err := fences.Delete(s.key); err != nil {
				return err
			}
			continue
		}
		start := len(s.values)
		s.values = appendFence(s.values, f)
		if err := fences.Put(s.key, s.seal(start)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) put(table *bolt.Bucket, c *registry.Change) error {
	s.key = appendKey(s.key[:0], c.Key())
	if c.New == nil {
		return table.Delete(s.key)
	}
	start := len(s.values)
	s.values = appendInstance(s.values, c.New)
	return table.Put(s.key, s.seal(start))
}

// seal returns the value that begins at start, with its checksum.
func (s *Store) seal(start int) []byte {
	s.values = seal(s.key, s.values, start)
	return s.values[start:len(s.values):len(s.values)]
}

// metaPages are the beginnings of the two meta pages. The newer of them names the
// current tree.
type metaPages [2][metaEnd]byte

// metas reads the meta pages.
func (s *Store) metas() (m metaPages, err error) {
	size := int64(s.db.Info().PageSize)
	for i := range m {
		if _, err := s.file.ReadAt(m[i][:], int64(i)*size); err != nil {
			return m, err
		}
	}
	return m, nil
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

// undo restores the file as it was before a commit that failed. bbolt writes the
// pages of a commit, syncs them, writes a meta page, and syncs that. When the last
// sync fails, the meta page names the new tree already, on the disk or only in the
// cache, and bbolt would build on that tree. undo therefore writes the old meta page,
// which names the old tree: bbolt does not use its pages again before a commit has
// succeeded. Then it opens the file again.
func (s *Store) undo(before metaPages) error {
	now, err := s.metas()
	if err != nil {
		return err
	}
	if now != before {
		size := int64(s.db.Info().PageSize)
		for i := range before {
			if _, err := s.file.WriteAt(before[i][:], int64(i)*size); err != nil {
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
	if err := s.attach(); err != nil {
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

// Tests: commit_test.go, crash_test.go, fault_linux_test.go, nospace_linux_test.go.
