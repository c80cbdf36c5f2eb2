package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// What verify must know of the file format of bbolt: page headers and elements, in the
// byte order of the machine. This is format version 2, as bbolt v1.5.0 writes it (its
// internal/common: page.go, meta.go, bucket.go). verify refuses any other version.
// With another release of bbolt, compare these files first.
const (
	magic         = 0xED0CDAED // the number by which bbolt knows its files
	formatVersion = 2
	pageHeader    = 16 // id uint64, flags, count uint16, overflow uint32
	pageElement   = 16 // of a branch: pos, ksize uint32, page uint64; of a leaf: flags, pos, ksize, vsize uint32
	bucketHeader  = 16 // root, sequence uint64
	flagBranch    = 0x01
	flagLeaf      = 0x02
	flagFree      = 0x10
	freeMany      = 0xFFFF // this count says that the number of free pages is before the first
	elementBucket = 0x01
	metaVersion   = pageHeader + 4  // after magic
	metaRoot      = pageHeader + 16 // after magic, version, page size, flags
	metaFree      = metaRoot + bucketHeader
	metaHigh      = metaFree + 8
	metaTxid      = metaHigh + 8
	metaSum       = metaTxid + 8
	metaEnd       = metaSum + 8
	freeUnwritten = 1<<64 - 1 // in place of the page of the free pages: there is none
	deepest       = 64        // no tree of 2^64 pages is deeper
)

// tree is what verify finds.
type tree struct {
	sum    uint64 // over all records: see hasher
	leaked int    // pages that are neither used nor free
	format string // what the record of the format says
}

// verifier walks all pages in use before bbolt does. bbolt trusts what it reads: a
// wrong count or offset makes it read other memory, or recurse until the stack is
// full. We could recover from neither.
type verifier struct {
	tree
	hasher
	file io.ReaderAt
	size int // of a page
	high uint64
	seen []bool
	bufs [deepest + 1][]byte // of the pages on the way to the one that is read, by depth
}

// verify checks the tree that meta names, and its list of free pages. The file must be
// long enough for it.
func verify(file io.ReaderAt, size int, meta *metaPage) (tree, error) {
	if got := binary.NativeEndian.Uint32(meta[metaVersion:]); got != formatVersion {
		return tree{}, fmt.Errorf("format version %d of bbolt, this program knows version %d", got, formatVersion)
	}
	v := &verifier{file: file, size: size, high: meta.at(metaHigh)}
	v.seen = make([]bool, v.high)
	err := v.page(meta.at(metaRoot), nil, nil, 0, 0)
	if err == nil {
		err = v.free(meta.at(metaFree))
	}
	for id := uint64(2); id < v.high; id++ {
		if !v.seen[id] {
			v.leaked++
		}
	}
	return v.tree, err
}

// page checks a page in use and all pages below it. Its keys must not be before least,
// and must be before limit if that is not nil. Its records are hashed with seed.
func (v *verifier) page(id uint64, least, limit []byte, seed uint64, depth int) error {
	if depth > deepest {
		return fmt.Errorf("page %d: more than %d deep", id, deepest)
	}
	b, err := v.read(id, depth)
	if err != nil {
		return err
	}
	if err := v.elements(b, least, limit, seed, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// read reads a page and the pages that continue it, and notes that they are in use. The
// result is valid until the next page of that depth is read.
func (v *verifier) read(id uint64, depth int) ([]byte, error) {
	switch {
	case id < 2 || id >= v.high:
		return nil, fmt.Errorf("page %d of %d is named", id, v.high)
	case v.seen[id]:
		return nil, fmt.Errorf("page %d is used twice", id)
	}
	if v.bufs[depth] == nil {
		v.bufs[depth] = make([]byte, v.size)
	}
	b := v.bufs[depth]
	if _, err := v.file.ReadAt(b, int64(id)*int64(v.size)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(b[12:]))
	if got := binary.NativeEndian.Uint64(b); got != id || overflow >= v.high-id {
		return nil, fmt.Errorf("page %d says it is page %d and %d more", id, got, overflow)
	}
	if overflow > 0 {
		b = make([]byte, (overflow+1)*uint64(v.size))
		if _, err := v.file.ReadAt(b, int64(id)*int64(v.size)); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	for i := id; i <= id+overflow; i++ {
		if v.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		v.seen[i] = true
	}
	return b, nil
}

// free checks the list of free pages that begins at page id.
func (v *verifier) free(id uint64) error {
	if id == freeUnwritten { // bbolt then looks for them itself when it opens the file, and writes the list
		return nil
	}
	b, err := v.read(id, 0)
	if err != nil {
		return err
	}
	if flags := binary.NativeEndian.Uint16(b[8:]); flags != flagFree {
		return fmt.Errorf("page %d: kind %#x, want a list of free pages", id, flags)
	}
	n, list := uint64(binary.NativeEndian.Uint16(b[10:])), b[pageHeader:]
	if n == freeMany {
		n, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if n > uint64(len(list)/8) {
		return fmt.Errorf("page %d: %d free pages", id, n)
	}
	for i := range n {
		free := binary.NativeEndian.Uint64(list[8*i:])
		if free < 2 || free >= v.high {
			return fmt.Errorf("page %d: page %d of %d is free", id, free, v.high)
		}
		if v.seen[free] {
			return fmt.Errorf("page %d: page %d is used, or free twice", id, free)
		}
		v.seen[free] = true
	}
	return nil
}

// elements checks the elements of the page b, which may be inside a bucket's value.
func (v *verifier) elements(b, least, limit []byte, seed uint64, depth int) error {
	flags, count := binary.NativeEndian.Uint16(b[8:]), int(binary.NativeEndian.Uint16(b[10:]))
	if flags != flagBranch && flags != flagLeaf {
		return fmt.Errorf("unknown kind %#x", flags)
	}
	if flags == flagBranch && count == 0 || pageHeader+count*pageElement > len(b) {
		return fmt.Errorf("%d elements", count)
	}
	for i := range count {
		e := elementOf(b, i, flags)
		switch {
		case len(e.key) == 0 || i == 0 && bytes.Compare(e.key, least) < 0 || i > 0 && bytes.Compare(e.key, least) <= 0:
			return fmt.Errorf("element %d: key out of order or place", i)
		case i == count-1 && limit != nil && bytes.Compare(e.key, limit) >= 0:
			return fmt.Errorf("element %d: key belongs to the next page", i)
		}
		least = e.key
		if flags == flagBranch {
			next := limit
			if i+1 < count {
				next = elementOf(b, i+1, flags).key
			}
			if err := v.page(e.page, e.key, next, seed, depth+1); err != nil {
				return err
			}
			continue
		}
		if e.pair == nil || e.flags > elementBucket {
			return fmt.Errorf("element %d: value out of place", i)
		}
		if e.flags == elementBucket {
			if err := v.bucket(e.pair[len(e.key):], seedOf(seed, e.key), depth+1); err != nil {
				return fmt.Errorf("bucket %q: %w", e.key, err)
			}
			continue
		}
		v.sum += v.record(seed, len(e.key), e.pair)
		if seed == seedMeta && string(e.key) == string(keyFormat) {
			v.format = string(e.pair[len(e.key):])
		}
	}
	return nil
}

// element is an element of a page. A part that would be outside of the page is nil.
type element struct {
	flags     uint32
	key, pair []byte // pair is the key and the value
	page      uint64 // of a branch
}

// elementOf reads element i of the page b, which has so many.
func elementOf(b []byte, i int, flags uint16) element {
	at := pageHeader + i*pageElement
	word := func(n int) uint64 { return uint64(binary.NativeEndian.Uint32(b[at+4*n:])) }
	part := func(from, n uint64) []byte { // from is counted from the element
		from += uint64(at)
		if from+n > uint64(len(b)) {
			return nil
		}
		return b[from : from+n]
	}
	if flags == flagBranch {
		return element{key: part(word(0), word(1)), page: binary.NativeEndian.Uint64(b[at+8:])}
	}
	return element{flags: uint32(word(0)), key: part(word(1), word(2)), pair: part(word(1), word(2)+word(3))}
}

// bucket checks the tree of a bucket. Its root is a page of its own, or, if the root is
// 0, a page inside value.
func (v *verifier) bucket(value []byte, seed uint64, depth int) error {
	v.sum += seed
	if len(value) < bucketHeader {
		return fmt.Errorf("%d bytes", len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.page(root, nil, nil, seed, depth)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint32(inline[12:]) != 0 || depth > deepest {
		return fmt.Errorf("%d bytes", len(inline))
	}
	return v.elements(inline, nil, nil, seed, deepest) // bbolt puts no bucket into such a page
}

// Tests: damage_test.go, verify_test.go.
