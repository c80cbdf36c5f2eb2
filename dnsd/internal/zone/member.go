package zone

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// member is a published instance in the set of its service, sorted by id. It repeats
// some fields of the instance, so that an answer for one of a million instances is
// found without a look at the others, each of which would be two cache misses, and
// mostly without a look at the instance itself.
type member struct {
	*registry.Instance
	prefix uint64 // the first octets of the id, padded with zeros; ordered as ids are
	v4     uint32 // the IPv4 address; 0: the host is in Host
	life   uint32 // TTL in seconds; the high bit (longID): the id is longer than prefix
}

const longID = 1 << 31

func newMember(in *registry.Instance) member {
	m := member{Instance: in, prefix: prefix(in.ID), life: seconds(in.TTL)}
	if len(in.ID) > 8 {
		m.life |= longID
	}
	if a, ok := m.addr(); ok && a.Is4() {
		v4 := a.As4()
		m.v4 = binary.BigEndian.Uint32(v4[:])
	}
	return m
}

func prefix[T string | []byte](id T) uint64 {
	var b [8]byte
	copy(b[:], id)
	return binary.BigEndian.Uint64(b[:])
}

func (m member) sortKey() string { return m.ID }

// compare gives the order of the member and an id whose prefix is p.
func (m *member) compare(p uint64, id []byte) int {
	switch {
	case m.prefix < p:
		return -1
	case m.prefix > p:
		return 1
	case m.life&longID == 0 && len(id) <= 8:
		return 0
	case m.ID < string(id):
		return -1
	case m.ID > string(id):
		return 1
	}
	return 0
}

// priority is the priority as published: higher for a suspect instance.
func (m member) priority() uint16 {
	p, _ := m.Published()
	return p
}

// ttl is the instance's own TTL in seconds.
func (m member) ttl() uint32 { return m.life &^ longID }

// foreign tells whether the host is a name, not an address: it ends in a dot.
func (m member) foreign() bool { return m.v4 == 0 && strings.HasSuffix(m.Host, ".") }

// addr returns the host as an address; false if it is a name. A name is not parsed,
// because that would allocate an error.
func (m member) addr() (netip.Addr, bool) {
	if m.v4 != 0 {
		return netip.AddrFrom4([4]byte{byte(m.v4 >> 24), byte(m.v4 >> 16), byte(m.v4 >> 8), byte(m.v4)}), true
	}
	if m.foreign() {
		return netip.Addr{}, false
	}
	return m.Addr()
}

// seconds is the TTL field for d: whole seconds, rounded down, at least one
// (with zero no cache could keep the record even for one answer), at
// most 2^31-1 (RFC 2181 section 8).
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 1), math.MaxInt32))
}

// Tests: reference_test.go.
