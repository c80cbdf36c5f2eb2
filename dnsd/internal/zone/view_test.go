package zone

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

var viewTypes = []uint16{dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeANY}

// moment is a view, and what the rules say of its revision.
type moment struct {
	View
	said *reference
}

// TestADifferenceLeadsFromOneViewToAnother: for each name and type, and for what a client
// follows, from any view to any other. A name whose part Since does not name has not
// changed. A view says what the reference says, also long after its time.
func TestADifferenceLeadsFromOneViewToAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := testConfig()
		cfg.JournalSteps = rapid.SampledFrom([]int{0, 2, -1}).Draw(t, "steps")
		z, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		revision := rapid.SampledFrom([]uint64{0, 1<<32 - 3}).Draw(t, "revision")
		z.Load(revision, func(func(*registry.Instance) bool) {}, nil)
		live := make(map[registry.Key]*registry.Instance)
		moments := []moment{{z.View(), newReference(nil)}}
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			var batch []registry.Change
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				in := drawInstance(t)
				c := registry.Change{Old: live[in.Key], New: in}
				if c.Old != nil && rapid.Bool().Draw(t, "remove") {
					c.New = nil
					delete(live, in.Key)
				} else {
					live[in.Key] = in
				}
				revision++
				c.Revision = revision
				batch = append(batch, c)
			}
			z.Apply(batch)
			var ins []*registry.Instance
			for _, in := range live {
				ins = append(ins, in)
			}
			moments = append(moments, moment{z.View(), newReference(ins)})
		}
		var names []string
		for _, m := range moments {
			names = append(names, m.said.names()...)
		}
		slices.Sort(names)
		names = slices.Compact(names)
		for _, m := range moments {
			m.check(t, names)
		}
		now := moments[len(moments)-1]
		for _, m := range moments {
			view, parts, ok := z.Since(m.View)
			if !ok || view != now.View {
				t.Fatalf("since %d: revision %d, %t", m.Revision(), view.Revision(), ok)
			}
			checkDifference(t, m.View, now.View, names, parts)
			checkDifference(t, now.View, m.View, names, nil)
		}
	})
}

// check compares all names with the reference.
func (m moment) check(t *rapid.T, names []string) {
	t.Helper()
	soa := fmt.Sprintf(referenceSOA, uint32(m.Revision()))
	for _, name := range names {
		lower := strings.ToLower(name)
		var all []string
		for _, qtype := range viewTypes {
			want := m.said.sets[lower+" "+dns.TypeToString[qtype]]
			if lower == "svc." && qtype == dns.TypeSOA {
				want = []string{soa}
			}
			all = append(all, want...)
			if qtype == dns.TypeANY {
				slices.Sort(all)
				want = all
			}
			rrs := m.Set(name, qtype)
			if got := text(rrs); !slices.Equal(got, want) {
				t.Fatalf("%s %s at %d: %q, want %q", name, dns.TypeToString[qtype], m.Revision(), got, want)
			}
			if len(rrs) == 0 && rrs != nil {
				t.Fatalf("%s %s: an empty set is not nil", name, dns.TypeToString[qtype])
			}
		}
		var want []string
		for _, rr := range m.said.sets[lower+" SRV"] {
			want = append(want, rr)
			// The name of an instance has its own address alone; a service has those of all its
			// instances, also if one is the target of another.
			target := rr[strings.LastIndexByte(rr, ' ')+1:]
			_, host, _ := strings.Cut(target, ".")
			if host == hostsOf(lower) || target == hostsOf(lower) {
				want = append(want, m.said.sets[target+" A"]...)
				want = append(want, m.said.sets[target+" AAAA"]...)
			}
		}
		slices.Sort(want)
		want = slices.Compact(want) // two records may lead to one host
		if got := text(m.Followed(name)); !slices.Equal(got, want) {
			t.Fatalf("%s at %d: follows %q, want %q", name, m.Revision(), got, want)
		}
	}
}

// hostsOf is the name below which the instances of a service have their hosts, or the host
// of an instance.
func hostsOf(name string) string { return strings.ReplaceAll(name, "_", "") }

// checkDifference applies the differences between two views. parts are those that may
// have changed; nil: all.
func checkDifference(t *rapid.T, from, to View, names, parts []string) {
	t.Helper()
	deltas := make(map[string]*Delta)
	for _, name := range names {
		name = strings.ToLower(name)
		part := from.Part(name)
		if part != to.Part(strings.ToUpper(name)) {
			t.Fatalf("%s is in the parts %q and %q", name, part, to.Part(strings.ToUpper(name)))
		}
		d := deltas[part]
		if d == nil {
			d = &Delta{From: from.v.soa, To: to.v.soa}
			if parts == nil || slices.Contains(parts, part) {
				d = from.Difference(to, part)
			}
			deltas[part] = d
		}
		if d.From.Serial != uint32(from.Revision()) || d.To.Serial != uint32(to.Revision()) {
			t.Fatalf("a difference from %d to %d says %d to %d", from.Revision(), to.Revision(), d.From.Serial, d.To.Serial)
		}
		for _, qtype := range viewTypes {
			removed, added := d.Set(name, qtype)
			checkApplied(t, name+" "+dns.TypeToString[qtype], from.Set(name, qtype), removed, added, to.Set(name, qtype))
		}
		removed, added := d.Followed(name)
		checkApplied(t, "what follows "+name, from.Followed(name), removed, added, to.Followed(name))
	}
	for part, d := range deltas {
		for _, rr := range slices.Concat(d.Removed, d.Added) {
			if got := from.Part(rr.Header().Name); got != part {
				t.Fatalf("the difference of part %q has a record of part %q: %s", part, got, rr)
			}
		}
	}
}

// checkApplied applies a difference strictly: what it removes must be there, what it adds
// must not.
func checkApplied(t *rapid.T, what string, was, removed, added, is []dns.RR) {
	t.Helper()
	records := text(was)
	for _, rr := range text(removed) {
		i := slices.Index(records, rr)
		if i < 0 {
			t.Fatalf("%s: removes what is not there: %s", what, rr)
		}
		records = slices.Delete(records, i, i+1)
	}
	for _, rr := range text(added) {
		if slices.Contains(records, rr) {
			t.Fatalf("%s: adds what is there: %s", what, rr)
		}
		records = append(records, rr)
	}
	slices.Sort(records)
	if !slices.Equal(records, text(is)) {
		t.Fatalf("%s: leads to %q, want %q", what, records, text(is))
	}
}

// TestFollowedHasTheAddressesOfInstances: and those alone.
func TestFollowedHasTheAddressesOfInstances(t *testing.T) {
	z := newTestZone(t, testConfig(), 7,
		parseInstance(t, "_math._tcp/a1 10.0.0.7:9001"),
		parseInstance(t, "_math._tcp/a2 2001:db8::7:9001"),
		parseInstance(t, "_math._tcp/b web1.example.com.:9001"),
		parseInstance(t, "_math._tcp/c a3.math.tcp.svc.:9001"),
		parseInstance(t, "_math._udp/a4 10.0.0.8:9001"))
	for name, want := range map[string][]string{
		"_Math._tcp.svc.": {
			"_math._tcp.svc.\t5\tIN\tSRV\t10 100 9001 a1.math.tcp.svc.",
			"_math._tcp.svc.\t5\tIN\tSRV\t10 100 9001 a2.math.tcp.svc.",
			"_math._tcp.svc.\t5\tIN\tSRV\t10 100 9001 web1.example.com.",
			"_math._tcp.svc.\t5\tIN\tSRV\t10 100 9001 a3.math.tcp.svc.",
			"a1.math.tcp.svc.\t5\tIN\tA\t10.0.0.7", "a2.math.tcp.svc.\t5\tIN\tAAAA\t2001:db8::7",
		},
		"_math._udp.svc.":    {"_math._udp.svc.\t5\tIN\tSRV\t10 100 9001 a4.math.udp.svc.", "a4.math.udp.svc.\t5\tIN\tA\t10.0.0.8"},
		"a1._math._tcp.svc.": {"a1._math._tcp.svc.\t5\tIN\tSRV\t10 100 9001 a1.math.tcp.svc.", "a1.math.tcp.svc.\t5\tIN\tA\t10.0.0.7"},
		"b._math._tcp.svc.":  {"b._math._tcp.svc.\t5\tIN\tSRV\t10 100 9001 web1.example.com."},
		"no._math._tcp.svc.": nil, "_no._tcp.svc.": nil, "svc.": nil, "math.tcp.svc.": nil, "ns.svc.": nil, "example.com.": nil, "a..": nil,
	} {
		var got []string
		for _, rr := range z.View().Followed(name) { // in this order
			got = append(got, rr.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestAnInstanceOfManyNamesIsInOnePart: what a subscriber may ask for, and what each name
// depends on.
func TestAnInstanceOfManyNamesIsInOnePart(t *testing.T) {
	z := newTestZone(t, testConfig(), 7)
	reverse := newTestZone(t, reverseConfig("10.in-addr.arpa."), 7)
	for _, tc := range []struct {
		z          *Zone
		name, part string
	}{
		{z, "_math._tcp.svc.", "_math._tcp"},
		{z, "_MATH._TCP.SVC", "_math._tcp"},
		{z, "a1._math._udp.svc.", "_math._udp"},
		{z, "a1.math.tcp.svc.", "_math._tcp"},
		{z, "math.udp.svc.", "_math._udp"},
		{z, "_dns-sd._udp.svc.", "_dns-sd._udp"},
		{z, "_services._dns-sd._udp.svc.", listPart},
		{z, "svc.", ""},
		{z, "ns.svc.", ""},
		{z, "_tcp.svc.", noPart},
		{z, "tcp.svc.", noPart},
		{z, "nobody.svc.", noPart},
		{z, "a.b._math._tcp.svc.", noPart},
		{z, "example.com.", noPart},
		{z, "..", noPart},
		{reverse, "7.0.0.10.in-addr.arpa.", "0.0.7"},
		{reverse, "10.in-addr.arpa.", ""},
		{reverse, "7.0.0.11.in-addr.arpa.", noPart},
	} {
		if got := tc.z.View().Part(tc.name); got != tc.part {
			t.Errorf("%s: part %q, want %q", tc.name, got, tc.part)
		}
	}
}

func TestViewsOfAReverseZone(t *testing.T) {
	z := newTestZone(t, reverseConfig("10.in-addr.arpa."), 1, parseInstance(t, "_math._tcp/a1 10.0.0.7:9001"))
	const name = "7.0.0.10.in-addr.arpa."
	was := z.View()
	if got := text(was.Set(name, dns.TypeANY)); !slices.Equal(got, []string{name + "\t5\tIN\tPTR\ta1.math.tcp.svc."}) {
		t.Errorf("PTR: %q", got)
	}
	if rrs := was.Set(name, dns.TypeSRV); rrs != nil {
		t.Errorf("SRV: %q", rrs)
	}
	z.Apply([]registry.Change{{Revision: 2, New: parseInstance(t, "_math._tcp/a2 10.0.0.7:9001")}})
	now, parts, ok := z.Since(was)
	if !ok || !slices.Equal(parts, []string{"", "0.0.7"}) {
		t.Fatalf("parts %q, %t", parts, ok)
	}
	removed, added := was.Difference(now, "0.0.7").Set(name, dns.TypePTR)
	if len(removed) != 0 || len(added) != 1 || added[0].String() != name+"\t5\tIN\tPTR\ta2.math.tcp.svc." {
		t.Errorf("removed %q, added %q", removed, added)
	}
	if d := now.Difference(now, "0.0.7"); len(d.Removed)+len(d.Added) > 0 {
		t.Errorf("a view differs from itself: %v", d)
	}
}

// TestSinceNamesWhatChanged: by the journal, and without one.
func TestSinceNamesWhatChanged(t *testing.T) {
	for _, steps := range []int{0, 1, -1} {
		cfg := testConfig()
		cfg.JournalSteps = steps
		a1, b1 := parseInstance(t, "_a._tcp/1 10.0.0.1:80"), parseInstance(t, "_b._tcp/1 10.0.0.1:80")
		z := newTestZone(t, cfg, 1, a1)
		begin := z.View()
		expect := func(since View, want ...string) {
			t.Helper()
			now, parts, ok := z.Since(since)
			slices.Sort(parts)
			if !ok || now != z.View() || !slices.Equal(parts, want) {
				t.Errorf("%d steps: since %d: %q, %t; want %q", steps, since.Revision(), parts, ok, want)
			}
		}
		expect(begin)
		a2 := *a1
		a2.Weight++
		z.Apply([]registry.Change{{Revision: 2, Old: a1, New: &a2}})
		expect(begin, "", "_a._tcp")
		second := z.View()
		z.Apply([]registry.Change{{Revision: 3, New: b1}})
		expect(second, "", "_b._tcp", listPart)
		expect(begin, "", "_a._tcp", "_b._tcp", listPart)
		third := z.View()
		z.Apply([]registry.Change{{Revision: 4, Old: &a2}})
		expect(third, "", "_a._tcp", listPart)
		drained := parseInstance(t, "_c._tcp/1 10.0.0.1:80")
		drained.State = registry.Drained
		before := z.View()
		z.Apply([]registry.Change{{Revision: 5, New: drained}})
		if now, parts, ok := z.Since(before); !ok || now.Revision() != 5 || slices.Contains(parts, listPart) {
			t.Errorf("a drained instance: %q, %t", parts, ok)
		}
	}
}

// TestALoadMayChangeEverything: also one whose history reaches back to the view.
func TestALoadMayChangeEverything(t *testing.T) {
	in := parseInstance(t, "_a._tcp/1 10.0.0.1:80")
	history := []registry.Change{{Revision: 2, New: in}}
	load := func(z *Zone) {
		z.Load(2, slices.Values([]*registry.Instance{in}), history)
	}
	cfg := testConfig()
	cfg.Absent = true
	absent, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, z := range []*Zone{newTestZone(t, testConfig(), 1), newTestZone(t, reverseConfig("10.in-addr.arpa."), 1), absent} {
		before := z.View()
		load(z)
		now, parts, ok := z.Since(before)
		if ok || parts != nil || now != z.View() || now.Revision() != 2 {
			t.Errorf("%s: after a Load: %q, %t", z.Origin(), parts, ok)
		}
		if _, _, ok := z.Since(newTestZone(t, testConfig(), 2).View()); ok {
			t.Error("the view of another zone")
		}
		if _, _, ok := z.Since(View{}); ok {
			t.Error("the view of no zone")
		}
	}
}

// TestManyAddressesChangeAtOnce: more than are looked for one by one.
func TestManyAddressesChangeAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "instances")
		draw := func(i int) *registry.Instance {
			in := drawInstance(t)
			in.Key = registry.Key{Service: "_math._tcp", ID: fmt.Sprintf("i%d", i)}
			in.TTL, in.Host = 0, fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 50).Draw(t, "address"))
			return in
		}
		var ins []*registry.Instance
		for i := range n {
			ins = append(ins, draw(i))
		}
		z, err := New(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		z.Load(1, slices.Values(ins), nil)
		was := z.View()
		var batch []registry.Change
		for i := range rapid.IntRange(1, n).Draw(t, "changes") {
			batch = append(batch, registry.Change{Revision: uint64(i + 2), Old: ins[i], New: draw(i)})
		}
		z.Apply(batch)
		checkDifference(t, was, z.View(), []string{"_math._tcp.svc.", "math.tcp.svc.", "i0.math.tcp.svc."}, nil)
	})
}
