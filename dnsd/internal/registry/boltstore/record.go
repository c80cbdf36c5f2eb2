package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

var errRecord = errors.New("not a record of this format")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends to b the checksum of key and of the value that begins at start.
func seal(key, b []byte, start int) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, b[start:])
	return binary.BigEndian.AppendUint32(b, sum)
}

// unseal returns the value without its checksum, or nil if it is damaged.
func unseal(key, sealed []byte) []byte {
	n := len(sealed) - 4
	if n < 0 {
		return nil
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[:n])
	if sum != binary.BigEndian.Uint32(sealed[n:]) {
		return nil
	}
	return sealed[:n:n]
}

// appendKey writes the service, a 0 octet, and the id. No name holds a 0 octet, so
// the keys of the file sort as registry.Key does.
func appendKey(b []byte, k registry.Key) []byte {
	b = append(b, k.Service...)
	b = append(b, 0)
	return append(b, k.ID...)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Bits in the octet of the state. A dnsd that does not know one takes the record for
// damaged, and does not publish what it should not.
const (
	sticky = 0x80
	drains = 0x40 // registry.Instance.Drain
)

// appendInstance writes all but the key.
func appendInstance(b []byte, in *registry.Instance) []byte {
	state := byte(in.State)
	if in.Sticky {
		state |= sticky
	}
	if in.Drain {
		state |= drains
	}
	b = append(b, state)
	b = binary.AppendUvarint(b, in.Revision)
	b = binary.AppendUvarint(b, in.Incarnation)
	b = binary.AppendUvarint(b, uint64(in.Port))
	b = binary.AppendUvarint(b, uint64(in.Priority))
	b = binary.AppendUvarint(b, uint64(in.Weight))
	b = binary.AppendUvarint(b, uint64(in.TTL))
	b = binary.AppendUvarint(b, uint64(in.Lease))
	b = appendString(b, in.Host)
	b = binary.AppendUvarint(b, uint64(len(in.Meta)))
	keys := make([]string, 0, len(in.Meta))
	for k := range in.Meta {
		keys = append(keys, k)
	}
	slices.Sort(keys) // so that equal instances are equal bytes
	for _, k := range keys {
		b = appendString(b, k)
		b = appendString(b, in.Meta[k])
	}
	return b
}

func appendFence(b []byte, f *registry.Fence) []byte {
	b = binary.AppendVarint(b, f.Time.UnixNano())
	b = binary.AppendUvarint(b, f.Incarnation)
	if f.Drained {
		b = append(b, sticky)
	}
	return b
}

// reader reads the parts of a record. After the first part that does not fit it is bad
// and returns zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > limit {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) bytes() []byte {
	n := r.uint(uint64(len(r.rest)))
	if n > uint64(len(r.rest)) { // reading n has shortened rest
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// instance reads what appendInstance wrote. The id and the host share one string,
// which saves an allocation for each instance.
func (r *reader) instance(service string, id []byte) *registry.Instance {
	state := r.byte()
	in := &registry.Instance{
		State:       registry.State(state &^ (sticky | drains)),
		Sticky:      state&sticky != 0,
		Drain:       state&drains != 0,
		Revision:    r.uint(math.MaxUint64),
		Incarnation: r.uint(math.MaxUint64),
		Port:        uint16(r.uint(math.MaxUint16)),
		Priority:    uint16(r.uint(math.MaxUint16)),
		Weight:      uint16(r.uint(math.MaxUint16)),
		TTL:         time.Duration(r.uint(math.MaxInt64)),
		Lease:       time.Duration(r.uint(math.MaxInt64)),
	}
	host := r.bytes()
	both := string(append(append(make([]byte, 0, 128), id...), host...))
	in.Key = registry.Key{Service: service, ID: both[:len(id)]}
	in.Host = both[len(id):]
	if n := r.uint(uint64(len(r.rest))); n > 0 {
		in.Meta = make(map[string]string, n)
		for range n {
			k := string(r.bytes())
			in.Meta[k] = string(r.bytes())
		}
		r.bad = r.bad || uint64(len(in.Meta)) != n
	}
	r.bad = r.bad || in.State > registry.Drained
	return in
}

// done says whether the whole record was read and fits.
func (r *reader) done() bool { return !r.bad && len(r.rest) == 0 }

func splitKey(b []byte) (service, id []byte, ok bool) {
	return bytes.Cut(b, []byte{0})
}

func parseInstance(service string, id, value []byte) (*registry.Instance, error) {
	r := reader{rest: value}
	in := r.instance(service, id)
	if !r.done() {
		return nil, errRecord
	}
	return in, nil
}

func parseFence(key, value []byte) (registry.Fence, error) {
	service, id, ok := splitKey(key)
	r := reader{rest: value}
	f := registry.Fence{
		Key:  registry.Key{Service: string(service), ID: string(id)},
		Time: time.Unix(0, r.int()), Incarnation: r.uint(math.MaxUint64),
	}
	if len(r.rest) > 0 {
		f.Drained = r.byte() == sticky
		r.bad = r.bad || !f.Drained
	}
	if !ok || !r.done() {
		return f, errRecord
	}
	return f, nil
}
