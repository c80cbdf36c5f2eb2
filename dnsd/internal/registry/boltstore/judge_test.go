package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// aFile returns the octets of a file of several commits that was not closed, and the
// size of its pages.
func aFile(t testing.TB, change func(s *Store)) (data []byte, size int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "svc.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(5) {
		in := &registry.Instance{Key: registry.Key{Service: "_a._tcp", ID: fmt.Sprint(i)}, Host: strings.Repeat("h", 200), Port: 1}
		if err := s.Commit(&registry.Batch{Revision: i + 1, Changes: []registry.Change{{New: in}}}); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(s)
	}
	size = s.db.Info().PageSize
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	s.Close()
	return data, size
}

// page is the place of a page of data.
func page(data []byte, size int, id uint64) []byte { return data[id*uint64(size):][:size] }

// metaOf reads the newer of the meta pages, or the older.
func metaOf(t *testing.T, data []byte, size int, newer bool) (m *metaPage, i int) {
	t.Helper()
	metas, err := readMetas(bytes.NewReader(data), size)
	if err != nil {
		t.Fatal(err)
	}
	if i = metas.newest(); !newer {
		i = 1 - i
	}
	return &metas[i], i
}

// spoil makes the root page of a tree unreadable.
func spoil(t *testing.T, data []byte, size int, newer bool) {
	t.Helper()
	m, _ := metaOf(t, data, size, newer)
	clear(page(data, size, m.at(metaRoot)))
}

// resealed makes the checksums of a changed meta page right.
func resealed(m *metaPage) {
	sum, _ := m.sealed()
	h := fnv.New64a()
	h.Write(m[pageHeader:metaSum])
	binary.NativeEndian.PutUint64(m[metaSum:], h.Sum64())
	m.seal(sum)
}

// growth makes the newest meta page name more pages than the file has.
func growth(t *testing.T, data []byte, size int) {
	t.Helper()
	m, i := metaOf(t, data, size, true)
	binary.NativeEndian.PutUint64(m[metaHigh:], uint64(len(data)/size+1))
	resealed(m)
	copy(page(data, size, uint64(i)), m[:])
}

// failing is a disk that cannot be read beyond the meta pages.
type failing struct {
	io.ReaderAt
	from int64
}

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off >= f.from {
		return 0, &fs.PathError{Op: "read", Path: "svc.db", Err: syscall.EIO}
	}
	return f.ReaderAt.ReadAt(b, off)
}

// TestWhatIsGivenUp: the newest commit is given up for the one before it only if a crash
// can have left it so.
func TestWhatIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *Store)                            // the last one
		damage func(t *testing.T, data []byte, size int) // of the octets
		file   func(data []byte, size int) (io.ReaderAt, int64)
		err    string // or "" if it is opened
		drops  bool
		mends  bool // a meta page
	}{
		{name: "whole"},
		{name: "its root is not there", damage: func(t *testing.T, data []byte, size int) { spoil(t, data, size, true) }, drops: true},
		{name: "its list of free pages is not there", damage: func(t *testing.T, data []byte, size int) {
			m, _ := metaOf(t, data, size, true)
			clear(page(data, size, m.at(metaFree))[8:])
		}, drops: true},
		{name: "a free page is missing", damage: func(t *testing.T, data []byte, size int) {
			m, _ := metaOf(t, data, size, true)
			list := page(data, size, m.at(metaFree))
			binary.NativeEndian.PutUint16(list[10:], binary.NativeEndian.Uint16(list[10:])-1)
		}, drops: true},
		{name: "its seal is not there", damage: func(t *testing.T, data []byte, size int) {
			_, i := metaOf(t, data, size, true)
			clear(page(data, size, uint64(i))[metaEnd:])
		}, drops: true},
		{name: "its meta page is not there", damage: func(t *testing.T, data []byte, size int) {
			_, i := metaOf(t, data, size, true)
			clear(page(data, size, uint64(i)))
		}, mends: true},
		{name: "its root ends within the name of the format", damage: func(t *testing.T, data []byte, size int) {
			m, _ := metaOf(t, data, size, true)
			root := page(data, size, m.at(metaRoot))
			clear(root[bytes.Index(root, []byte(format))+len(format)-1:])
		}, drops: true},
		{name: "the file did not become longer", damage: growth, drops: true},
		{name: "the pages of the other tree have another size", damage: func(t *testing.T, data []byte, size int) {
			m, i := metaOf(t, data, size, false)
			binary.NativeEndian.PutUint32(m[metaVersion+4:], uint32(2*size))
			resealed(m)
			copy(page(data, size, uint64(i)), m[:])
			spoil(t, data, size, true)
		}, err: "says it is page 0"},
		{name: "both trees are damaged", damage: func(t *testing.T, data []byte, size int) {
			spoil(t, data, size, true)
			spoil(t, data, size, false)
		}, err: "and the commit before that"},
		{name: "the other tree is not the one before", damage: func(t *testing.T, data []byte, size int) {
			m, i := metaOf(t, data, size, true)
			sum, _ := m.sealed()
			binary.NativeEndian.PutUint64(m[metaTxid:], m.txid()+2)
			resealed(m)
			m.seal(sum + 1)
			copy(page(data, size, uint64(i)), m[:])
		}, err: "the records are not those of transaction"},
		{name: "after a close", damage: func(t *testing.T, data []byte, size int) {
			metas, _ := readMetas(bytes.NewReader(data), size)
			i := metas.both(metas.newest())
			copy(page(data, size, uint64(i)), metas[i][:])
			spoil(t, data, size, true)
		}, err: "says it is page 0"},
		{name: "without any seal", damage: func(t *testing.T, data []byte, size int) {
			for i := range uint64(2) {
				clear(page(data, size, i)[metaEnd:])
			}
			spoil(t, data, size, true)
		}, err: "says it is page 0"},
		{
			name: "the disk cannot be read", damage: func(t *testing.T, data []byte, size int) { spoil(t, data, size, true) },
			file: func(data []byte, size int) (io.ReaderAt, int64) {
				return failing{bytes.NewReader(data), int64(2 * size)}, int64(len(data))
			}, err: "read svc.db",
		},
		{
			name: "cut short", damage: func(t *testing.T, data []byte, size int) { spoil(t, data, size, true) },
			file: func(data []byte, size int) (io.ReaderAt, int64) {
				n := int64(3 * size)
				return bytes.NewReader(data[:n]), n
			}, err: "cut short",
		},
		{name: "of a newer release", change: func(s *Store) {
			s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte(formatAny+"4")) })
		}, err: "run the program that wrote it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, size := aFile(t, c.change)
			newest, _ := metaOf(t, data, size, true)
			if c.damage != nil {
				c.damage(t, data, size)
			}
			file, length := io.ReaderAt(bytes.NewReader(data)), int64(len(data))
			if c.file != nil {
				file, length = c.file(data, size)
			}
			v, err := judge(file, size, length)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("judge = %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := v.dropped == newest.txid(); got != c.drops || v.dropped != 0 && !c.drops {
				t.Errorf("dropped %d, newest %d, want it dropped: %t", v.dropped, newest.txid(), c.drops)
			}
			if v.lone != c.mends {
				t.Errorf("a meta page is mended: %t, want %t", v.lone, c.mends)
			}
		})
	}
}

// TestDamagedMetaPageIsMended: Close makes both meta pages name one tree. If one of the
// two is damaged later, the next commit must not write over the other one.
func TestDamagedMetaPageIsMended(t *testing.T) {
	for _, at := range []int{pageHeader + 8, sealSum} {
		for slot := range uint64(2) {
			t.Run(fmt.Sprintf("octet %d of page %d", at, slot), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "svc.db")
				data, size := aFile(t, nil)
				put := func(data []byte) {
					t.Helper()
					if err := os.WriteFile(path, data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				reopen := func(mended bool, dropped bool) *Store {
					t.Helper()
					s, err := Open(path)
					if err != nil {
						t.Fatal(err)
					}
					if s.instances != 5 || s.Mended() != mended || (s.Dropped() != 0) != dropped {
						t.Errorf("%d instances, mended %t, dropped %d", s.instances, s.Mended(), s.Dropped())
					}
					return s
				}
				read := func() []byte {
					t.Helper()
					data, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					return data
				}
				put(data)
				reopen(false, false).Close()
				data = read()
				page(data, size, slot)[at] ^= 1
				put(data)
				s := reopen(true, false)
				before := read()
				in := &registry.Instance{Key: registry.Key{Service: "_b._tcp", ID: "new"}, Host: "h", Port: 1}
				if err := s.Commit(&registry.Batch{Revision: 10, Changes: []registry.Change{{New: in}}}); err != nil {
					t.Fatal(err)
				}
				after := read()
				s.Close()
				put(append(after[:2*size:2*size], before[2*size:]...)) // only the meta pages were on the disk
				reopen(false, true).Close()
			})
		}
	}
}

// TestFileWithLostPagesGetsNoSeal: an older release might have left pages that are
// neither used nor free. A seal would make each of its trees look torn.
func TestFileWithLostPagesGetsNoSeal(t *testing.T) {
	data, size := aFile(t, nil)
	for i := range uint64(2) {
		clear(page(data, size, i)[metaEnd:])
	}
	m, _ := metaOf(t, data, size, true)
	list := page(data, size, m.at(metaFree))
	binary.NativeEndian.PutUint16(list[10:], binary.NativeEndian.Uint16(list[10:])-1)
	path := filepath.Join(t.TempDir(), "svc.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if s.instances != 5+i || s.sealed || !s.leaks {
			t.Errorf("%d instances, sealed %t, leaks %t", s.instances, s.sealed, s.leaks)
		}
		in := &registry.Instance{Key: registry.Key{Service: "_b._tcp", ID: fmt.Sprint(i)}, Host: "h", Port: 1}
		if err := errors.Join(s.Commit(&registry.Batch{Revision: 10 + i, Changes: []registry.Change{{New: in}}}), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
