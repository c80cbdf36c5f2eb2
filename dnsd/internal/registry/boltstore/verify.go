package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// What verify must know of the file format of bbolt: page headers and elements, in the
// byte order of the machine. This is format version 2, as bbolt v1.5.0 writes it (its
// internal/common: page.go, meta.go, bucket.go). verify refuses any other version.
// With another release of bbolt, compare these files first.
const (
	formatVersion = 2
	pageHeader    = 16 // id uint64, flags, count uint16, overflow uint32
	pageElement   = 16 // of a branch: pos, ksize uint32, page uint64; of a leaf: flags, pos, ksize, vsize uint32
	bucketHeader  = 16 // root, sequence uint64
	flagBranch    = 0x01
	flagLeaf      = 0x02
	elementBucket = 0x01
	metaVersion   = pageHeader + 4  // after magic
	metaRoot      = pageHeader + 16 // after magic, version, page size, flags
	metaHigh      = metaRoot + 24   // after the root bucket and the free list
	metaTxid      = metaHigh + 8
	metaEnd       = metaTxid + 16 // after the checksum
	deepest       = 64            // no tree of 2^64 pages is deeper
)

// verifier walks all pages in use before bbolt does. bbolt trusts what it reads: a
// wrong count or offset makes it read other memory, or recurse until the stack is
// full. We could recover from neither.
type verifier struct {
	file io.ReaderAt
	size int // of a page
	high uint64
	seen []bool
}

// verify checks the tree that tx reads.
func verify(file io.ReaderAt, tx *bolt.Tx) error {
	v := &verifier{file: file, size: tx.DB().Info().PageSize}
	v.high = uint64(tx.Size()) / uint64(v.size)
	// This is the meta page of the transaction. bbolt has compared its checksum.
	meta := make([]byte, metaTxid+8)
	if _, err := file.ReadAt(meta, int64(tx.ID()%2)*int64(v.size)); err != nil {
		return err
	}
	if got := binary.NativeEndian.Uint32(meta[metaVersion:]); got != formatVersion {
		return fmt.Errorf("format version %d of bbolt, this program knows version %d", got, formatVersion)
	}
	if got := binary.NativeEndian.Uint64(meta[metaTxid:]); got != uint64(tx.ID()) {
		return fmt.Errorf("the meta page is of transaction %d, not %d", got, tx.ID())
	}
	v.seen = make([]bool, v.high)
	return v.page(binary.NativeEndian.Uint64(meta[metaRoot:]), nil, 0)
}

// page checks a page in use and all pages below it. Its keys must not be before least.
func (v *verifier) page(id uint64, least []byte, depth int) error {
	switch {
	case depth > deepest:
		return fmt.Errorf("page %d: more than %d deep", id, deepest)
	case id < 2 || id >= v.high:
		return fmt.Errorf("page %d of %d is named", id, v.high)
	case v.seen[id]:
		return fmt.Errorf("page %d is used twice", id)
	}
	b := make([]byte, v.size)
	if _, err := v.file.ReadAt(b, int64(id)*int64(v.size)); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(b[12:]))
	if got := binary.NativeEndian.Uint64(b); got != id || overflow >= v.high-id {
		return fmt.Errorf("page %d says it is page %d and %d more", id, got, overflow)
	}
	if overflow > 0 {
		b = make([]byte, (overflow+1)*uint64(v.size))
		if _, err := v.file.ReadAt(b, int64(id)*int64(v.size)); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
	}
	for i := id; i <= id+overflow; i++ {
		if v.seen[i] {
			return fmt.Errorf("page %d is used twice", i)
		}
		v.seen[i] = true
	}
	if err := v.elements(b, least, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements checks the elements of the page b, which may be inside a bucket's value.
func (v *verifier) elements(b, least []byte, depth int) error {
	flags, count := binary.NativeEndian.Uint16(b[8:]), int(binary.NativeEndian.Uint16(b[10:]))
	if flags != flagBranch && flags != flagLeaf {
		return fmt.Errorf("unknown kind %#x", flags)
	}
	if flags == flagBranch && count == 0 || pageHeader+count*pageElement > len(b) {
		return fmt.Errorf("%d elements", count)
	}
	for i := range count {
		at := pageHeader + i*pageElement
		word := func(n int) uint64 { return uint64(binary.NativeEndian.Uint32(b[at+4*n:])) }
		part := func(from, n uint64) []byte { // from is counted from the element
			from += uint64(at)
			if from+n > uint64(len(b)) {
				return nil
			}
			return b[from : from+n]
		}
		pos, ksize := word(0), word(1)
		if flags == flagLeaf {
			pos, ksize = word(1), word(2)
		}
		key := part(pos, ksize)
		if key == nil || ksize == 0 || i == 0 && bytes.Compare(key, least) < 0 || i > 0 && bytes.Compare(key, least) <= 0 {
			return fmt.Errorf("element %d: key out of order or place", i)
		}
		least = key
		if flags == flagBranch {
			if err := v.page(binary.NativeEndian.Uint64(b[at+8:]), key, depth+1); err != nil {
				return err
			}
			continue
		}
		value := part(pos+ksize, word(3))
		if value == nil && word(3) > 0 || word(0) > elementBucket {
			return fmt.Errorf("element %d: value out of place", i)
		}
		if word(0) == elementBucket {
			if err := v.bucket(value, depth+1); err != nil {
				return fmt.Errorf("bucket %q: %w", key, err)
			}
		}
	}
	return nil
}

// bucket checks the tree of a bucket. Its root is a page of its own, or, if the root is
// 0, a page inside value.
func (v *verifier) bucket(value []byte, depth int) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("%d bytes", len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.page(root, nil, depth)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint32(inline[12:]) != 0 || depth > deepest {
		return fmt.Errorf("%d bytes", len(inline))
	}
	return v.elements(inline, nil, depth)
}

// Tests: damage_test.go, verify_test.go.
