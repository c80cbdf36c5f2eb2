package zone

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// compare compares AppendAnswer with Lookup and Pack at each limit: octets and counts
// must be the same. It returns false if AppendAnswer declined.
func compare(t rapid.TB, z *Zone, qname []byte, qtype uint16, limits ...int) bool {
	t.Helper()
	name, _, err := dns.UnpackDomainName(qname, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := z.Lookup(name, qtype)
	for _, limit := range limits {
		if !compareAt(t, z, a, name, qname, qtype, limit) {
			return false
		}
	}
	return true
}

func compareAt(t rapid.TB, z *Zone, a Answer, name string, qname []byte, qtype uint16, limit int) bool {
	t.Helper()
	msg := append(make([]byte, headerSize, 600), qname...)
	msg = append(msg, byte(qtype>>8), byte(qtype), 0, 1)
	msg[5] = 1
	got, gc, ok := z.AppendAnswer(slices.Clone(msg), qname, qtype, limit)
	if !ok {
		if !bytes.Equal(got, msg) {
			t.Fatalf("%s %s: declined, but the message changed", name, dns.TypeToString[qtype])
		}
		return false
	}
	want, wc, err := Pack(slices.Clone(msg), a, limit)
	if err != nil {
		t.Fatal(err)
	}
	if gc != wc || !bytes.Equal(got, want) {
		t.Fatalf("%s %s, limit %d:\ngot  %+v\n%swant %+v\n%s", name, dns.TypeToString[qtype], limit,
			gc, dig(message(t, got, gc), gc), wc, dig(message(t, want, wc), wc))
	}
	if len(got) > max(limit, len(msg)) {
		t.Fatalf("%s %s: %d octets, limit %d", name, dns.TypeToString[qtype], len(got), limit)
	}
	return true
}

// mixCase is what a resolver with 0x20 does.
func mixCase(name []byte, bits uint64) []byte {
	out := slices.Clone(name)
	for i, c := range out {
		if 'a' <= c && c <= 'z' && bits>>(i%64)&1 == 1 {
			out[i] = c - 'a' + 'A'
		}
	}
	return out
}

var allTypes = []uint16{
	dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT, dns.TypeSOA,
	dns.TypeNS, dns.TypeANY, dns.TypeMX, dns.TypeDS, dns.TypeCNAME, dns.TypeHTTPS, 0, 65280,
}

// bigZone has services of the sizes at which something changes, with all sorts
// of instances.
func bigZone(t testing.TB, cfg Config) *Zone {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	var ins []*registry.Instance
	add := func(service, host string, i int, opts string) {
		ins = append(ins, parseInstance(t, fmt.Sprintf("%s/i%d %s:%d weight=%d %s", service, i, host, 1+i%60000, rnd.IntN(1000), opts)))
	}
	v4 := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
	v6 := func(i int) string { return fmt.Sprintf("[2001:db8::%x]", i+1) }
	for _, n := range []int{1, 10, 30, 200, 201, 256, 1000, 1700, 5000} {
		for i := range n {
			add(fmt.Sprintf("_n%d._tcp", n), v4(i), i, "")
		}
	}
	for i := range 700 {
		add("_six._udp", v6(i), i, "")
		add("_mixed._tcp", []string{v4(i), v6(i), "h" + fmt.Sprint(i%50) + ".example.com."}[i%3], i,
			fmt.Sprintf("priority=%d ttl=%ds", i%3, 5+i%7))
		add("_tiers._tcp", v4(i%9), i, fmt.Sprintf("priority=%d state=%s", i%40, []string{"up", "suspect"}[i%2]))
		add("_late._tcp", "a-host-with-a-long-name-"+fmt.Sprint(i)+".example.com.", i, "priority=1")
		add("_late._tcp", v4(i), i+1000, "priority=2")
		add("_one._tcp", "10.0.0.1", i, "")
	}
	for i := range 300 { // ids that differ after the octets that a member repeats
		ins = append(ins, parseInstance(t, fmt.Sprintf("_ids._tcp/instance-%d %s:80", i, v4(i))))
	}
	for _, id := range []string{"i", "in", "instance", "instancf", "instanc"} {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_ids._tcp/%s 10.9.9.9:80", id)))
	}
	for i := range 200 { // the fewest that are too many for a message
		host := strings.Repeat(strings.Repeat("a", 60)+".", 3) + fmt.Sprintf("%060d.", i)
		add("_longest._tcp", host+"example.", i, "")
		add("_longest._tcp", host+"ex.", i+200, "")
	}
	for i := range 4500 {
		add("_hosts._tcp", v4(i), i, "weight=0")
	}
	add("_inzone._tcp", "i1.inzone.tcp."+cfg.Origin, 0, "")
	add("_inzone._tcp", "10.0.0.1", 1, "")
	// Registered names of all relations to the names of addresses, in sets of all
	// sizes: below and above 16 KiB, whole and sampled.
	for _, n := range []int{12, 190, 700, 5000} {
		service, host := fmt.Sprintf("_in%d._tcp", n), fmt.Sprintf("in%d.tcp.%s", n, cfg.Origin)
		for i := range n {
			at := v4(i)
			if i%(1+n/12) == 0 {
				at = []string{
					fmt.Sprintf("i%d.%s", i+1, host), fmt.Sprintf("web.i%d.%s", i+1, host), host, "tcp." + cfg.Origin, "udp." + cfg.Origin,
					"ns." + cfg.Origin, cfg.Origin, "web.my" + cfg.Origin, "x." + host, "i1.n10.tcp." + cfg.Origin, "h.example.com.", fmt.Sprintf("i%d.%s", n-1, host),
				}[i/(1+n/12)%12]
			}
			add(service, at, i, "")
		}
	}
	for i, keys := range []int{0, 1, fewPairs, fewPairs + 1, 400} {
		in := parseInstance(t, fmt.Sprintf("_meta._tcp/i%d 10.0.0.1:80", i))
		in.Meta = make(map[string]string)
		for k := range keys {
			in.Meta[fmt.Sprint(k)] = ""
		}
		ins = append(ins, in)
	}
	add("_dns-sd._udp", "10.0.0.1", 1, "meta.a=b meta.version=1.2 meta.=x")
	return newTestZone(t, cfg, 5000, ins...)
}

// TestImagesAreWhatPackMakes asks for every kind of name, in services of every
// size, with every type, at many limits.
func TestImagesAreWhatPackMakes(t *testing.T) {
	for _, origin := range []string{"svc.", "disco.example.com."} {
		cfg := testConfig()
		cfg.Origin = origin
		if origin != "svc." { // names of its own that share more, and less
			cfg.NS = []NameServer{{Host: "a.dc." + origin, Addrs: cfg.NSAddrs}, {Host: "ns.example.com."}}
			cfg.Hostmaster = "admin.dc." + origin
		}
		z := bigZone(t, cfg)
		names := []string{
			"", "ns.", "nobody.", "x.ns.", "y.x.ns.", "hostmaster.", "x.hostmaster.", "q.", "dc.", "a.dc.", "x.a.dc.", "admin.dc.", "x.admin.dc.", "x.dc.", "_tcp.", "tcp.", "_udp.", "udp.", "_dns-sd._udp.", "dns-sd.udp.",
			"_services._dns-sd._udp.", "x._services._dns-sd._udp.", "i1._dns-sd._udp.", "a.b.c.d.e.",
			"i.ids.tcp.", "in.ids.tcp.", "instance.ids.tcp.", "instanc.ids.tcp.", "instancf.ids.tcp.", "instance-.ids.tcp.", "instance-7.ids.tcp.",
			"instance-299._ids._tcp.", "instance-300._ids._tcp.", `i\000.ids.tcp.`, `\000.ids.tcp.`, `instance\000.ids.tcp.`, "a.ids.tcp.", "z.ids.tcp.",
		}
		for s := range z.current.Load().services.all() {
			if origin != "svc." && s.members.n > 700 {
				continue // nothing about the origin that a smaller one does not show
			}
			service, host := s.key+".", strings.ReplaceAll(s.key, "_", "")+"."
			names = append(names, service, host, "i0."+service, "i0."+host, "i1."+service, "i1."+host, "i2."+host, "i1002."+host, "nobody."+service, "x.i0."+host)
		}
		declined := make(map[string]bool)
		asked := 0
		for i, name := range names {
			qname := mixCase(wireName(name+origin), uint64(i)*0x9e3779b97f4a7c15)
			for _, qtype := range allTypes {
				asked++
				if !compare(t, z, qname, qtype, 100, 512, 1232, 4096, 4097, 16384, 65535) {
					declined[name] = true
				}
			}
		}
		if len(declined) > 0 {
			t.Errorf("the fast path declines %v", declined)
		}
		if asked < 1000 {
			t.Errorf("only %d questions asked", asked)
		}
	}
}

// TestImagesOfAddressesAreWhatPackMakes does so in reverse zones.
func TestImagesOfAddressesAreWhatPackMakes(t *testing.T) {
	var ins []*registry.Instance
	for i, n := range []int{1, 3, 200, 201, 300, 2000, 5000} {
		for j := range n {
			service := []string{"_math._tcp", "_math._udp", "_m._tcp", fmt.Sprintf("_s%d._tcp", j%700)}[j%4]
			ins = append(ins, parseInstance(t, fmt.Sprintf("%s/i%d-%d 10.0.0.%d:80", service, i, j, i)))
			ins = append(ins, parseInstance(t, fmt.Sprintf("%s/v%d-%d [2001:db8::%d]:80", service, i, j, i)))
		}
	}
	for _, origin := range []string{"10.in-addr.arpa.", "in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."} {
		cfg := reverseConfig(origin)
		if origin == "in-addr.arpa." {
			cfg.NS = []NameServer{{Host: "ns.in-addr.arpa.", Addrs: addrs("192.0.2.53")}}
		}
		z := newTestZone(t, cfg, 7, ins...)
		names := []string{"", "ns.", "x.", "x.ns.", "0.", "10.", "tcp.", "_math._tcp.", "a.0.", `a\.0.`, `\000.`, "8.", "b.8.", "0.0.10.", "0.0.0.10.", "1.0.0.0.10."}
		_, records := z.Transfer()
		for rr := range records {
			if name := strings.TrimSuffix(rr.Header().Name, origin); !slices.Contains(names, name) {
				names = append(names, name, "x."+name, name[2:])
			}
		}
		for i, name := range names {
			qname := mixCase(wireName(name+origin), uint64(i)*0x9e3779b97f4a7c15)
			for _, qtype := range allTypes {
				if !compare(t, z, qname, qtype, 100, 512, 1232, 4096, 4097, 16384, 65535) {
					t.Errorf("the fast path declines %s%s", name, origin)
				}
			}
		}
	}
}

// TestLimitsCutBetweenRecords tries every limit of one answer.
func TestLimitsCutBetweenRecords(t *testing.T) {
	z := bigZone(t, testConfig())
	limits := slices.Collect(func(yield func(int) bool) {
		for limit := range 600 {
			if !yield(limit) {
				return
			}
		}
	})
	for _, name := range []string{"_n10._tcp.svc.", "_in12._tcp.svc.", "_mixed._tcp.svc.", "nobody.svc.", "x.ns.svc.", "i1._dns-sd._udp.svc.", "svc."} {
		for _, qtype := range []uint16{dns.TypeSRV, dns.TypeTXT, dns.TypeNS} {
			if !compare(t, z, wireName(name), qtype, limits...) {
				t.Fatalf("%s declined", name)
			}
		}
	}
}

// FuzzAppendAnswer holds the two paths together for any question at any limit,
// and the readable one against a crash.
func FuzzAppendAnswer(f *testing.F) {
	z := bigZone(f, testConfig())
	for _, name := range []string{"_n10._tcp.svc.", "n10.tcp.svc.", "i1.n10.tcp.svc.", "i1._dns-sd._udp.svc.", "_services._dns-sd._udp.svc.", "svc.", "ns.svc.", "x.hostmaster.svc.", "_in700._tcp.svc.", "_in5000._tcp.svc.", `a\.b.svc.`, `\000.svc.`} {
		f.Add(wireName(name), uint16(dns.TypeSRV), uint16(1232))
		f.Add(mixCase(wireName(name), 5), uint16(dns.TypeANY), uint16(100))
	}
	f.Add([]byte("\x04_tcp\x03svc\x00"), uint16(dns.TypePTR), uint16(512))
	f.Add([]byte{3, 's', 'v'}, uint16(1), uint16(0))
	f.Fuzz(func(t *testing.T, qname []byte, qtype, limit uint16) {
		name, n, err := dns.UnpackDomainName(qname, 0)
		if err != nil || n != len(qname) {
			msg := append(make([]byte, headerSize), qname...)
			if out, _, ok := z.AppendAnswer(msg, qname, qtype, int(limit)); ok || len(out) != len(msg) {
				t.Fatalf("an answer for a name that is none: %x", qname)
			}
			return
		}
		if !compare(t, z, qname, qtype, int(limit)) {
			msg, c, err := Pack(question(name, qtype), z.Lookup(name, qtype), int(limit))
			if err != nil {
				t.Fatal(err)
			}
			message(t, msg, c)
		}
	})
}

// TestAnswersAllocateNothing counts for every kind of answer.
func TestAnswersAllocateNothing(t *testing.T) {
	z := bigZone(t, testConfig())
	buf := make([]byte, 0, 65536)
	for _, q := range []struct {
		name  string
		qtype uint16
		limit int
	}{
		{"_n10._tcp.svc.", dns.TypeSRV, 1232},
		{"_n10._tcp.svc.", dns.TypeSRV, 300},
		{"_N10._tcp.svc.", dns.TypePTR, 1232},
		{"_n5000._tcp.svc.", dns.TypeSRV, 1232},
		{"_n5000._tcp.svc.", dns.TypeSRV, 65535},
		{"_n10._tcp.svc.", dns.TypeMX, 1232},
		{"n10.tcp.svc.", dns.TypeA, 1232},
		{"six.udp.svc.", dns.TypeAAAA, 1232},
		{"i1.n10.tcp.svc.", dns.TypeA, 1232},
		{"i4999.n5000.tcp.svc.", dns.TypeA, 1232},
		{"i1._n10._tcp.svc.", dns.TypeSRV, 1232},
		{"i2._mixed._tcp.svc.", dns.TypeSRV, 1232},
		{"i2.mixed.tcp.svc.", dns.TypeA, 1232},
		{"i1._dns-sd._udp.svc.", dns.TypeTXT, 1232},
		{"_nobody._tcp.svc.", dns.TypeSRV, 1232},
		{"i1.nobody.tcp.svc.", dns.TypeA, 1232},
		{"nobody.svc.", dns.TypeA, 1232},
		{"_tcp.svc.", dns.TypeA, 1232},
		{"svc.", dns.TypeSOA, 1232},
		{"svc.", dns.TypeNS, 1232},
		{"ns.svc.", dns.TypeA, 1232},
		{"_services._dns-sd._udp.svc.", dns.TypePTR, 1232},
	} {
		msg := question(q.name, q.qtype)
		qname := msg[headerSize : len(msg)-4]
		ok := true
		if n := testing.AllocsPerRun(100, func() {
			_, _, answered := z.AppendAnswer(append(buf[:0], msg...), qname, q.qtype, q.limit)
			ok = ok && answered
		}); n != 0 || !ok {
			t.Errorf("%s %s: %v allocations, answered %v", q.name, dns.TypeToString[q.qtype], n, ok)
		}
	}
}
