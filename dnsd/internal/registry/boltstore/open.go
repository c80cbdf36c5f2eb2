package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// openTries is how often open looks at a file that changes between its look and its
// lock. It changes it once itself at most, and bbolt does.
const openTries = 4

// open decides which tree of the file is used, before bbolt reads it, and then opens
// the file with bbolt.
func (s *Store) open() error {
	for range openTries {
		v, err := s.inspect()
		if err != nil {
			return err
		}
		if same, err := s.load(v); same || err != nil {
			return err
		}
		if err := s.db.Close(); err != nil {
			return fmt.Errorf("boltstore: open %s: %w", s.path, err)
		}
	}
	return fmt.Errorf("boltstore: open %s: the file changes while it is opened: is another dnsd running on it?", s.path)
}

// attached opens the file with bbolt, and says what is wrong with it otherwise.
func (s *Store) attached(readOnly bool) error {
	err := s.attach(readOnly)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("boltstore: open %s: locked by another process: is another dnsd running on it?", s.path)
	case errors.As(err, new(*fs.PathError)): // which names the path
		return fmt.Errorf("boltstore: open: %w", s.classify(err))
	case err != nil:
		return s.damaged("open", err)
	}
	return nil
}

// inspect judges the file. If the newest tree is to be dropped, or a meta page is damaged,
// it writes the meta page of the tree that is used over the other one.
func (s *Store) inspect() (v verdict, err error) {
	defer s.caught("open", &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // reading past the end of a file cut short is a fault
	if err := s.attached(true); err != nil {
		return v, err
	}
	defer s.db.Close()
	info, err := s.file.Stat()
	if err != nil {
		return v, fmt.Errorf("boltstore: open: %w", err)
	}
	v, err = judge(s.file, s.db.Info().PageSize, info.Size())
	switch {
	case errors.As(err, new(newerError)):
		return v, fmt.Errorf("boltstore: open %s: %w", s.path, err)
	case errors.As(err, new(*fs.PathError)):
		return v, fmt.Errorf("boltstore: open %s: %w: look for errors of the disk in the log of the system", s.path, err)
	case err != nil:
		return v, s.damaged("open", err)
	}
	s.dropped, s.mended = v.dropped, v.lone
	if v.dropped != 0 || v.lone { // the next commit writes to either page, and must leave a whole one
		err = s.writeMeta(&v.metas, v.metas.both(v.tree))
	}
	// The tree may be only in the cache of the system, if the process that wrote it was
	// killed. Commits build on it, so it must be on the disk.
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return v, fmt.Errorf("boltstore: open %s: %w", s.path, s.classify(err))
	}
	return v, nil
}

// load opens the file that v is about, and notes its state. same is false if the file
// is not as it was judged, and has to be judged again.
func (s *Store) load(v verdict) (same bool, err error) {
	defer s.caught("open", &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := s.attached(false); err != nil {
		return false, err
	}
	if s.known, err = s.metas(); err == nil {
		err = s.ours(s.known) // the file may have been replaced while Open waited for the lock
	}
	if err != nil {
		return false, fmt.Errorf("boltstore: open %s: %w", s.path, err)
	}
	if s.known != v.metas {
		return false, nil
	}
	s.sum, s.sealed, s.leaks = v.sum, v.sealed, v.leaks
	old := false
	err = s.db.View(func(tx *bolt.Tx) (err error) {
		old, err = s.look(tx)
		return err
	})
	if err != nil || !old {
		return err == nil, err
	}
	err = s.db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketHistory) != nil {
			if err := tx.DeleteBucket(bucketHistory); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyFormat, []byte(format))
	})
	if err != nil {
		return false, fmt.Errorf("boltstore: open %s: change from %q to %q: %w", s.path, formatFirst, format, s.classify(err))
	}
	return false, nil
}

// look checks that the file is a store of ours, and notes its state. old says that it
// has the first format.
func (s *Store) look(tx *bolt.Tx) (old bool, err error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		var names []string
		tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
		return false, s.damaged("open", fmt.Errorf("a bbolt file of another program, with the buckets %q", names))
	}
	got := string(meta.Get(keyFormat))
	if !slices.Contains(formats, got) {
		return false, s.damaged("open", fmt.Errorf("format %q", got))
	}
	for _, name := range [][]byte{bucketInstances, bucketFences} {
		if tx.Bucket(name) == nil {
			return false, s.damaged("open", fmt.Errorf("no bucket %s", name))
		}
	}
	var ok bool
	if s.revision, s.instances, ok = parseState(unseal(keyState, meta.Get(keyState))); !ok {
		return false, s.damaged("open", errors.New("bad state record"))
	}
	return got == formatFirst, nil
}

// attach opens the file with bbolt. With readOnly, bbolt reads the meta pages alone, and
// its lock keeps other processes from writing. We can write all the same.
func (s *Store) attach(readOnly bool) (err error) {
	s.db, s.file = nil, nil
	defer func() {
		if s.db == nil && s.file != nil {
			s.file.Close() // bbolt does not close it when it panics
		}
	}()
	s.db, err = bolt.Open(s.path, 0o600, &bolt.Options{
		OpenFile: func(name string, _ int, mode os.FileMode) (f *os.File, err error) {
			s.file, err = os.OpenFile(name, os.O_RDWR, mode)
			return s.file, err
		},
		ReadOnly: readOnly,
		Timeout:  lockTimeout,
		Logger:   s.log,
		// Each commit writes the list of free pages. Without the list, bbolt walks the
		// whole file at every start and after every failed commit, in a goroutine of
		// its own, where we cannot recover its panic about a bad page.
		NoFreelistSync: false,
		FreelistType:   bolt.FreelistMapType,
		NoStatistics:   true,
	})
	return err
}

// Tests: damage_test.go, torn_test.go.
