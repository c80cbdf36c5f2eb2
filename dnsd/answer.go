package dnsd

import (
	"encoding/binary"
	"fmt"
	"slices"
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
	question, err := q.Pack()
	if err != nil {
		return out, fmt.Errorf("dnsd: ask for %s: %w", name, err)
	}
	msg, c, err := answerTo(question, from, name, q.Question[0].Qtype, longestMessage)
	if err != nil {
		return out, err
	}
	// Additional records that do not fit are left out without TC (RFC 2181 section 9), so
	// the length does not say whether clients ask over TCP.
	_, overUDP, err := answerTo(question, from, name, q.Question[0].Qtype, datagram)
	if err != nil {
		return out, err
	}
	for i, n := range []int{c.AN, c.NS, c.AR} {
		binary.BigEndian.PutUint16(msg[6+2*i:], uint16(n))
	}
	var a dns.Msg
	if err := a.Unpack(msg); err != nil {
		return out, fmt.Errorf("dnsd: read the answer to %s: %w", name, err)
	}
	out.Status, out.Octets, out.UDP, out.Total = dns.RcodeToString[c.Rcode], len(msg), !overUDP.TC, c.Total
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

// answerTo is the message, of at most limit octets, with which a zone answers a question. The
// numbers in its header are still to be written.
func answerTo(question []byte, z *zone.Zone, name string, qtype uint16, limit int) ([]byte, zone.Counts, error) {
	msg, c, ok := z.AppendAnswer(slices.Clone(question), question[headerLen:len(question)-4], qtype, limit)
	if ok {
		return msg, c, nil
	}
	msg, c, err := zone.Pack(msg, z.Lookup(name, qtype), limit)
	if err != nil {
		return nil, c, fmt.Errorf("dnsd: answer %s: %w", name, err)
	}
	return msg, c, nil
}

// Tests: answer_test.go.
