package zone

import (
	"encoding/binary"
	"iter"
	"slices"

	"github.com/miekg/dns"
)

// kind is a record set of a service of which images are made.
type kind int

const (
	kindSRV  kind = iota // _math._tcp.svc. SRV
	kindPTR              // _math._tcp.svc. PTR
	kindA                // math.tcp.svc. A
	kindAAAA             // math.tcp.svc. AAAA
	kinds
)

// image is the ready answer to one question: the records of a set and its
// additional ones, to be appended to the question. It is immutable. Names are
// compressed as Pack does it: owners point at the question, owners of addresses
// at the SRV data that name them, and targets are whole (RFC 2782).
type image struct {
	data    []byte // the records, then two octets for each: the offset where it ends
	size    int    // of the records
	answers int
	records int    // answers and additional ones
	partial bool   // the set has more than this
	turn    uint32 // of a sample: see Redraw
	total   int    // not 0: the answers are a sample of so many
}

// end returns where record i ends.
func (im *image) end(i int) int {
	return int(binary.LittleEndian.Uint16(im.data[im.size+2*i:]))
}

// appendTo appends what fits the limit to the message.
func (im *image) appendTo(msg []byte, limit int) ([]byte, Counts) {
	if len(msg)+im.size <= limit && !im.partial {
		c := Counts{AN: im.answers, AR: im.records - im.answers}
		if im.total > 0 {
			c.Sampled, c.Total = im.answers, im.total
		}
		return append(msg, im.data[:im.size]...), c
	}
	lo, hi := 0, im.records // the records that fit
	for lo < hi {
		if m := int(uint(lo+hi) / 2); len(msg)+im.end(m) > limit {
			hi = m
		} else {
			lo = m + 1
		}
	}
	c := Counts{AN: min(lo, im.answers), TC: lo < im.answers || im.partial}
	c.AR = lo - c.AN
	if lo > 0 {
		msg = append(msg, im.data[:im.end(lo-1)]...)
	}
	return msg, c
}

// painter makes an image, record by record.
type painter struct {
	image
	base int // where the image begins in the message
	ends []int
	max  int // size of the message; a record that exceeds it is left out
}

// close ends a record. false means that it did not fit and was removed.
func (p *painter) close() bool {
	if p.base+len(p.data) > p.max {
		p.data = p.data[:p.size]
		return false
	}
	p.size = len(p.data)
	p.ends = append(p.ends, p.size)
	return true
}

// done returns the image, in memory of its size.
func (p *painter) done() *image {
	im := p.image
	im.records = len(p.ends)
	im.data = make([]byte, 0, p.size+2*len(p.ends))
	im.data = append(im.data, p.data[:p.size]...)
	for _, e := range p.ends {
		im.data = binary.LittleEndian.AppendUint16(im.data, uint16(e))
	}
	return &im
}

// paint makes the image of a set, whole or only its head.
func (z *Zone) paint(s *service, k kind, head bool) *image {
	p := &painter{max: maxMessage}
	if head {
		p.max = headSize
	}
	p.base = headerSize + len(s.key) + 1 + len(z.wire) + 4
	if k >= kindA {
		p.base -= 2 // no underscores
	}
	// members yields the members in the image: all of them, or a sample.
	members := func(all iter.Seq[member], sample func(*Zone) ([]member, int)) iter.Seq[member] {
		if head {
			p.data = make([]byte, 0, headSize+512) // with the record that close removes
			return all
		}
		ms, total := sample(z)
		p.total = total
		p.data = make([]byte, 0, len(ms)*64)
		return slices.Values(ms)
	}
	switch k {
	case kindSRV:
		return z.paintSRV(p, s, members(s.srvs(z), s.sampleSRV))
	case kindPTR:
		for m := range members(s.inOrder(), s.samplePTR) {
			p.data = appendHead(p.data, headerSize, dns.TypePTR, s.ttl.value, 1+len(m.ID)+2)
			p.data = appendPointer(appendLabel(p.data, m.ID), headerSize)
			if p.partial = !p.close(); p.partial {
				break
			}
		}
	case kindA, kindAAAA:
		v4 := k == kindA
		for m := range members(s.addresses(v4), func(z *Zone) ([]member, int) { return s.sampleHosts(z, v4) }) {
			ttl := s.ttl6.value
			if v4 {
				ttl = s.ttl4.value
			}
			p.data = appendAddress(appendPointer(p.data, headerSize), m, ttl)
			if p.partial = !p.close(); p.partial {
				break
			}
		}
	}
	p.answers = len(p.ends)
	return p.done()
}

// maxPointer is the first offset that a pointer cannot name (RFC 1035 section 4.1.4).
const maxPointer = 1 << 14

// paintSRV makes the image of the SRV set and, after it, of the addresses of its
// targets, as many as a client can read: see glueRoom. It is long because each
// address depends on the offset at which its target was written.
func (z *Zone) paintSRV(p *painter, s *service, members iter.Seq[member]) *image {
	host := z.appendHost(nil, s)
	// A registered name may be the name of another instance's address, or end in
	// it. Then the offsets of all names are kept. Otherwise the first target holds
	// every ending that the others share.
	var seen names
	if s.foreign > 0 {
		seen = newNames(z.appendService(nil, s))
	}
	type glue struct {
		member
		target int // offset of the owner's name
	}
	var (
		glues  []glue
		suffix int // offset of the first host in a target: math.tcp.svc.
		name   []byte
	)
	for m := range members {
		if name = name[:0]; m.foreign() {
			name = appendName(name, m.Host)
		} else {
			name = append(appendLabel(name, m.ID), host...)
		}
		p.data = appendHead(p.data, headerSize, dns.TypeSRV, s.ttl.value, 6+len(name))
		p.data = appendSRV(p.data, m)
		at := p.base + len(p.data)
		p.data = append(p.data, name...)
		if p.partial = !p.close(); p.partial {
			break
		}
		if seen != nil {
			seen.note(name, at)
		}
		if m.foreign() {
			continue
		}
		if suffix == 0 {
			suffix = at + 1 + len(m.ID)
		}
		glues = append(glues, glue{m, at})
	}
	p.answers = len(p.ends)
	if p.partial || p.total > 0 {
		return p.done()
	}
	written := p.base + p.size
	for _, g := range glues {
		if written += g.glueSize(len(host)); written > glueRoom {
			break
		}
		switch {
		case seen != nil:
			name = append(appendLabel(name[:0], g.ID), host...)
			p.data = appendAddress(seen.append(p.data, p.base, name), g.member, g.ttl())
		case g.target < maxPointer:
			p.data = appendAddress(appendPointer(p.data, g.target), g.member, g.ttl())
		default:
			// No pointer reaches the name: write its label, and point at the
			// rest in the first target.
			p.data = appendPointer(appendLabel(p.data, g.ID), suffix)
			p.data = appendAddress(p.data, g.member, g.ttl())
		}
		if !p.close() {
			break
		}
	}
	return p.done()
}

// paintListing makes the image of the list of services.
func (z *Zone) paintListing(v *version, head bool) *image {
	p := &painter{base: headerSize + len(servicesName) + len(z.wire) + 4, max: maxMessage}
	// The offsets in the question of the endings that the names share.
	dnssd := headerSize + len("._services")
	udp := dnssd + len("._dns-sd")
	origin := udp + len("._udp")
	tcp := 0 // the first service over TCP writes it
	all := v.services.all()
	if head {
		p.max = headSize
	} else {
		var some []*service
		some, p.total = v.sampleServices(z)
		all = slices.Values(some)
	}
	for s := range all {
		p.data = appendHead(p.data, headerSize, dns.TypePTR, z.ttl, 0)
		data := len(p.data)
		switch name := s.key[:len(s.key)-len("._tcp")]; {
		case s.udp() && name == "_dns-sd":
			p.data = appendPointer(p.data, dnssd)
		case s.udp():
			p.data = appendPointer(appendLabel(p.data, name), udp)
		case tcp > 0:
			p.data = appendPointer(appendLabel(p.data, name), tcp)
		default:
			p.data = appendLabel(p.data, name)
			if at := p.base + len(p.data); at < maxPointer {
				tcp = at
			}
			p.data = appendPointer(appendLabel(p.data, "_tcp"), origin)
		}
		setLength(p.data, data)
		if p.partial = !p.close(); p.partial {
			break
		}
	}
	p.answers = len(p.ends)
	return p.done()
}

// Tests: answer_test.go.
