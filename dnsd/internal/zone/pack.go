package zone

import (
	"errors"
	"sort"

	"github.com/miekg/dns"
)

// Counts is what the header of an answer has to say.
type Counts struct {
	Rcode          int
	AN, NS, AR     int  // records in the sections
	TC             bool // the answer or the authority is not whole
	Sampled, Total int  // see Answer
}

var errQuestion = errors.New("zone: pack: the message has no single whole question")

// Pack appends the answer to a message that holds a header and one question, and
// returns it with the numbers for the header, which it does not change. Names are
// compressed against the question, which keeps its case.
//
// The message is at most limit octets long: records that do not fit are left out,
// from the end. Additional records go without TC, others with TC (RFC 2181 section
// 9).
func Pack(msg []byte, a Answer, limit int) ([]byte, Counts, error) {
	c := Counts{Rcode: a.Rcode, Sampled: a.Sampled, Total: a.Total}
	end := questionEnd(msg)
	if end < 0 || end != len(msg) {
		return msg, c, errQuestion
	}
	// Compression compares octets, and our names are in lower case.
	var buf [maxName]byte
	lower := fold(&buf, msg[headerSize:end-4])
	qname, _, err := dns.UnpackDomainName(lower, 0)
	if err != nil {
		return msg, c, err
	}
	packed, ends, err := pack(qname, a)
	if err != nil {
		return msg, c, err
	}
	limit = min(limit, maxMessage)
	cut := false
	if a.Total > 0 && len(packed) > limit {
		// A sample that does not fit is not sent in part. The first records of
		// the set are sent with TC instead, which are cheap to find.
		a, cut, limit = Answer{Answer: a.first}, true, min(limit, headSize)
		c.Sampled, c.Total = 0, 0
		if packed, ends, err = pack(qname, a); err != nil {
			return msg, c, err
		}
	}
	keep := sort.Search(len(ends), func(i int) bool { return ends[i] > limit })
	c.AN = min(keep, len(a.Answer))
	c.NS = min(keep-c.AN, len(a.Authority))
	c.AR = keep - c.AN - c.NS
	c.TC = cut || c.AN < len(a.Answer) || c.NS < len(a.Authority)
	if keep > 0 {
		msg = append(msg, packed[end:ends[keep-1]]...)
	}
	return msg, c, nil
}

// pack makes the message that answers a question for qname, in lower case,
// and returns where each of its records ends.
func pack(qname string, a Answer) ([]byte, []int, error) {
	m := dns.Msg{
		Compress: true,
		Question: []dns.Question{{Name: qname, Qtype: dns.TypeA, Qclass: dns.ClassINET}},
		Answer:   a.Answer, Ns: a.Authority, Extra: a.Additional,
	}
	packed, err := m.Pack()
	if err != nil {
		return nil, nil, err
	}
	ends, err := recordEnds(packed, questionEnd(packed))
	return packed, ends, err
}

// questionEnd returns where the question ends, -1 if it is not whole.
func questionEnd(msg []byte) int {
	for i := headerSize; i < len(msg); i += 1 + int(msg[i]) {
		switch {
		case msg[i] == 0 && i+5 <= len(msg):
			return i + 5
		case msg[i] == 0 || msg[i] > 63:
			return -1
		}
	}
	return -1
}

// recordEnds returns where each record of a packed message ends.
func recordEnds(msg []byte, off int) ([]int, error) {
	var ends []int
	for off < len(msg) {
		_, end, err := dns.UnpackDomainName(msg, off)
		if err != nil || end+10 > len(msg) {
			return nil, errors.New("zone: pack: a record is not whole")
		}
		off = end + 10 + int(msg[end+8])<<8 + int(msg[end+9])
		ends = append(ends, off)
	}
	return ends, nil
}

// Tests: answer_test.go.
