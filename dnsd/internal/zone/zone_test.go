package zone

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// testConfig is the zone of the tests.
func testConfig() Config {
	return Config{
		Origin:  "svc.",
		NSAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")},
	}
}

// parseInstance reads "_math._tcp/a1 10.0.0.7:8080 weight=100 ttl=5s up meta.k=v".
func parseInstance(t testing.TB, line string) *registry.Instance {
	t.Helper()
	f := strings.Fields(line)
	service, id, ok := strings.Cut(f[0], "/")
	i := strings.LastIndexByte(f[1], ':')
	port, err := strconv.ParseUint(f[1][i+1:], 10, 16)
	if !ok || err != nil {
		t.Fatalf("bad instance %q", line)
	}
	in := &registry.Instance{
		Key: registry.Key{Service: service, ID: id}, Host: strings.Trim(f[1][:i], "[]"), Port: uint16(port),
		Priority: 10, Weight: 100, TTL: 5 * time.Second, Lease: 15 * time.Second,
	}
	for _, opt := range f[2:] {
		k, v, _ := strings.Cut(opt, "=")
		n, nerr := strconv.ParseUint(v, 10, 16)
		switch {
		case k == "priority" && nerr == nil:
			in.Priority = uint16(n)
		case k == "weight" && nerr == nil:
			in.Weight = uint16(n)
		case k == "ttl":
			if in.TTL, err = time.ParseDuration(v); err != nil {
				t.Fatalf("bad instance %q: %v", line, err)
			}
		case k == "state":
			in.State = map[string]registry.State{"up": registry.Up, "unconfirmed": registry.Unconfirmed, "suspect": registry.Suspect, "drained": registry.Drained}[v]
		case strings.HasPrefix(k, "meta."):
			if in.Meta == nil {
				in.Meta = make(map[string]string)
			}
			in.Meta[k[len("meta."):]] = v
		default:
			t.Fatalf("bad instance %q: %s", line, opt)
		}
	}
	return in
}

// newTestZone makes a zone and loads the instances.
func newTestZone(t testing.TB, cfg Config, revision uint64, ins ...*registry.Instance) *Zone {
	t.Helper()
	z, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	z.Load(revision, slices.Values(ins), nil)
	return z
}

// question makes a message of a header and a question.
func question(qname string, qtype uint16) []byte {
	var buf [300]byte
	n, err := dns.PackDomainName(qname, buf[headerSize:], 0, nil, false)
	if err != nil {
		panic(err)
	}
	msg := append(buf[:headerSize+n:headerSize+n], byte(qtype>>8), byte(qtype), 0, 1)
	msg[5] = 1
	return msg
}

// message packs an answer as a nameserver would.
func message(t rapid.TB, msg []byte, c Counts) *dns.Msg {
	t.Helper()
	msg = slices.Clone(msg)
	msg[2], msg[3] = 0x84, byte(c.Rcode)
	if c.TC {
		msg[2] |= 2
	}
	for i, n := range []int{c.AN, c.NS, c.AR} {
		msg[6+2*i], msg[7+2*i] = byte(n>>8), byte(n)
	}
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("the answer does not parse: %v\n%x", err, msg)
	}
	return m
}

// dig prints a message as dig does, short of what varies.
func dig(m *dns.Msg, c Counts) string {
	var b strings.Builder
	flags := "qr aa"
	if m.Truncated {
		flags += " tc"
	}
	fmt.Fprintf(&b, ";; status: %s, flags: %s; ANSWER: %d, AUTHORITY: %d, ADDITIONAL: %d\n",
		dns.RcodeToString[m.Rcode], flags, len(m.Answer), len(m.Ns), len(m.Extra))
	if c.Total > 0 {
		fmt.Fprintf(&b, ";; sample: %d of %d\n", c.Sampled, c.Total)
	}
	for _, sec := range []struct {
		name string
		rrs  []dns.RR
	}{{"ANSWER", m.Answer}, {"AUTHORITY", m.Ns}, {"ADDITIONAL", m.Extra}} {
		if len(sec.rrs) > 0 {
			fmt.Fprintf(&b, ";; %s SECTION:\n", sec.name)
		}
		for _, rr := range sec.rrs {
			fmt.Fprintln(&b, rr)
		}
	}
	return b.String()
}

func text(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		out = append(out, rr.String())
	}
	slices.Sort(out)
	return out
}

func collect(seq iter.Seq[dns.RR]) []dns.RR { return slices.Collect(seq) }

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, `Origin: "" is not a domain name`},
		{Config{Origin: "svc"}, `Origin: "svc" is not a domain name that ends in a dot`},
		{Config{Origin: "."}, `Origin: the root cannot be a zone`},
		{Config{Origin: strings.Repeat("a.", 120)}, `Origin: ` + strings.Repeat("a.", 120) + ` is too long`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns"}}}, `NS[0]: ns: not a domain name`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns.tcp.svc."}}}, `NS[0]: ns.tcp.svc.: the name belongs to the services`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns1.dc.math.tcp.svc."}}}, `NS[0]: ns1.dc.math.tcp.svc.: the name belongs to the services`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "a.b.c._udp.svc."}}}, `NS[0]: a.b.c._udp.svc.: the name belongs to the services`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "svc."}}}, `NS[0]: svc.: it is the zone itself`},
		{Config{Origin: "svc."}, `NSAddrs: name server ns.svc.: the name is in the zone and has no address`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns.example."}, {Host: "a.svc."}}}, `NS[1]: a.svc.: the name is in the zone and has no address`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "a.svc.", Addrs: []netip.Addr{netip.IPv4Unspecified()}}}}, `NS[0]: a.svc.: address 0.0.0.0: is no address`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns.example."}, {Host: "NS.example."}}}, `NS[1]: NS.example.: the name is listed twice`},
		{Config{Origin: "10.in-addr.arpa.", Forward: "svc.", NS: []NameServer{{Host: "ns.7.10.in-addr.arpa."}}}, `NS[0]: ns.7.10.in-addr.arpa.: the name belongs to the addresses`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns.example."}}, Hostmaster: "a..b."}, `Hostmaster: "a..b." is not a domain name`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns.example."}}, NegativeTTL: 1500 * time.Millisecond}, `NegativeTTL: 1.5s; expected whole seconds`},
		{Config{Origin: "svc.", NS: []NameServer{{Host: "ns.example."}}, TTL: 2 * time.Second, NegativeTTL: 3 * time.Second}, `NegativeTTL: 3s is more than the TTL, 2s`},
	} {
		if _, err := New(tc.cfg); err == nil || !strings.HasPrefix(err.Error(), "zone: configure: "+tc.want) {
			t.Errorf("New(%+v) = %v, want %s...", tc.cfg, err, tc.want)
		}
	}
}

func TestSerialIsTheRevisionAndWraps(t *testing.T) {
	z := newTestZone(t, testConfig(), 1<<32-1, parseInstance(t, "_math._tcp/a1 10.0.0.7:8080"))
	if got := z.Serial(); got != 1<<32-1 {
		t.Fatalf("serial %d", got)
	}
	changed := z.Changed()
	z.Apply([]registry.Change{{Revision: 1 << 32, New: parseInstance(t, "_math._tcp/a2 10.0.0.8:8080")}})
	select {
	case <-changed:
	default:
		t.Error("Changed was not closed by the change")
	}
	if got := z.Serial(); got != 0 {
		t.Fatalf("serial %d after 2^32-1, want 0", got)
	}
	d, ok := z.Journal(1<<32 - 1)
	if !ok || d == nil || d.From.Serial != 1<<32-1 || d.To.Serial != 0 {
		t.Fatalf("Journal over the wrap: %v %v", d, ok)
	}
	if n := len(d.Added); n != 6 {
		t.Errorf("%d records added, want SRV, PTR, A of the service, SRV, TXT, A of the instance:\n%v", n, d.Added)
	}
	if _, ok := z.Journal(1); ok {
		t.Error("Journal knows the future")
	}
}
