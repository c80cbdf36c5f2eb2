package zone

import (
	"sync/atomic"

	"github.com/miekg/dns"
)

// headMembers is the size above which an answer of at most headSize reads only the
// first members of a service: more can hardly fit. So many members fit setRoom,
// however long their names are (200 * (12 + 6 + 255)), so that only larger services
// are sampled.
const headMembers = 200

// AppendAnswer answers from ready images. msg is a message that holds a header
// and one question of class IN; qname is that question's name as it is in msg:
// uncompressed, in any case. The answer is appended, and the message is then at
// most limit octets long. The header is not changed: Counts says what belongs in
// it. The result is, octet for octet, what Pack makes of Lookup.
//
// false means that the name is not in the zone. msg is then unchanged. SERVFAIL means
// that the zone has no content yet; it has no record.
//
// Nothing is allocated if msg has the capacity, except for the first question
// after a change: that one makes the image. So no question costs much more than
// another, whatever is in the zone.
//
// It is long because it is one switch over the forms of a name.
func (z *Zone) AppendAnswer(msg, qname []byte, qtype uint16, limit int) ([]byte, Counts, bool) {
	var buf [maxName]byte
	name := fold(&buf, qname)
	if name == nil {
		return msg, Counts{}, false
	}
	limit = min(limit, maxMessage)
	p := placeOf(name, z.wire)
	if z.forward != "" && p.at > apex {
		p.at = elsewhere // a reverse zone has no services
	}
	if z.absent.Load() && p.at != outside {
		return msg, Counts{Rcode: dns.RcodeServerFailure}, true
	}
	switch p.at {
	case serviceName, hostName, instanceName, instanceHost:
		e := z.table.Load().find(p.name, p.udp)
		if e == nil {
			if images, ok := z.staticImages[string(name)]; ok { // the name of the push server is like that of a service
				return z.appendStatic(msg, images, p, qtype, limit)
			}
			exists := p.at == serviceName && p.udp && string(p.name) == "dns-sd" && z.current.Load().services.n > 0
			return z.negative(msg, p, exists, limit)
		}
		switch p.at {
		case serviceName:
			switch qtype {
			case dns.TypeSRV, dns.TypeANY:
				return z.ready(msg, e, kindSRV, limit)
			case dns.TypePTR:
				return z.ready(msg, e, kindPTR, limit)
			}
			return z.negative(msg, p, true, limit)
		case hostName:
			return z.appendHosts(msg, e, p, qtype, limit)
		default:
			return z.appendInstance(msg, e.service, p, qtype, limit)
		}
	case outside:
		return msg, Counts{}, false
	case apex:
		switch qtype {
		case dns.TypeSOA, dns.TypeANY:
			return z.appendSOA(msg, p, z.ttl, Counts{AN: 1}, limit)
		}
	case protocol, hostProtocol:
		if images, ok := z.staticImages[string(name)]; ok { // above the push server's name, or a name server's
			return z.appendStatic(msg, images, p, qtype, limit)
		}
		v := z.current.Load()
		exists := v.hasProtocol(p.udp)
		if p.at == hostProtocol {
			exists = v.hosts[btoi(p.udp)] > 0
		}
		return z.negative(msg, p, exists, limit)
	case browseName:
		v := z.current.Load()
		switch {
		case v.services.n == 0:
			return z.negative(msg, p, false, limit)
		case qtype != dns.TypePTR && qtype != dns.TypeANY:
			return z.negative(msg, p, true, limit)
		}
		return z.appendListing(msg, v, limit)
	}
	// The apex and the name servers: images made by New.
	images, ok := z.staticImages[string(name)]
	switch {
	case ok:
	case z.forward != "":
		return addresses{z}.append(msg, name, p, qtype, limit)
	default:
		return z.negative(msg, p, false, limit)
	}
	return z.appendStatic(msg, images, p, qtype, limit)
}

// appendStatic answers from the images of a name of the zone's own.
func (z *Zone) appendStatic(msg []byte, images []staticImage, p place, qtype uint16, limit int) ([]byte, Counts, bool) {
	for _, im := range images {
		if im.rrtype == qtype || qtype == dns.TypeANY {
			out, c := im.appendTo(msg, limit)
			return out, c, true
		}
	}
	return z.negative(msg, p, true, limit)
}

// ready appends the image of a set.
func (z *Zone) ready(msg []byte, e *entry, k kind, limit int) ([]byte, Counts, bool) {
	p := places{full: &e.full[k]}
	if e.large {
		p.head = &e.head[k]
	}
	out, c := z.image(p, len(msg), limit, func(head bool) *image { return z.paint(e.service, k, head) }).appendTo(msg, limit)
	return out, c, true
}

func (z *Zone) appendHosts(msg []byte, e *entry, p place, qtype uint16, limit int) ([]byte, Counts, bool) {
	s := e.service
	if !s.hosts() {
		return z.negative(msg, p, false, limit)
	}
	switch {
	case s.ttl4.total > 0 && (qtype == dns.TypeA || qtype == dns.TypeANY):
		return z.ready(msg, e, kindA, limit)
	case s.ttl6.total > 0 && (qtype == dns.TypeAAAA || qtype == dns.TypeANY):
		return z.ready(msg, e, kindAAAA, limit)
	}
	return z.negative(msg, p, true, limit)
}

// appendInstance answers for a single instance. It has no image: to build the
// answer is as quick as to copy one, and a million images would take much memory.
func (z *Zone) appendInstance(msg []byte, s *service, p place, qtype uint16, limit int) ([]byte, Counts, bool) {
	m, ok := s.member(p.id)
	if !ok {
		return z.negative(msg, p, false, limit)
	}
	addr, hasAddr := m.addr()
	start := len(msg)
	if p.at == instanceHost {
		if !hasAddr {
			return z.negative(msg, p, false, limit)
		}
		if qtype != dns.TypeANY && (qtype == dns.TypeA) != addr.Is4() || qtype != dns.TypeANY && qtype != dns.TypeA && qtype != dns.TypeAAAA {
			return z.negative(msg, p, true, limit)
		}
		msg = appendAddress(appendPointer(msg, headerSize), m, m.ttl())
		return within(msg, start, Counts{AN: 1}, limit)
	}
	switch qtype {
	case dns.TypeSRV, dns.TypeANY:
		msg = appendHead(msg, headerSize, dns.TypeSRV, m.ttl(), 0)
		data := len(msg)
		msg = appendSRV(msg, m)
		target := len(msg)
		if hasAddr {
			msg = z.appendHost(appendLabel(msg, m.ID), s)
		} else {
			msg = appendName(msg, m.Host)
		}
		setLength(msg, data)
		answer := len(msg)
		if hasAddr && answer <= limit {
			msg = appendAddress(appendPointer(msg, target), m, m.ttl())
			if len(msg) <= limit {
				return msg, Counts{AN: 1, AR: 1}, true
			}
		}
		return within(msg[:answer], start, Counts{AN: 1}, limit)
	case dns.TypeTXT:
		msg = appendHead(msg, headerSize, dns.TypeTXT, m.ttl(), 0)
		data := len(msg)
		msg = s.appendTXT(msg, m)
		setLength(msg, data)
		return within(msg, start, Counts{AN: 1}, limit)
	}
	return z.negative(msg, p, true, limit)
}

// within removes a single record that does not fit.
func within(msg []byte, start int, c Counts, limit int) ([]byte, Counts, bool) {
	if len(msg) > limit {
		return msg[:start], Counts{Rcode: c.Rcode, TC: true}, true
	}
	return msg, c, true
}

// appendListing answers with the list of services.
func (z *Zone) appendListing(msg []byte, v *version, limit int) ([]byte, Counts, bool) {
	im := z.image(v.listing.places(v.services.n), len(msg), limit, func(head bool) *image { return z.paintListing(v, head) })
	out, c := im.appendTo(msg, limit)
	return out, c, true
}

// images are those of one set, made when a question asks for them.
type images struct{ full, head atomic.Pointer[image] }

// places of the images of a set of so many records.
func (s *images) places(records int) places {
	if records <= headMembers {
		return places{full: &s.full}
	}
	return places{full: &s.full, head: &s.head}
}

// places are where the images of one set are kept: of the whole set, and of a
// large one the head, too.
type places struct{ full, head *atomic.Pointer[image] }

// image returns the one for a message of so many octets and a limit. Two questions at
// once may both make it; it is the same.
func (z *Zone) image(p places, begun, limit int, paint func(head bool) *image) *image {
	if p.head == nil || limit > headSize {
		im := p.full.Load()
		if im == nil || im.total > 0 && im.turn != uint32(z.turn.Load()) {
			turn := uint32(z.turn.Load()) // read before the sample is drawn: at worst it is drawn twice
			im = paint(false)
			im.turn = turn
			p.full.Store(im)
		}
		if im.total == 0 || begun+im.size <= limit {
			return im
		}
	}
	im := p.head.Load()
	if im == nil {
		im = paint(true)
		p.head.Store(im)
	}
	return im
}

// negative answers without a record, see version.empty.
func (z *Zone) negative(msg []byte, p place, exists bool, limit int) ([]byte, Counts, bool) {
	c := Counts{Rcode: dns.RcodeNameError, NS: 1}
	if exists {
		c.Rcode = dns.RcodeSuccess
	}
	return z.appendSOA(msg, p, z.soa.Minttl, c, limit)
}
