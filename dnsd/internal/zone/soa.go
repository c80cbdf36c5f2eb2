package zone

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// newSOA makes the SOA record, without its serial. The name servers must be there.
func (z *Zone) newSOA(cfg Config, mailbox string) (soa dns.SOA, err error) {
	negative := cmp.Or(cfg.NegativeTTL, cmp.Or(cfg.TTL, defaultTTL))
	switch {
	case negative < time.Second || negative%time.Second != 0:
		return soa, setting.Errorf("NegativeTTL", "%v; expected whole seconds, at least 1s", negative)
	case seconds(negative) > z.ttl:
		return soa, setting.Errorf("NegativeTTL", "%v is more than the TTL, %ds, which bounds it (RFC 2308 section 5)", negative, z.ttl)
	}
	hostmaster, err := canonical("Hostmaster", cmp.Or(cfg.Hostmaster, mailbox))
	if err != nil {
		return soa, err
	}
	return dns.SOA{
		Hdr:  dns.RR_Header{Name: z.origin, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.ttl},
		Ns:   z.static[z.origin][0].(*dns.NS).Ns,
		Mbox: hostmaster,
		// A secondary that misses a NOTIFY asks again after a minute, then every
		// ten seconds. Without dnsd it answers for a week with what it has.
		Refresh: 60, Retry: 10, Expire: 7 * 24 * 3600,
		Minttl: seconds(negative),
	}, nil
}

// soaImage is the SOA record, to be appended to any question in the zone.
type soaImage struct {
	data     []byte
	pointers []pointer
	taboo    [][]byte // labels directly below the origin in the record's names: a question with one shares more than the origin
	server   []byte   // the record's names, in wire form
	mailbox  []byte
}

// pointer is a compression pointer, set when the offsets of a message are known.
type pointer struct {
	at, to int
	image  bool // to counts from the start of the image; otherwise from the origin in the question
}

// newSOAImage lets Pack make the record, and finds the pointers in it.
func (z *Zone) newSOAImage() (soaImage, error) {
	im := soaImage{server: wireName(z.soa.Ns), mailbox: wireName(z.soa.Mbox)}
	for _, name := range []string{z.soa.Ns, z.soa.Mbox} {
		if label := above(wireName(name), z.wire); label != nil && !slices.ContainsFunc(im.taboo, func(l []byte) bool { return bytes.Equal(l, label) }) {
			im.taboo = append(im.taboo, label)
		}
	}
	// A question whose name shares only the origin with the names in the record.
	label := []byte("q")
	for slices.ContainsFunc(im.taboo, func(l []byte) bool { return bytes.Equal(l, label) }) {
		label = append(label, 'q')
	}
	q := append(append([]byte{byte(len(label))}, label...), z.wire...)
	msg := append(make([]byte, headerSize), q...)
	msg = append(msg, 0, 0, 0, 1)
	msg[5] = 1
	start, origin := len(msg), headerSize+1+len(label)
	msg, _, err := Pack(msg, Answer{Authority: []dns.RR{z.soaAt(0)}}, maxMessage)
	if err != nil {
		return im, err
	}
	im.data = slices.Clone(msg[start:])
	name := func(i int) int {
		for ; ; i += 1 + int(im.data[i]) {
			switch {
			case im.data[i] >= 0xc0:
				to := int(binary.BigEndian.Uint16(im.data[i:]) & 0x3fff)
				if to < start {
					im.pointers = append(im.pointers, pointer{at: i, to: to - origin})
				} else {
					im.pointers = append(im.pointers, pointer{at: i, to: to - start, image: true})
				}
				return i + 2
			case im.data[i] == 0:
				return i + 1
			}
		}
	}
	name(name(name(0) + 10))
	return im, nil
}

// above returns the label directly above the origin in a name, nil if the name is
// not below the origin.
func above(name, origin []byte) (label []byte) {
	for i := 0; i < len(name); i += 1 + int(name[i]) {
		if bytes.Equal(name[i:], origin) {
			return label
		}
		label = name[i+1 : i+1+int(name[i])]
	}
	return nil
}

// appendSOA appends the SOA record of the current revision.
func (z *Zone) appendSOA(msg []byte, p place, ttl uint32, c Counts, limit int) ([]byte, Counts, bool) {
	im := &z.soaImage
	for _, label := range im.taboo {
		if bytes.Equal(p.top, label) {
			return z.appendSharedSOA(msg, ttl, c, limit)
		}
	}
	start := len(msg)
	if start+len(im.data) > limit {
		return msg, Counts{Rcode: c.Rcode, TC: true}, true
	}
	origin := start - 4 - len(z.wire)
	msg = append(msg, im.data...)
	out := msg[start:]
	for _, ptr := range im.pointers {
		to := ptr.to + origin
		if ptr.image {
			to = ptr.to + start
		}
		binary.BigEndian.PutUint16(out[ptr.at:], 0xc000|uint16(to))
	}
	binary.BigEndian.PutUint32(out[6:], ttl) // the owner is a pointer
	binary.BigEndian.PutUint32(out[len(out)-20:], z.Serial())
	return msg, c, true
}

// appendSharedSOA does the same for a question that shares more than the origin with
// the names in the record.
func (z *Zone) appendSharedSOA(msg []byte, ttl uint32, c Counts, limit int) ([]byte, Counts, bool) {
	var buf [maxName]byte
	start := len(msg)
	qname := fold(&buf, msg[headerSize:start-4])
	out := appendHead(msg, headerSize+len(qname)-len(z.wire), dns.TypeSOA, ttl, 0)
	rdata := len(out)
	server, mailbox := z.soaImage.server, z.soaImage.mailbox
	at, to, ok := shared(server, qname)
	if ok {
		out = appendPointer(append(out, server[:at]...), headerSize+to)
	} else {
		at = len(server)
		out = append(out, server...)
	}
	cut, to, ok := shared(mailbox, qname)
	to += headerSize
	if i, j, more := shared(mailbox, server); more && j < at && (!ok || i < cut) {
		cut, to, ok = i, rdata+j, true
	}
	if ok {
		out = appendPointer(append(out, mailbox[:cut]...), to)
	} else {
		out = append(out, mailbox...)
	}
	for _, n := range []uint32{z.Serial(), z.soa.Refresh, z.soa.Retry, z.soa.Expire, z.soa.Minttl} {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	setLength(out, rdata)
	if len(out) > limit {
		return msg, Counts{Rcode: c.Rcode, TC: true}, true
	}
	return out, c, true
}

// Tests: answer_test.go.
