package boltstore_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
)

const (
	pageSize   = 4096 // of the machines that the tests run on
	sectorSize = 512  // the least that a disk writes at once
)

// content is what a store must hold.
type content struct {
	revision  uint64
	instances map[registry.Key]registry.Instance
	fences    map[registry.Key]registry.Fence
}

func emptyContent() *content {
	return &content{0, map[registry.Key]registry.Instance{}, map[registry.Key]registry.Fence{}}
}

func (c *content) clone() *content {
	return &content{c.revision, maps.Clone(c.instances), maps.Clone(c.fences)}
}

func (c *content) String() string {
	var lines []string
	for _, in := range c.instances {
		lines = append(lines, fmt.Sprintf("%+v", in))
	}
	for _, f := range c.fences {
		lines = append(lines, fmt.Sprintf("%s %d %t %d", f.Key, f.Incarnation, f.Drained, f.Time.UnixNano()))
	}
	slices.Sort(lines)
	return fmt.Sprintf("revision %d\n%s", c.revision, strings.Join(lines, "\n"))
}

// contentOf returns what a store holds.
func contentOf(s *boltstore.Store) (*content, error) {
	snap, err := s.Load()
	if err != nil {
		return nil, err
	}
	c := emptyContent()
	c.revision = snap.Revision
	for in, err := range snap.Instances {
		if err != nil {
			return nil, err
		}
		c.instances[in.Key] = *in
	}
	for f, err := range snap.Fences {
		if err != nil {
			return nil, err
		}
		c.fences[f.Key] = f
	}
	return c, nil
}

// loaded returns what a store holds.
func loaded(t fatal, s *boltstore.Store) string {
	c, err := contentOf(s)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c.String()
}

// fatal is what a test and a rapid test share.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// sorts of batches: what one commit does to the pages of the file.
const (
	putOne  = iota
	putMany // the file grows
	putBig  // records that need pages of their own
	deleteOne
	deleteMost // many pages become free
	fenceSome
	unfenceAll
	nothing // but the state record
	sorts
)

// batch changes c, and returns the change.
func (c *content) batch(rnd *rand.Rand, sort int) *registry.Batch {
	c.revision += 1 + rnd.Uint64N(3)
	b := &registry.Batch{Revision: c.revision}
	put := func(meta int) {
		in := instance(fmt.Sprintf("a%03d", rnd.IntN(200)))
		in.Revision, in.Weight, in.TTL, in.Lease = c.revision, uint16(rnd.IntN(1<<16)), time.Second, time.Minute
		for i := range meta {
			if in.Meta == nil {
				in.Meta = map[string]string{}
			}
			in.Meta[fmt.Sprint("k", i)] = strings.Repeat(string(rune('a'+rnd.IntN(26))), 250)
		}
		change := registry.Change{Revision: c.revision, New: &in}
		if old, ok := c.instances[in.Key]; ok {
			change.Old = &old
		}
		c.instances[in.Key] = in
		b.Changes = append(b.Changes, change)
	}
	drop := func(n int) {
		keys := slices.SortedFunc(maps.Keys(c.instances), registry.Key.Compare)
		rnd.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, key := range keys[:min(n, len(keys))] {
			old := c.instances[key]
			delete(c.instances, key)
			b.Changes = append(b.Changes, registry.Change{Revision: c.revision, Old: &old})
		}
	}
	switch sort {
	case putOne:
		put(rnd.IntN(2))
	case putMany:
		for range 1 + rnd.IntN(40) {
			put(rnd.IntN(4))
		}
	case putBig:
		put(20 + rnd.IntN(30))
	case deleteOne:
		drop(1)
	case deleteMost:
		drop(len(c.instances) * 9 / 10)
	case fenceSome:
		for range 1 + rnd.IntN(20) {
			f := registry.Fence{Key: instance(fmt.Sprintf("f%03d", rnd.IntN(60))).Key, Incarnation: 1 + rnd.Uint64N(100), Drained: rnd.IntN(2) == 0, Time: time.Unix(rnd.Int64N(1<<31), 0)}
			c.fences[f.Key] = f
			b.Fences = append(b.Fences, f)
		}
	case unfenceAll:
		for key := range c.fences {
			b.Fences = append(b.Fences, registry.Fence{Key: key})
		}
		clear(c.fences)
	}
	return b
}

// What a crash leaves of the meta page that a commit writes.
const (
	metaBefore   = iota
	metaUnsealed // bbolt's meta, and not yet the seal
	metaAfter
)

// torn is a file after a crash within a commit.
type torn struct {
	image []byte
	meta  int
	whole bool // all pages of the commit are there
}

// changed says whether a part of an image is not as it was before the commit.
func changed(before, after []byte, at, size int) bool {
	return !bytes.Equal(before[at:at+size], after[at:at+size])
}

// extended returns before with the length of after: in most cases bbolt syncs the new
// length before a commit writes.
func extended(before, after []byte) []byte {
	return append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
}

// tear returns a file of which pages beyond the meta pages, and sectors of them, are as
// keep says.
func tear(before, after []byte, unit, meta int, keep func() bool) torn {
	out := torn{image: extended(before, after), meta: meta, whole: true}
	old := bytes.Clone(out.image)
	for at := 2 * pageSize; at < len(after); at += unit {
		if !changed(old, after, at, unit) {
			continue
		}
		if keep() {
			copy(out.image[at:at+unit], after[at:])
		} else {
			out.whole = false
		}
	}
	for at := 0; at < 2*pageSize; at += pageSize {
		if meta == metaBefore || !changed(old, after, at, pageSize) {
			continue
		}
		copy(out.image[at:at+pageSize], after[at:])
		if meta == metaUnsealed {
			clear(out.image[at+boltstore.SealStart : at+boltstore.SealEnd])
		}
	}
	return out
}

// tearAny returns a file of which any subset is from after the commit.
func tearAny(rnd *rand.Rand, before, after []byte) torn {
	unit := []int{sectorSize, pageSize}[rnd.IntN(2)]
	meta := []int{metaBefore, metaUnsealed, metaAfter, metaAfter, metaAfter, metaAfter}[rnd.IntN(6)]
	share := []float64{0, 0.1, 0.5, 0.9, 0.98, 1}[rnd.IntN(6)]
	f := tear(before, after, unit, meta, func() bool { return rnd.Float64() < share })
	if len(after) > len(before) && rnd.IntN(4) == 0 { // the new length is not on the disk
		f.image, f.whole = f.image[:len(before)], false
	}
	return f
}

// reopen opens a torn file, and checks that it holds what it may hold. It says whether
// that is the content after the commit.
func (f torn) reopen(t fatal, path string, before, after *content) (s *boltstore.Store, isAfter bool) {
	t.Helper()
	if err := os.WriteFile(path, f.image, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatalf("a file torn by a crash is refused: %v", err)
	}
	got := loaded(t, s)
	isAfter = got == after.String()
	switch isBefore := got == before.String(); {
	case f.meta == metaAfter && f.whole && !isAfter:
		t.Fatalf("the whole commit was on the disk, and is lost: has %s\nwant %s", got, after)
	case f.meta != metaAfter && !isBefore:
		t.Fatalf("the commit was not complete: has %s\nwant %s", got, before)
	case !isBefore && !isAfter:
		t.Fatalf("has %s\nwant what was before the commit: %s\nor after it: %s", got, before, after)
	case f.meta == metaBefore && s.Dropped() != 0:
		t.Fatalf("transaction %d was dropped, and none was begun", s.Dropped())
	case f.meta != metaBefore && (s.Dropped() == 0) != isAfter:
		t.Fatalf("dropped %d, and has what was after the commit: %t", s.Dropped(), isAfter)
	}
	return s, isAfter
}

// opened opens a store.
func opened(t fatal, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

// checked fails unless bbolt finds the closed file whole.
func checked(t fatal, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	err = db.View(func(tx *bolt.Tx) (err error) {
		for found := range tx.Check() {
			err = found
		}
		return err
	})
	if err != nil {
		t.Fatalf("bbolt: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatalf("%v", err)
	}
}

func bytesOf(t fatal, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return data
}

// TestTornCommitIsThereAsAWholeOrNotAtAll: after a crash any part of a commit may be on
// the disk. The store then has the commit or does not have it, never a part, and goes
// on: three crashes follow each other, so that what one leaves is below the next.
func TestTornCommitIsThereAsAWholeOrNotAtAll(t *testing.T) {
	dir := tempDir(t)
	n, kept, lost := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		sort := rapid.IntRange(0, sorts-1)
		n++
		path, other := filepath.Join(dir, fmt.Sprint(n)), filepath.Join(dir, fmt.Sprint(n, "-other"))
		s := opened(t, path)
		has := emptyContent()
		commit := func(sort int) {
			t.Helper()
			if err := s.Commit(has.batch(rnd, sort)); err != nil {
				t.Fatalf("commit: %v", err)
			}
		}
		for _, sort := range append([]int{putMany}, rapid.SliceOfN(sort, 0, 5).Draw(t, "history")...) {
			commit(sort)
		}
		for range 3 {
			before, then := bytesOf(t, path), has.clone()
			commit(sort.Draw(t, "commit"))
			after := bytesOf(t, path)
			if got := loaded(t, s); got != has.String() {
				t.Fatalf("has %s\nwant %s", got, has)
			}
			for range 4 {
				s, isAfter := tearAny(rnd, before, after).reopen(t, other, then, has)
				if isAfter {
					kept++
				} else {
					lost++
				}
				s.Close()
				checked(t, other)
			}
			// The store goes on with another crash.
			s.Close()
			isAfter := false
			if s, isAfter = tearAny(rnd, before, after).reopen(t, path, then, has); !isAfter {
				has = then
			}
		}
		commit(putOne)
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		checked(t, path)
		s = opened(t, path)
		if got := loaded(t, s); got != has.String() {
			t.Fatalf("after a close: has %s\nwant %s", got, has)
		}
		s.Close()
		os.Remove(path)
		os.Remove(other)
	})
	if kept == 0 || lost == 0 {
		t.Errorf("%d commits kept, %d lost: not both were tested", kept, lost)
	}
	t.Logf("%d commits kept, %d lost", kept, lost)
}

// TestEverySubsetOfPagesIsAllOrNothing tears a commit in each possible way, by pages.
func TestEverySubsetOfPagesIsAllOrNothing(t *testing.T) {
	dir := tempDir(t)
	for sort := range sorts {
		rnd := rand.New(rand.NewPCG(uint64(sort), 1))
		path, other := filepath.Join(dir, "svc.db"), filepath.Join(dir, "other.db")
		os.Remove(path)
		s := opened(t, path)
		has := emptyContent()
		for _, sort := range []int{putOne, fenceSome, putOne, putOne} { // few pages
			if err := s.Commit(has.batch(rnd, sort)); err != nil {
				t.Fatal(err)
			}
		}
		before, then := bytesOf(t, path), has.clone()
		if err := s.Commit(has.batch(rnd, sort)); err != nil {
			t.Fatal(err)
		}
		after := bytesOf(t, path)
		s.Close()
		parts := 0
		tear(before, after, pageSize, metaAfter, func() bool { parts++; return true })
		for subset := range 1 << min(parts, 7) { // of many pages, those after the first seven as the seventh
			for meta := range 3 {
				i := 0
				f := tear(before, after, pageSize, meta, func() bool { i++; return subset>>min(i-1, 6)&1 == 1 })
				s, _ := f.reopen(t, other, then, has)
				s.Close()
			}
		}
	}
}
