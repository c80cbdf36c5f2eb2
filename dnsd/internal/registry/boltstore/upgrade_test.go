package boltstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestFileOfAnOlderReleaseIsSealedByTheFirstCommit: an older release synced twice for a
// commit, and its files have no seals. Open leaves such a file as it is. A crash in the
// first commit loses nothing, nor does one in the second, which no tree without a seal
// may survive.
func TestFileOfAnOlderReleaseIsSealedByTheFirstCommit(t *testing.T) {
	dir := tempDir(t)
	path, other := filepath.Join(dir, "svc.db"), filepath.Join(dir, "other.db")
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		os.Remove(path)
		s := opened(t, path)
		has := emptyContent()
		commit := func(sort int) (before, after []byte, then *content) {
			before, then = bytesOf(t, path), has.clone()
			if err := s.Commit(has.batch(rnd, sort)); err != nil {
				t.Fatal(err)
			}
			return before, bytesOf(t, path), then
		}
		for _, sort := range []int{putMany, fenceSome, putOne} {
			commit(sort)
		}
		s.Close()
		unsealed(t, path)
		edit(t, path, func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("rollcall")).Put([]byte("format"), []byte("rollcall registry 2"))
		})
		old := bytesOf(t, path)
		s = opened(t, path)
		if got := loaded(t, s); got != has.String() {
			t.Fatalf("has %s\nwant %s", got, has)
		}
		s.Close()
		if !bytes.Equal(old, bytesOf(t, path)) {
			t.Error("the file was changed without a commit")
		}

		s = opened(t, path)
		before := bytesOf(t, path)
		if err := s.FirstSeal(); err != nil {
			t.Fatal(err)
		}
		after := bytesOf(t, path)
		for range 10 { // the pages are written before the first of its syncs
			f := tear(before, after, sectorSize, metaBefore, func() bool { return rnd.IntN(2) == 0 })
			torn, _ := f.reopen(t, other, has, has)
			torn.Close()
		}
		for _, meta := range []int{metaUnsealed, metaAfter} { // and the meta page after it
			f := tear(before, after, pageSize, meta, func() bool { return true })
			write(t, other, f.image)
			torn := opened(t, other)
			if got := loaded(t, torn); got != has.String() || torn.Dropped() != 0 {
				t.Fatalf("dropped %d, has %s\nwant %s", torn.Dropped(), got, has)
			}
			torn.Close()
		}

		var then *content
		before, after, then = commit(rnd.IntN(sorts))
		for range 20 {
			torn, _ := tearAny(rnd, before, after).reopen(t, other, then, has)
			torn.Close()
			checked(t, other)
		}
		s.Close()
		edit(t, path, func(tx *bolt.Tx) error {
			if got := string(tx.Bucket([]byte("rollcall")).Get([]byte("format"))); got != "rollcall registry 3" {
				return fmt.Errorf("it is of format %q", got)
			}
			return nil
		})
	}
}
