package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/cespare/xxhash/v2"
)

// A seal is what we write after bbolt's meta, in the same sector: sealMagic, the sum of
// all records of the tree, and a checksum of both and of the meta. bbolt does not read
// these octets. When it writes a meta page, it writes zeros there.
const (
	sealMagic = 0x4c414553_4c4c4f52 // "ROLLSEAL", on a little-endian machine
	sealSum   = metaEnd + 8
	sealCheck = metaEnd + 16
	sealEnd   = metaEnd + 24
)

// metaPage is the beginning of a meta page, with the seal. It names a tree.
type metaPage [sealEnd]byte

func (m *metaPage) at(offset int) uint64 { return binary.NativeEndian.Uint64(m[offset:]) }

// valid says whether bbolt would believe the page.
func (m *metaPage) valid() bool {
	h := fnv.New64a()
	h.Write(m[pageHeader:metaSum])
	return binary.NativeEndian.Uint32(m[pageHeader:]) == magic && m.at(metaSum) == h.Sum64()
}

// fits returns an error if the pages of the tree are more than a file of that length has.
func (m *metaPage) fits(size int, length int64) error {
	if n := m.at(metaHigh); n > uint64(length)/uint64(size) {
		return fmt.Errorf("cut short: has %d of %d pages of %d bytes", length/int64(size), n, size)
	}
	return nil
}

func (m *metaPage) txid() uint64 { return m.at(metaTxid) }

// pageSize is the size of the pages of the file, as the page says it.
func (m *metaPage) pageSize() int { return int(binary.NativeEndian.Uint32(m[metaVersion+4:])) }

// seal binds the page to a tree with the given sum.
func (m *metaPage) seal(sum uint64) {
	binary.NativeEndian.PutUint64(m[metaEnd:], sealMagic)
	binary.NativeEndian.PutUint64(m[sealSum:], sum)
	binary.NativeEndian.PutUint64(m[sealCheck:], xxhash.Sum64(m[pageHeader:sealCheck]))
}

// sealed returns the sum in the seal. ok says that there is a seal, and that it is of
// this meta.
func (m *metaPage) sealed() (sum uint64, ok bool) {
	return m.at(sealSum), m.at(metaEnd) == sealMagic && m.at(sealCheck) == xxhash.Sum64(m[pageHeader:sealCheck])
}

// metaPages are the two meta pages of a file.
type metaPages [2]metaPage

// readMetas reads the meta pages of a file with pages of the given size.
func readMetas(file io.ReaderAt, size int) (m metaPages, err error) {
	for i := range m {
		if _, err := file.ReadAt(m[i][:], int64(i)*int64(size)); err != nil {
			return m, err
		}
	}
	return m, nil
}

// newest returns the index of the page that names the current tree. At least one page
// is valid, or bbolt does not open the file. Where both name the same tree, one of the
// two seals may be damaged.
func (m *metaPages) newest() int {
	switch {
	case !m[1].valid():
		return 0
	case !m[0].valid():
		return 1
	case m[0].txid() == m[1].txid():
		if _, ok := m[0].sealed(); !ok {
			return 1
		}
		return 0
	case m[0].txid() > m[1].txid():
		return 0
	}
	return 1
}

// both makes the other page name the tree of page i, and returns its index.
func (m *metaPages) both(i int) (other int) {
	other = 1 - i
	m[other] = m[i]
	binary.NativeEndian.PutUint64(m[other][:], uint64(other)) // each page has its own number in its header
	return other
}

// seedOf returns the seed with which the records of a bucket are hashed, from that of
// the bucket around it.
func seedOf(around uint64, name []byte) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(around)
	d.Write(name)
	return d.Sum64()
}

// The seeds of our buckets.
var (
	seedMeta      = seedOf(0, bucketMeta)
	seedInstances = seedOf(0, bucketInstances)
	seedFences    = seedOf(0, bucketFences)
)

// hasher hashes records. The sum of a tree is the sum of the hashes of its records and
// of the seeds of its buckets. Addition wraps, and does not depend on an order, so a
// commit knows the sum of its tree from the records that it changes.
type hasher struct{ digest xxhash.Digest }

// record hashes a record whose key and value follow each other in pair.
func (h *hasher) record(seed uint64, key int, pair []byte) uint64 {
	h.digest.ResetWithSeed(seed + uint64(key))
	h.digest.Write(pair)
	return h.digest.Sum64()
}

// parts hashes the record of a key and its value.
func (h *hasher) parts(seed uint64, key, value []byte) uint64 {
	h.digest.ResetWithSeed(seed + uint64(len(key)))
	h.digest.Write(key)
	h.digest.Write(value)
	return h.digest.Sum64()
}

// Tests: torn_test.go, judge_test.go.
