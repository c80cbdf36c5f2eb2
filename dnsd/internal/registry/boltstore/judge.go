package boltstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// verdict is what judge finds out about a file.
type verdict struct {
	metas   metaPages
	tree    int    // the index of the meta page whose tree is to be used
	sum     uint64 // over the records of that tree
	sealed  bool   // that tree has a seal
	leaks   bool   // pages of the file are neither used nor free
	dropped uint64 // the transaction that was given up for that tree, or 0
	lone    bool   // the other meta page is damaged, and is to be written again
}

// judge decides which tree of a file is used. It reads the file alone, and changes
// nothing. Its error says why the file is refused.
//
// A commit syncs once, at its end, so a crash within the commit leaves any part of its
// pages on the disk. All of them are pages that the tree before does not use, and that
// tree was synced before the commit began. So if the newest tree is not the one that
// its seal says, the commit has not been acknowledged, and the tree before is the one
// to use. It must be the very next one, and whole.
//
// The length of the file is a part of the commit, too: a tree that the file is too short
// for is not whole.
//
// Nothing is given up for an error of reading, or when both meta pages name the same
// tree, as after a close.
//
// A file without any seal was written by a release that synced twice for each commit, or
// by another program, such as bbolt's own compaction. Its newest tree is used or refused.
func judge(file io.ReaderAt, size int, length int64) (v verdict, err error) {
	if v.metas, err = readMetas(file, size); err != nil {
		return v, err
	}
	v.tree = v.metas.newest()
	newest, before := &v.metas[v.tree], &v.metas[1-v.tree]
	if !newest.valid() {
		return v, errors.New("both meta pages are damaged")
	}
	_, v.sealed = newest.sealed()
	_, sealedBefore := before.sealed()
	sealedBefore = sealedBefore && before.valid() && before.pageSize() == size
	v.lone = v.sealed && (!before.valid() || !sealedBefore && before.txid() == newest.txid())
	var t tree
	if err = newest.fits(size, length); err == nil {
		t, err = verify(file, size, newest)
	}
	v.sum, v.leaks = t.sum, t.leaked > 0
	switch {
	case errors.As(err, new(*fs.PathError)): // an error of reading
		return v, err
	case err == nil && newer(t.format) && (!v.sealed || t.matches(newest) == nil): // a torn record can look so
		return v, newerError(t.format)
	case err == nil && (v.sealed || sealedBefore):
		err = t.matches(newest)
	}
	if err == nil || !sealedBefore || before.txid()+1 != newest.txid() {
		return v, err
	}
	if err := before.fits(size, length); err != nil {
		return v, err
	}
	older, olderErr := verify(file, size, before)
	if olderErr == nil {
		olderErr = older.matches(before)
	}
	if olderErr == nil && newer(older.format) {
		olderErr = newerError(older.format)
	}
	if olderErr != nil {
		return v, fmt.Errorf("%w; and the commit before that: %w", err, olderErr)
	}
	v.tree, v.sum, v.sealed, v.leaks, v.dropped, v.lone = 1-v.tree, older.sum, true, false, newest.txid(), false
	return v, nil
}

// newer says whether format is the whole name of a format that this program does not know.
func newer(format string) bool {
	n, ok := strings.CutPrefix(format, formatAny)
	_, err := strconv.ParseUint(n, 10, 64)
	return ok && err == nil && !slices.Contains(formats, format)
}

// newerError is the format of a file that a newer release wrote.
type newerError string

func (e newerError) Error() string {
	return fmt.Sprintf("format %q, this program knows %q: run the program that wrote it, or move the file away to begin with an empty registry", string(e), format)
}

// matches says whether t is the tree that m was sealed with.
func (t *tree) matches(m *metaPage) error {
	switch sum, ok := m.sealed(); {
	case !ok:
		return fmt.Errorf("transaction %d has no seal", m.txid())
	case sum != t.sum:
		return fmt.Errorf("the records are not those of transaction %d", m.txid())
	case t.leaked > 0:
		return fmt.Errorf("%d pages are neither used nor free", t.leaked)
	}
	return nil
}

// Tests: torn_test.go, judge_test.go, judge_fuzz_test.go, damage_test.go.
