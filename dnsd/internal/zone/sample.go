package zone

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// A message holds 65,535 octets (RFC 1035 section 4.2.2). An answer takes at most
// setRoom of them, so that there is room for OPT with its options and for TSIG.
const (
	maxMessage = 65535
	setRoom    = maxMessage - 1024
)

// A sample depends on the set and on the turn, and on nothing else: several dnsd that
// hold the same instances draw the same ones, whatever changes led there. A change
// leaves the rest of the sample as it is, or clients that follow the answers would close
// and dial most of their connections whenever a single instance came or went. A new turn
// draws all of it again, or the instances outside of it would be without work for ever.

// epochBits: the list of services, which no client keeps connections by, is also drawn
// again each 1,024 revisions. It moves on by one service at a time, which would take
// long if it was by turns alone.
const epochBits = 10

// Redraw draws all samples again, unless turn is the one of the last call. The zone
// has no clock: the caller counts the time in turn.
func (z *Zone) Redraw(turn uint64) { z.turn.Store(turn) }

// draw is the number that decides the chances in a sample.
func (z *Zone) draw() uint64 { return z.turn.Load() * 0x9e3779b97f4a7c15 }

// sampleSRV returns the members of the SRV set, or a sample of them and the number
// of all.
func (s *service) sampleSRV(z *Zone) ([]member, int) {
	host := len(s.key) - 2 + 1 + len(z.origin) // math.tcp.svc.
	return sample(s.collect(s.srvs(z)), z.draw(), z.room(len(s.key)+1), func(m member) int {
		n := len(m.ID) + 1 + host
		if m.foreign() {
			n = len(m.Host)
		}
		return recordSize + 6 + n + 1
	})
}

// samplePTR does the same for the PTR set of the instances' names.
func (s *service) samplePTR(z *Zone) ([]member, int) {
	return sample(s.collect(s.inOrder()), z.draw(), z.room(len(s.key)+1), func(m member) int { return recordSize + 1 + len(m.ID) + 2 })
}

// sampleHosts does the same for the addresses of one family.
func (s *service) sampleHosts(z *Zone, v4 bool) ([]member, int) {
	size := recordSize + 16
	if v4 {
		size = recordSize + 4
	}
	return sample(s.collect(s.addresses(v4)), z.draw(), z.room(len(s.key)-2+1), func(member) int { return size })
}

func (s *service) collect(ms iter.Seq[member]) []member {
	return slices.AppendSeq(make([]member, 0, s.members.n), ms)
}

// glueRoom bounds the addresses after the SRV records of a message, as if the owner
// of each were written whole. No pointer reaches a name past 16 KiB, and programs
// that encode an answer again, as c-ares does for Node, write such names whole and
// fail when the message exceeds 64 KiB: at some 900 instances with short names.
// The addresses are a convenience (RFC 2181 section 9), so the last ones are left
// out.
const glueRoom = setRoom

// glueSize is what the address of a member takes of glueRoom. host is the length of
// the host name of its service.
func (m member) glueSize(host int) int {
	if m.v4 != 0 {
		return 1 + len(m.ID) + host + 10 + 4
	}
	return 1 + len(m.ID) + host + 10 + 16
}

// recordSize is what a record takes without its data: a pointer to the question,
// type, class, TTL, length.
const recordSize = 2 + 10

// room is what the records of an answer may take. above is how many octets the name
// in the question has above the origin.
func (z *Zone) room(above int) int { return setRoom - headerSize - above - len(z.wire) - 4 }

const headerSize = 12

// headSize is the largest answer made from the first records of a set, which is
// enough for every message over UDP. It is for a set that no message can hold, or
// that is too large to be read whole for a small answer.
const headSize = 4096

// sample returns ms and 0 if ms fits the room. Otherwise it draws members with the
// lowest priority, among equals at random by weight without replacement (Efraimidis
// and Spirakis: the smallest -ln(u)/weight), until the room is full. It returns them
// in the order of ms, and the number of all. The chance is a hash of key and draw:
// the same at each call.
func sample(ms []member, draw uint64, room int, size func(member) int) ([]member, int) {
	sum := 0
	for _, m := range ms {
		sum += size(m)
	}
	if sum <= room {
		return ms, 0
	}
	// A ticket is one number, so that sorting is quick: priority, chance, index.
	// The chance is a positive float, whose bits are ordered as it is; 24 of them
	// are kept: the exponent and 13 of the fraction.
	const indexBits, chanceBits = 24, 24
	if len(ms) > 1<<indexBits {
		ms = ms[:1<<indexBits]
	}
	tickets := make([]uint64, len(ms))
	for i, m := range ms {
		// A weight of zero keeps a small chance (RFC 2782).
		chance := -math.Log(unit(m.Key, draw)) / max(float64(m.Weight), 0.1)
		tickets[i] = uint64(m.priority())<<(chanceBits+indexBits) | math.Float64bits(chance)>>(63-chanceBits)<<indexBits | uint64(i)
	}
	slices.Sort(tickets)
	drawn := make([]bool, len(ms))
	n := 0
	for ; n < len(tickets); n++ {
		i := tickets[n] & (1<<indexBits - 1)
		if room -= size(ms[i]); room < 0 {
			break
		}
		drawn[i] = true
	}
	out := make([]member, 0, n)
	for i, m := range ms {
		if drawn[i] {
			out = append(out, m)
		}
	}
	return out, len(ms)
}

// unit hashes a key to a number in (0, 1): FNV-1a, then the finalizer of splitmix64,
// because the last octets of a short id hardly change the high bits of FNV.
func unit(key registry.Key, draw uint64) float64 {
	h := uint64(14695981039346656037) ^ draw
	for _, s := range []string{key.ID, key.Service} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return (float64(h>>11) + 0.5) / (1 << 53)
}

// sampleServices returns the services for the list of all, or a sample of them and
// the number of all. No service weighs more than another, so the sample takes
// services at a fixed stride, which costs the same however many there are.
func (v *version) sampleServices(z *Zone) ([]*service, int) {
	const usual = recordSize + 1 + 16 + 5 + 2 // a service name has at most 15 characters (RFC 6335)
	size := func(s *service) int { return recordSize + 1 + len(s.key) + 2 }
	room := z.room(len(servicesName))
	n := v.services.n
	if n <= room/usual {
		return slices.Collect(v.services.all()), 0
	}
	sum, fits := 0, n <= room/(recordSize+1+len("_a._tcp")+2)
	if fits {
		for s := range v.services.all() {
			sum += size(s)
		}
		fits = sum <= room
	}
	if fits {
		return slices.Collect(v.services.all()), 0
	}
	k := room / usual
	offset := int((v.listing.epoch + z.turn.Load()) % uint64(n))
	var out []*service
	for i := range k {
		s := v.services.at((i*n/k + offset) % n)
		if room -= size(s); room < 0 {
			break
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *service) int { return cmp.Compare(a.key, b.key) })
	return slices.Compact(out), n
}
