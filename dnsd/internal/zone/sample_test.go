package zone

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// many makes a service too large for a message, with a weight for each instance.
func many(t testing.TB, n int, weight func(i int) int, opts string) []*registry.Instance {
	t.Helper()
	var ins []*registry.Instance
	for i := range n {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_math._tcp/i%d 10.0.%d.%d:80 weight=%d %s", i, i>>8, i&255, weight(i), opts)))
	}
	return ins
}

func targets(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		out = append(out, rr.(*dns.SRV).Target)
	}
	return out
}

func TestSampleFitsAndSaysSo(t *testing.T) {
	z := newTestZone(t, testConfig(), 7, many(t, 5000, func(int) int { return 100 }, "")...)
	a := z.Lookup("_math._tcp.svc.", dns.TypeSRV)
	if a.Total != 5000 || a.Sampled != len(a.Answer) || a.Sampled < 1500 || a.Additional != nil {
		t.Fatalf("sampled %d of %d, %d records, %d additional", a.Sampled, a.Total, len(a.Answer), len(a.Additional))
	}
	msg, c, err := Pack(question("_math._tcp.svc.", dns.TypeSRV), a, maxMessage)
	if err != nil || c.TC || c.AN != a.Sampled || c.Total != 5000 {
		t.Fatalf("a sample of the SRV set: %+v, %v", c, err)
	}
	if len(msg) > setRoom || len(msg) < setRoom-300 {
		t.Errorf("the sample takes %d octets, want nearly %d", len(msg), setRoom)
	}
	if again := z.Lookup("_math._tcp.svc.", dns.TypeSRV); !slices.Equal(targets(a.Answer), targets(again.Answer)) {
		t.Error("two samples of one revision differ")
	}
	// All sets of the service, and the list of services, are bounded alike.
	if a := z.Lookup("math.tcp.svc.", dns.TypeA); a.Total != 5000 || a.Sampled != len(a.Answer) || a.Sampled < 4000 {
		t.Errorf("A: sampled %d of %d", a.Sampled, a.Total)
	}
	if a := z.Lookup("_math._tcp.svc.", dns.TypePTR); a.Total != 5000 || a.Sampled != len(a.Answer) {
		t.Errorf("PTR: sampled %d of %d", a.Sampled, a.Total)
	}
	// The transfer has them all.
	n := 0
	for rr := range second(z.Transfer()) {
		if rr.Header().Rrtype == dns.TypeSRV && rr.Header().Name == "_math._tcp.svc." {
			n++
		}
	}
	if n != 5000 {
		t.Errorf("the transfer has %d SRV records of 5000", n)
	}
}

func second[A, B any](_ A, b B) B { return b }

// TestSampleIsByWeight draws many times: an instance of ten times the weight is
// in the sample as often as weighted drawing predicts.
func TestSampleIsByWeight(t *testing.T) {
	ms := make([]member, 400)
	for i := range ms {
		ms[i] = newMember(&registry.Instance{Key: registry.Key{ID: fmt.Sprint("i", i)}, Weight: uint16(1 + i%2*9)})
	}
	var light, heavy int
	const draws = 200
	for draw := range uint64(draws) {
		got, total := sample(ms, draw, 20, func(member) int { return 1 })
		if len(got) != 20 || total != 400 {
			t.Fatalf("%d drawn of %d", len(got), total)
		}
		if !slices.IsSortedFunc(got, func(a, b member) int { return slices.Index(ms, a) - slices.Index(ms, b) }) {
			t.Fatal("the sample is not in the order of the set")
		}
		for _, m := range got {
			if m.Weight == 10 {
				heavy++
			} else {
				light++
			}
		}
	}
	// Half have weight 10: drawing one by one gives them 10/11, a little
	// less as they run out. 20 of 400 are few.
	if share := float64(heavy) / (20 * draws); math.Abs(share-10.0/11) > 0.03 {
		t.Errorf("%.3f of the sample have weight 10, want about %.3f (%d light)", share, 10.0/11, light)
	}
}

func TestSamplePrefersLowPriorities(t *testing.T) {
	ins := many(t, 3000, func(int) int { return 1 }, "")
	for i, in := range ins {
		in.Priority = uint16(10 + i%3)
	}
	z := newTestZone(t, testConfig(), 7, ins...)
	count := make(map[uint16]int)
	for _, rr := range z.Lookup("_math._tcp.svc.", dns.TypeSRV).Answer {
		count[rr.(*dns.SRV).Priority]++
	}
	if count[10] != 1000 || count[11] == 0 || count[12] != 0 {
		t.Errorf("by priority: %v, want all 1000 of 10, some of 11, none of 12", count)
	}
}

// TestSampleOutlivesChanges: most of the sample stays when the set changes, however
// many changes there were; in the next turn it is another.
func TestSampleOutlivesChanges(t *testing.T) {
	ins := many(t, 5000, func(int) int { return 100 }, "")
	z := newTestZone(t, testConfig(), 1024, ins...)
	before := targets(z.Lookup("_math._tcp.svc.", dns.TypeSRV).Answer)
	common := func() int {
		n := 0
		for _, target := range targets(z.Lookup("_math._tcp.svc.", dns.TypeSRV).Answer) {
			if slices.Contains(before, target) {
				n++
			}
		}
		return n
	}
	z.Apply([]registry.Change{{Revision: 2047, Old: ins[17]}})
	if n := common(); n < len(before)-3 {
		t.Errorf("one instance less, and only %d of %d stay", n, len(before))
	}
	z.Apply([]registry.Change{{Revision: 1 << 20, New: ins[17]}})
	if n := common(); n != len(before) {
		t.Errorf("the same set again, and only %d of %d are the same", n, len(before))
	}
	z.Redraw(1)
	if n := common(); n > len(before)/2 {
		t.Errorf("in the next turn %d of %d are the same", n, len(before))
	}
}

func TestListOfServicesIsSampled(t *testing.T) {
	var ins []*registry.Instance
	for i := range 5000 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_service-%d._tcp/a 10.0.0.1:80", i)))
	}
	z := newTestZone(t, testConfig(), 7, ins...)
	a := z.Lookup("_services._dns-sd._udp.svc.", dns.TypePTR)
	if a.Total != 5000 || a.Sampled != len(a.Answer) || a.Sampled < 1500 {
		t.Fatalf("sampled %d of %d, %d records", a.Sampled, a.Total, len(a.Answer))
	}
	if got := text(a.Answer); len(slices.Compact(got)) != a.Sampled {
		t.Error("the sample has a record twice")
	}
	for _, limit := range []int{512, 1232, 4096, 5000, maxMessage} {
		if !compare(t, z, wireName("_services._dns-sd._udp.svc."), dns.TypePTR, limit) {
			t.Errorf("limit %d: declined", limit)
		}
	}
	// It follows services that come and go.
	z.Apply([]registry.Change{{Revision: 8, Old: ins[0]}, {Revision: 9, New: parseInstance(t, "_a._udp/a 10.0.0.1:80")}})
	if !compare(t, z, wireName("_services._dns-sd._udp.svc."), dns.TypePTR, 512, maxMessage) {
		t.Error("declined")
	}
	if a := z.Lookup("_services._dns-sd._udp.svc.", dns.TypePTR); a.Total != 5000 {
		t.Errorf("the list is a sample of %d services", a.Total)
	}
}

// TestListOfServicesWithNamesOutOfReach: no compression pointer reaches the first
// _tcp in the list.
func TestListOfServicesWithNamesOutOfReach(t *testing.T) {
	var ins []*registry.Instance
	for i := range 1200 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_a%d._udp/a 10.0.0.1:80", i)))
	}
	for i := range 5 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_z%d._tcp/a 10.0.0.1:80", i)))
	}
	z := newTestZone(t, testConfig(), 7, ins...)
	if !compare(t, z, wireName("_services._dns-sd._udp.svc."), dns.TypePTR, 512, 1232, 4096, 5000, maxMessage) {
		t.Error("declined")
	}
}

// TestSamplesAreDrawnAgainInARegistryAtRest: all sets of a service, the list of
// services and the names at an address change with the turn, on both paths and
// only then, and in a few turns every instance has been in a sample.
func TestSamplesAreDrawnAgainInARegistryAtRest(t *testing.T) {
	ins := many(t, 2000, func(int) int { return 100 }, "")
	for i := range 6000 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_s%d._tcp/i 10.9.9.9:80", i)))
	}
	forward := newTestZone(t, testConfig(), 7, ins...)
	reverse := newTestZone(t, reverseConfig("10.in-addr.arpa."), 7, ins...)
	for _, q := range []struct {
		z     *Zone
		name  string
		qtype uint16
	}{
		{forward, "_math._tcp.svc.", dns.TypeSRV},
		{forward, "_services._dns-sd._udp.svc.", dns.TypePTR},
		{reverse, "9.9.9.10.in-addr.arpa.", dns.TypePTR},
	} {
		var last []string
		seen := make(map[string]bool)
		for turn := range uint64(8) {
			q.z.Redraw(turn)
			q.z.Redraw(turn)
			serial := q.z.Serial()
			a := q.z.Lookup(q.name, q.qtype)
			now := text(a.Answer)
			if a.Total == 0 || slices.Equal(now, last) {
				t.Errorf("%s: turn %d brings nothing new: %d of %d", q.name, turn, a.Sampled, a.Total)
			}
			if !compare(t, q.z, wireName(q.name), q.qtype, 1232, maxMessage) || q.z.Serial() != serial {
				t.Errorf("%s: the images have another turn", q.name)
			}
			for _, rr := range now {
				seen[rr] = true
			}
			last = now
		}
		if n := q.z.Lookup(q.name, q.qtype).Total; len(seen) < n*9/10 {
			t.Errorf("%s: in eight turns only %d of %d records", q.name, len(seen), n)
		}
	}
}
