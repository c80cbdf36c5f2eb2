package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// format is a record in the file that names the layout. The first layout also held
// the history. In the first two the meta pages have no seals, and a release that knows
// only those must not write to a file with seals: its commits would have none.
const (
	formatAny    = "rollcall registry "
	format       = formatAny + "3"
	formatSecond = formatAny + "2"
	formatFirst  = formatAny + "1"
)

var formats = []string{formatFirst, formatSecond, format}

var (
	bucketMeta      = []byte("rollcall")
	bucketInstances = []byte("instances")
	bucketHistory   = []byte("history") // in the first format
	bucketFences    = []byte("fences")
	keyFormat       = []byte("format")
	keyState        = []byte("state")
)

// lockTimeout is how long Open waits for another process to release the file: long
// enough for a process that is stopping, short enough for a person who waits.
const lockTimeout = time.Second

// Store is a registry.Backend in one file.
type Store struct {
	path      string
	db        *bolt.DB
	file      *os.File // the one that bbolt opened: closing a second one would drop an fcntl lock
	log       *failures
	revision  uint64
	instances uint64
	known     metaPages // as the last commit left them
	sum       uint64    // over the records of the tree: see hasher
	sealed    bool      // the tree has a seal, so the next commit needs one sync
	leaks     bool      // pages of the file are lost: a seal would say that the tree is not whole
	dropped   uint64    // the transaction that Open gave up, or 0
	mended    bool      // Open has written a damaged meta page again
	broken    error     // why the store cannot be used any more: the content of the file is unknown
	key       []byte    // scratch
	values    []byte    // the values of one commit: bbolt keeps them until the commit ends
}

// Size is the length of the file in octets, or 0 if it cannot be read. Space that became
// free is used again, and the file does not become shorter.
func (s *Store) Size() int64 {
	info, err := s.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// Open opens the store at path. If there is no file, it makes one, and the directories
// that lead to it.
//
// Errors: registry.ErrNoSpace.
func Open(path string) (*Store, error) {
	s := &Store{path: path, log: &failures{DefaultLogger: bolt.DefaultLogger{Logger: log.New(io.Discard, "", 0)}}}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := s.create(); err != nil {
			return nil, fmt.Errorf("boltstore: create %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("boltstore: open: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("boltstore: open %s: not a file: name a file, like %s", path, filepath.Join(path, "svc.db"))
	case info.Size() == 0:
		return nil, s.damaged("open", errors.New("the file is empty"))
	}
	if err := s.open(); err != nil {
		if s.db != nil {
			s.db.Close()
		}
		return nil, err
	}
	return s, nil
}

// create makes an empty store beside path and then gives it its name, so that a file
// of that name is always complete. It does not replace a file.
func (s *Store) create() error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(s.path)+".new-*")
	if err != nil {
		return s.classify(err)
	}
	fresh := f.Name()
	f.Close()
	defer os.Remove(fresh)
	db, err := bolt.Open(fresh, 0o600, &bolt.Options{Timeout: lockTimeout, Logger: s.log})
	if err != nil {
		return s.classify(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketInstances, bucketFences} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if err := meta.Put(keyFormat, []byte(format)); err != nil {
			return err
		}
		return meta.Put(keyState, seal(keyState, appendState(nil, 0, 0), 0))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return s.classify(err)
	}
	// Unlike Rename, Link fails if another process was faster. Then its store is used.
	if err := os.Link(fresh, s.path); err != nil && !errors.Is(err, os.ErrExist) {
		if err := os.Rename(fresh, s.path); err != nil { // for a file system without links
			return err
		}
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Dropped returns the transaction that Open gave up, or 0. The process or the machine
// ended while it was committed, and only a part of it was on the disk. It had not been
// acknowledged, unless the disk has damaged it since.
func (s *Store) Dropped() uint64 { return s.dropped }

// Mended says that Open found one of the two meta pages damaged, and wrote it again. If
// the process or the machine had ended without Close, it may have been that of the last
// commit, which is then lost.
func (s *Store) Mended() bool { return s.mended }

// Close closes the file. Both meta pages then name the same tree, so that the next Open
// takes a tree that is not whole for damage, and not for a commit that was cut off.
func (s *Store) Close() error {
	if s.broken != nil {
		return s.broken // bbolt may have panicked with its lock held, and would wait for it
	}
	if err := errors.Join(s.finish(), s.db.Close()); err != nil {
		return fmt.Errorf("boltstore: close: %w", err)
	}
	return nil
}

// finish makes both meta pages name the newest tree, unless another process wrote to
// the file.
func (s *Store) finish() error {
	now, err := s.metas()
	if err != nil || now != s.known || !s.sealed || now[0].txid() == now[1].txid() {
		return err
	}
	if err := s.writeMeta(&now, now.both(now.newest())); err != nil {
		return err
	}
	return s.db.Sync()
}

func (s *Store) damaged(verb string, cause error) error {
	return fmt.Errorf("boltstore: %s %s: not a whole Rollcall store: %w: put back a copy, or move the file away to begin with an empty registry, where servers register again by themselves", verb, s.path, cause)
}

// caught turns a panic into an error: bbolt panics about a bad page, and reading a
// part of the file that was cut off is a fault.
func (s *Store) caught(verb string, err *error) {
	if p := recover(); p != nil {
		*err = s.damaged(verb, fmt.Errorf("%v", p))
	}
}

// classify wraps the error of a full disk in ErrNoSpace. bbolt turns some causes into
// text, so classify also looks at the error that bbolt logged.
func (s *Store) classify(err error) error {
	for _, e := range []error{err, s.log.noSpace} {
		if isNoSpace(e) {
			return fmt.Errorf("%w: %w", registry.ErrNoSpace, e)
		}
	}
	return err
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// failures is a logger that prints nothing and keeps the error of a full disk.
type failures struct {
	bolt.DefaultLogger
	noSpace error
}

func (f *failures) Errorf(_ string, v ...any) {
	for _, a := range v {
		if err, ok := a.(error); ok && isNoSpace(err) {
			f.noSpace = err
		}
	}
}

func (f *failures) Infof(string, ...any)  {}
func (f *failures) Debugf(string, ...any) {}

func appendState(b []byte, revision, instances uint64) []byte {
	b = binary.AppendUvarint(b, revision)
	return binary.AppendUvarint(b, instances)
}

func parseState(b []byte) (revision, instances uint64, ok bool) {
	r := reader{rest: b}
	revision, instances = r.uint(1<<64-1), r.uint(1<<64-1)
	return revision, instances, r.done()
}

// Tests: damage_test.go, store_test.go, torn_test.go.
