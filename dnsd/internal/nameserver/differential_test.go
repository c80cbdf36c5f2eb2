package nameserver

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// legal is a difference that the RFCs allow, by rule and never by name.
type legal struct {
	rule, reason string
	holds        func(q question, ours, theirs *dns.Msg) bool
}

// question is one thing asked of all servers.
type question struct {
	name    string
	qtype   uint16
	network string
	size    int // of EDNS; 0 none
	do      bool

	there []dns.RR // the records of the zone at the name
}

func (q question) String() string {
	return fmt.Sprintf("%s %s over %s, EDNS %d, DO %t", q.name, dns.TypeToString[q.qtype], q.network, q.size, q.do)
}

func (q question) message() *dns.Msg {
	m := new(dns.Msg).SetQuestion(q.name, q.qtype)
	m.RecursionDesired = false
	if q.size > 0 {
		m.SetEdns0(uint16(q.size), q.do)
	}
	return m
}

// legalDifferences are tried in order; the first that holds explains the
// difference.
var legalDifferences = []legal{
	{
		"truncated", "RFC 2181 9: where TC is set, what is left in the answer is the server's choice; each has its own limit, so TC itself may differ",
		func(_ question, ours, theirs *dns.Msg) bool {
			return (ours.Truncated || theirs.Truncated) && ours.Rcode == theirs.Rcode && ours.Authoritative == theirs.Authoritative
		},
	},
	{
		"ANY", "RFC 8482 4.1: a server may answer ANY with one record set, and chooses which",
		func(q question, ours, theirs *dns.Msg) bool {
			return q.qtype == dns.TypeANY && ours.Rcode == theirs.Rcode && ours.Authoritative == theirs.Authoritative &&
				wholeSets(q, ours.Answer) && wholeSets(q, theirs.Answer)
		},
	},
	{
		"NS in authority", "RFC 1034 4.3.2 step 3: a positive answer may name the zone's servers; dnsd leaves them out to stay small",
		func(_ question, ours, theirs *dns.Msg) bool {
			return ours.Rcode == theirs.Rcode && ours.Authoritative == theirs.Authoritative && len(ours.Answer) > 0 &&
				same(ours.Answer, theirs.Answer) && len(ours.Ns) == 0 && onlyNS(theirs.Ns)
		},
	},
}

func onlyNS(rrs []dns.RR) bool {
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeNS {
			return false
		}
	}
	return len(rrs) > 0
}

// normal is a record as text, with its names in lower case: those that compress
// against the question take its case, and case is not part of a name (RFC
// 4343). The text of TXT does not change.
func normal(rr dns.RR) string {
	if rr.Header().Rrtype != dns.TypeTXT {
		return strings.ToLower(rr.String())
	}
	rr = dns.Copy(rr)
	rr.Header().Name = strings.ToLower(rr.Header().Name)
	return rr.String()
}

func normals(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		out = append(out, normal(rr))
	}
	slices.Sort(out)
	return out
}

func same(a, b []dns.RR) bool { return slices.Equal(normals(a), normals(b)) }

// wholeSets tells whether rrs are one or more whole record sets of the name
// asked for.
func wholeSets(q question, rrs []dns.RR) bool {
	types := make(map[uint16]bool)
	for _, rr := range rrs {
		types[rr.Header().Rrtype] = true
	}
	var want []dns.RR
	for _, rr := range q.there {
		if types[rr.Header().Rrtype] {
			want = append(want, rr)
		}
	}
	return len(rrs) > 0 && same(rrs, want)
}

// questions are every name of the zone, siblings and children that do not
// exist, and empty non-terminals, with every type and way to ask.
func questions(z *zone.Zone, rnd *rand.Rand) []question {
	names := map[string]bool{
		"tcp.svc.": true, "_tcp.svc.": true, "udp.svc.": true, "_udp.svc.": true, "_dns-sd._udp.svc.": true,
		"nope.svc.": true, "a.b.c.nope.svc.": true, "_none._tcp.svc.": true, "none.tcp.svc.": true, "*.svc.": true,
		`\000.svc.`: true, strings.Repeat("x", 63) + ".svc.": true, "ns.svc.": true, "x.ns.svc.": true,
		"tcp._tcp.svc.": true, "_tcp._tcp.svc.": true, "example.com.": true, "com.": true, "notsvc.": true,
	}
	soa, rest := z.Transfer()
	at := map[string][]dns.RR{soa.Hdr.Name: {soa}}
	for rr := range rest {
		at[rr.Header().Name] = append(at[rr.Header().Name], rr)
	}
	for name := range at {
		names[name] = true
		names["x."+name] = true
		if first, rest, ok := strings.Cut(name, "."); ok && rest != "" {
			names[first+"0."+rest] = true
		}
	}
	types := []uint16{
		dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT, dns.TypeSOA, dns.TypeNS, dns.TypeMX,
		dns.TypeCNAME, dns.TypeDS, dns.TypeHTTPS, dns.TypeANY, 65280,
	}
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	var out []question
	for _, n := range sorted {
		for _, qtype := range types {
			q := question{name: n, qtype: qtype, network: "udp", there: at[n], size: []int{0, 0, 512, 1232, 4096}[rnd.IntN(5)]}
			q.do = q.size > 0 && rnd.IntN(2) == 0
			if rnd.IntN(6) == 0 {
				q.network = "tcp"
			}
			if rnd.IntN(3) == 0 {
				q.name = mixCase(rnd, n)
			}
			out = append(out, q)
		}
	}
	return out
}

func mixCase(rnd *rand.Rand, name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' && rnd.IntN(2) == 0 {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// TestAnswersAreThoseOfNSDKnotAndBIND asks dnsd and NSD, Knot and BIND, which hold the
// same zone, the same thousands of questions.
func TestAnswersAreThoseOfNSDKnotAndBIND(t *testing.T) {
	needPeers(t)
	addrs, to := peerAddrs(t)
	z := testZone(t)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: to, TSIG: testKeys}}})
	c := &changer{z: z, rnd: rand.New(rand.NewPCG(3, 4)), revision: uint64(z.Serial())}
	for range 150 {
		c.step()
	}
	for _, in := range instances("_big._tcp", 60) {
		c.revision++
		change(z, c.revision, nil, in)
	}
	peers := startPeers(t, s.Addrs()[0], addrs)
	for _, p := range peers {
		p.waitSerial(t, z.Serial())
	}
	all := questions(z, rand.New(rand.NewPCG(5, 6)))
	us := peer{"dnsd", s.Addrs()[0]}
	explained := make(map[string]int)
	wrong := 0
	for _, q := range all {
		ours, err := us.exchange(q.message(), q.network)
		if err != nil {
			t.Fatalf("dnsd: %v: %v", q, err)
		}
		for _, p := range peers {
			theirs, err := p.exchange(q.message(), q.network)
			if err != nil {
				t.Fatalf("%s: %v: %v", p.name, q, err)
			}
			if rule := compare(q, ours, theirs); rule == "" {
				if wrong++; wrong <= 10 {
					t.Errorf("%v: %s differs\n--- dnsd\n%v\n--- %s\n%v", q, p.name, ours, p.name, theirs)
				}
			} else {
				explained[p.name+" "+rule]++
			}
		}
	}
	t.Logf("%d questions to 4 servers; %v", len(all), explained)
	if len(all) < 3000 {
		t.Errorf("only %d questions", len(all))
	}
	if wrong > 10 {
		t.Errorf("%d answers differ", wrong)
	}
}

// compare returns the rule that explains a difference, "same" if there is no
// difference, and "" if no rule explains it.
func compare(q question, ours, theirs *dns.Msg) string {
	if ours.Rcode == theirs.Rcode && ours.Authoritative == theirs.Authoritative && ours.Truncated == theirs.Truncated &&
		same(ours.Answer, theirs.Answer) && same(ours.Ns, theirs.Ns) {
		return "same"
	}
	for _, l := range legalDifferences {
		if l.holds(q, ours, theirs) {
			return l.rule
		}
	}
	return ""
}

func TestLegalDifferencesHaveAReason(t *testing.T) {
	for _, l := range legalDifferences {
		if !strings.HasPrefix(l.reason, "RFC ") {
			t.Errorf("%s: %q cites no RFC", l.rule, l.reason)
		}
	}
}

// TestClientsReadSetsOfEverySize: Go's resolver, miekg's client and dig read sets whole
// up to the largest that a message can hold; of a larger one they get a large sample.
func TestClientsReadSetsOfEverySize(t *testing.T) {
	for _, n := range []int{1, 2, 9, 10, 11, 50, 100, 500, 1000, 1500, 5000} {
		s := start(t, Config{Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", n)...)}}})
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			want := func(client string, got int) {
				t.Helper()
				if got != n && (n <= 1500 || got < 1000) {
					t.Errorf("%s read %d of %d records", client, got, n)
				}
			}
			want("net.Resolver", len(lookupSRV(t, s, "_math._tcp.svc.")))
			m := ask(t, s, "udp", "_math._tcp.svc.", dns.TypeSRV)
			if m.Truncated {
				m = ask(t, s, "tcp", "_math._tcp.svc.", dns.TypeSRV)
			}
			want("miekg/dns", len(m.Answer))
			t.Run("dig", func(t *testing.T) { want("dig", digSRV(t, s, "_math._tcp.svc.")) })
		})
	}
}

const clientTimeout = 10 * time.Second
