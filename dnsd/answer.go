package dnsd

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

const (
	// headerLen is the length of a DNS header (RFC 1035 section 4.1.1), and longestMessage
	// that of a message over TCP (section 4.2.2).
	headerLen, longestMessage = 12, 65535
	// datagram is what fits into a datagram everywhere, less the OPT record: dnsd and most
	// resolvers use it.
	datagram = 1232 - 11
)

// answer is what the zone that has a name says to a question, as the name server would over
// TCP: it is read from the zone's own message.
func (b *block) answer(name, rrtype string) (hook.DNSAnswer, error) {
	out := hook.DNSAnswer{Name: name, Type: rrtype, Answer: []string{}}
	var from *zone.Zone
	for _, p := range b.zones {
		if p.cfg.Forward == "" && dns.IsSubDomain(p.cfg.Origin, name) {
			from = p.zone
		}
	}
	if from == nil {
		return out, fmt.Errorf("dnsd: no zone has %s", name)
	}
	var q dns.Msg
	q.SetQuestion(name, dns.StringToType[rrtype])
	msg, err := q.Pack()
	if err != nil {
		return out, fmt.Errorf("dnsd: ask for %s: %w", name, err)
	}
	msg, c, ok := from.AppendAnswer(msg, msg[headerLen:len(msg)-4], q.Question[0].Qtype, longestMessage)
	if !ok {
		if msg, c, err = zone.Pack(msg, from.Lookup(name, q.Question[0].Qtype), longestMessage); err != nil {
			return out, fmt.Errorf("dnsd: answer %s: %w", name, err)
		}
	}
	for i, n := range []int{c.AN, c.NS, c.AR} {
		binary.BigEndian.PutUint16(msg[6+2*i:], uint16(n))
	}
	var a dns.Msg
	if err := a.Unpack(msg); err != nil {
		return out, fmt.Errorf("dnsd: read the answer to %s: %w", name, err)
	}
	out.Status, out.Octets, out.UDP, out.Total = dns.RcodeToString[c.Rcode], len(msg), len(msg) <= datagram, c.Total
	for _, s := range []struct {
		to   *[]string
		from []dns.RR
	}{{&out.Answer, a.Answer}, {&out.Authority, a.Ns}, {&out.Additional, a.Extra}} {
		for _, rr := range s.from {
			*s.to = append(*s.to, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	return out, nil
}

// Tests: answer_test.go.
