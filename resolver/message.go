package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// udpSize is the EDNS buffer size offered: a packet of this size passes nearly every
// network without fragments (DNS Flag Day 2020).
const udpSize = 1232

// qtype is a DNS record type.
type qtype uint16

const (
	typeSRV  = qtype(dns.TypeSRV)
	typeA    = qtype(dns.TypeA)
	typeAAAA = qtype(dns.TypeAAAA)
)

func (t qtype) String() string { return dns.Type(t).String() }

// question is what is asked: a canonical name and a type, in class IN.
type question struct {
	name string
	typ  qtype
}

// reply is what a server said to a question.
type reply struct {
	rcode     int  // extended rcode (RFC 6891)
	truncated bool // then no record is read
	tcp       bool // it came over TCP
	size      int  // octets

	alias   string          // where the CNAMEs lead; without a CNAME: the name asked for
	ttl     uint32          // smallest among the CNAMEs followed and the records
	records int             // how many of the type asked for alias has, good or bad
	bad     int             // how many of those have broken RDATA
	srvs    []srv           // the good ones, for SRV
	addrs   []netip.Addr    // the good ones, for A and AAAA
	glue    map[string]host // addresses of other names that came along
	exact   bool            // of the names in glue, no address was left out
	edns    bool            // the server knows EDNS (RFC 6891)
	sample  int             // the answer is a part of so many records, as the server says; 0: it does not say so
	stale   bool            // the server says that it could not learn of changes: see stale.go

	aa          bool   // the server has authority for the zone
	endless     bool   // the CNAMEs go in a circle, or the chain is too long
	soa         bool   // the authority section has a SOA that covers alias
	zone        string // the owner of that SOA
	negativeTTL uint32 // RFC 2308 section 5: the smaller of its TTL and its minimum
	referral    bool   // "ask elsewhere": no data, no SOA, not authoritative, but NS
}

// srv is the RDATA of a SRV record.
type srv struct {
	priority, weight, port uint16
	target                 string // canonical
}

// host is the addresses of a name.
type host struct {
	addrs []netip.Addr
	ttl   uint32
}

// canonicalName returns the absolute name in lower case, as it would be read from a
// message: "_Math._tcp.svc" is "_math._tcp.svc.".
func canonicalName(name string) (string, error) {
	fqdn := dns.CanonicalName(name)
	if fqdn == "." {
		return "", errors.New("an empty name")
	}
	var buf [256]byte
	n, err := dns.PackDomainName(fqdn, buf[:], 0, nil, false)
	if err != nil {
		return "", errors.New("not a domain name: labels have 1 to 63 octets, names at most 255")
	}
	out, _, err := dns.UnpackDomainName(buf[:n], 0)
	if err != nil {
		return "", errors.New("not a domain name")
	}
	return strings.ToLower(out), nil
}

// pack makes the query. It always asks for recursion, which the servers of the system need
// and an authoritative server ignores.
func (q question) pack(id uint16, edns bool) ([]byte, error) {
	m := new(dns.Msg)
	m.SetQuestion(q.name, uint16(q.typ))
	m.Id = id
	if edns {
		m.SetEdns0(udpSize, false)
	}
	return m.Pack()
}

const headerSize = 12

// answeredBy reports whether msg is a response to the question under this id, by the rules
// of RFC 5452 section 9.1. Any other message is ignored.
//
// Some servers leave the question out of an error. Then the id and the connected socket
// must be enough.
func (q question) answeredBy(msg []byte, id uint16) bool {
	if len(msg) < headerSize || binary.BigEndian.Uint16(msg) != id {
		return false
	}
	const qr, opcode = 0x80, 0x78
	if msg[2]&qr == 0 || msg[2]&opcode != 0 {
		return false
	}
	switch binary.BigEndian.Uint16(msg[4:]) {
	case 0:
		switch int(msg[3] & 0xf) {
		case dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused:
			return true
		}
		return false
	case 1:
		name, off, err := dns.UnpackDomainName(msg, headerSize)
		return err == nil && len(msg) >= off+4 && strings.EqualFold(name, q.name) &&
			binary.BigEndian.Uint16(msg[off:]) == uint16(q.typ) &&
			binary.BigEndian.Uint16(msg[off+2:]) == dns.ClassINET
	}
	return false
}

// parse reads a message that answers q. An error means that the message itself is
// broken. A record with broken RDATA is only counted, since the others are good:
// dns.Msg.Unpack would give up the whole message for it, so the records are read one by
// one.
func (q question) parse(msg []byte) (*reply, error) {
	const tc, aa = 0x02, 0x04
	rep := &reply{
		rcode:     int(msg[3] & 0xf),
		truncated: msg[2]&tc != 0,
		aa:        msg[2]&aa != 0,
		size:      len(msg),
		alias:     q.name,
		ttl:       1<<32 - 1,
	}
	if rep.truncated {
		return rep, nil
	}
	p := &parser{q: q, msg: msg, padded: append(slices.Clip(msg), 0), off: headerSize, glue: map[string]host{}}
	for range binary.BigEndian.Uint16(msg[4:]) {
		if err := p.skipQuestion(); err != nil {
			return nil, err
		}
	}
	for section := range 3 {
		for range binary.BigEndian.Uint16(msg[6+2*section:]) {
			if err := p.record(section, rep); err != nil {
				return nil, err
			}
		}
	}
	p.follow(rep)
	rep.referral = rep.rcode == dns.RcodeSuccess && rep.records == 0 && rep.alias == q.name &&
		p.ns && !rep.soa && !rep.aa
	return rep, nil
}

// parser reads a message, one record after the other.
type parser struct {
	q       question
	msg     []byte
	padded  []byte // msg and an octet more
	off     int
	answers []answer // records of the answer section of the type asked for
	cnames  map[string]answer
	glue    map[string]host
	soas    []authority
	ns      bool
}

// answer is a record of the answer section.
type answer struct {
	owner string
	ttl   uint32
	srv   srv
	addr  netip.Addr
	bad   bool
	cname string
}

// authority is a SOA record of the authority section.
type authority struct {
	owner string
	ttl   uint32
}

var errShort = errors.New("malformed reply: a record ends after the message")

func (p *parser) name(off int) (name string, end int, err error) {
	name, end, err = dns.UnpackDomainName(p.msg, off)
	if err != nil {
		return "", 0, fmt.Errorf("malformed reply: a name at octet %d: %w", off, err)
	}
	return strings.ToLower(name), end, nil
}

func (p *parser) skipQuestion() error {
	_, off, err := p.name(p.off)
	if err != nil {
		return err
	}
	if off+4 > len(p.msg) {
		return errShort
	}
	p.off = off + 4
	return nil
}

// record reads the next record. The section is 0 for answer, 1 for authority, 2 for
// additional.
func (p *parser) record(section int, rep *reply) error {
	owner, off, err := p.name(p.off)
	if err != nil {
		return err
	}
	const fixed = 10 // type, class, ttl, length
	if off+fixed > len(p.msg) {
		return errShort
	}
	head := p.msg[off : off+fixed]
	typ, class := binary.BigEndian.Uint16(head), binary.BigEndian.Uint16(head[2:])
	ttl := binary.BigEndian.Uint32(head[4:])
	begin := off + fixed
	end := begin + int(binary.BigEndian.Uint16(head[8:]))
	if end > len(p.msg) {
		return errShort
	}
	p.off = end
	if typ == dns.TypeOPT && section == 2 {
		rep.rcode |= int(ttl>>24) << 4 // RFC 6891 section 6.1.3
		rep.edns, rep.sample, rep.stale = true, sampled(p.msg[begin:end]), markedStale(p.msg[begin:end])
		return nil
	}
	if class != dns.ClassINET {
		return nil
	}
	if ttl > 1<<31-1 {
		ttl = 0 // RFC 2181 section 8
	}
	wanted := section == 0 && (typ == dns.TypeCNAME || typ == uint16(p.q.typ)) ||
		section == 1 && typ == dns.TypeSOA ||
		section != 1 && (typ == dns.TypeA || typ == dns.TypeAAAA)
	switch {
	case section == 1 && typ == dns.TypeNS:
		p.ns = true
	case wanted:
		h := dns.RR_Header{Name: owner, Rrtype: typ, Class: class, Ttl: ttl, Rdlength: uint16(end - begin)}
		// At the end of its message, miekg/dns takes RDATA that ends after any of its fields
		// as whole: a SOA without its minimum. So no RDATA ends there.
		rr, stop, err := dns.UnpackRRWithHeader(h, p.padded, begin)
		if err != nil || stop != end {
			rr = nil
		}
		p.keep(section, h, rr)
	}
	return nil
}

// sampled reads from the options of EDNS (RFC 6891 section 6.1.2) how many records the set
// has of which dnsd has sent a sample. dnsd says so by an Extended DNS Error (RFC 8914), whose
// text docs/dns-names.md has. 0: it does not say so.
func sampled(options []byte) int {
	for code, text := range extendedErrors(options) {
		var part, whole int
		if code == dns.ExtendedErrorCodeOther {
			if n, _ := fmt.Sscanf(text, "weighted sample: %d of %d records", &part, &whole); n == 2 && whole > 0 {
				return whole
			}
		}
	}
	return 0
}

// keep notes a record. rr is nil if its RDATA is broken.
func (p *parser) keep(section int, h dns.RR_Header, rr dns.RR) {
	a := answer{owner: h.Name, ttl: h.Ttl, bad: true}
	switch rr := rr.(type) {
	case *dns.SRV: // a compressed target is understood, although RFC 2782 does not allow it
		a.srv = srv{rr.Priority, rr.Weight, rr.Port, strings.ToLower(rr.Target)}
		a.bad = rr.Target == "" // no RDATA, which miekg/dns allows for dynamic updates
	case *dns.A:
		a.addr, a.bad = toAddr(rr.A)
	case *dns.AAAA:
		a.addr, a.bad = toAddr(rr.AAAA)
	case *dns.CNAME:
		if p.cnames == nil {
			p.cnames = map[string]answer{}
		}
		if rr.Target != "" {
			p.cnames[h.Name] = answer{ttl: h.Ttl, cname: strings.ToLower(rr.Target)}
		}
		return
	case *dns.SOA:
		if rr.Ns != "" {
			p.soas = append(p.soas, authority{h.Name, min(h.Ttl, rr.Minttl)})
		}
		return
	}
	if section == 0 && h.Rrtype == uint16(p.q.typ) {
		p.answers = append(p.answers, a)
		return
	}
	if a.bad {
		return
	}
	g, known := p.glue[h.Name]
	if !known || h.Ttl < g.ttl {
		g.ttl = h.Ttl
	}
	g.addrs = append(g.addrs, a.addr)
	p.glue[h.Name] = g
}

// toAddr reports bad for nil, which miekg/dns returns for RDATA without an octet.
func toAddr(ip net.IP) (addr netip.Addr, bad bool) {
	addr, ok := netip.AddrFromSlice(ip)
	return addr.Unmap(), !ok
}

// maxAliases bounds a chain of CNAMEs, in one message and over several.
const maxAliases = 8

// follow walks the CNAMEs from the name asked for and keeps the records at their end. The
// order of records in a message means nothing.
func (p *parser) follow(rep *reply) {
	for range maxAliases {
		c, ok := p.cnames[rep.alias]
		if !ok {
			break
		}
		rep.alias = c.cname
		rep.ttl = min(rep.ttl, c.ttl)
	}
	_, rep.endless = p.cnames[rep.alias]
	for _, a := range p.answers {
		if a.owner != rep.alias {
			continue
		}
		rep.records++
		switch {
		case a.bad:
			rep.bad++
			continue
		case p.q.typ == typeSRV:
			rep.srvs = append(rep.srvs, a.srv)
		default:
			rep.addrs = append(rep.addrs, a.addr)
		}
		rep.ttl = min(rep.ttl, a.ttl)
	}
	for _, s := range p.soas {
		if dns.IsSubDomain(s.owner, rep.alias) || dns.IsSubDomain(s.owner, p.q.name) {
			rep.soa, rep.zone, rep.negativeTTL = true, s.owner, s.ttl
		}
	}
	rep.glue = p.glue
}
