package zone

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// path is a way in which a zone comes to what it holds.
type path struct {
	name string
	zone *Zone
}

// pathTypes are the types with a record somewhere, and one without.
var pathTypes = []uint16{dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT, dns.TypeSOA, dns.TypeNS, dns.TypeANY, dns.TypeMX}

// checkSame compares two zones of equal serial octet by octet: the transfer in its order,
// and the answers to every name of them and some more, from images.
func checkSame(t rapid.TB, a, b path, limits ...int) {
	t.Helper()
	soa, records := a.zone.Transfer()
	soa2, records2 := b.zone.Transfer()
	if soa.String() != soa2.String() {
		t.Fatalf("%s has the SOA %s, %s %s", a.name, soa, b.name, soa2)
	}
	left, right := collect(records), collect(records2)
	if l, r := wireRecords(t, left), wireRecords(t, right); !slices.EqualFunc(l, r, bytes.Equal) {
		t.Fatalf("the transfers differ:\n%s: %v\n%s: %v", a.name, left, b.name, right)
	}
	names := map[string]bool{a.zone.origin: true, "_services._dns-sd._udp." + a.zone.origin: true}
	for _, rr := range left {
		names[rr.Header().Name] = true
		names["nobody."+rr.Header().Name] = true
	}
	for name := range names {
		qname := wireName(name)
		for _, qtype := range pathTypes {
			for _, limit := range limits {
				l, lc, lok := a.zone.AppendAnswer(question(name, qtype), qname, qtype, limit)
				r, rc, rok := b.zone.AppendAnswer(question(name, qtype), qname, qtype, limit)
				if lok != rok || lc != rc || !bytes.Equal(l, r) {
					t.Fatalf("%s %s, limit %d:\n%s: %+v\n%x\n%s: %+v\n%x", name, dns.TypeToString[qtype], limit, a.name, lc, l, b.name, rc, r)
				}
			}
		}
	}
}

// wireRecords packs records, each alone.
func wireRecords(t rapid.TB, rrs []dns.RR) (out [][]byte) {
	for _, rr := range rrs {
		buf := make([]byte, dns.Len(rr)+1)
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, buf[:n])
	}
	return out
}

// journey is what a registry does: changes from a start, one after another.
type journey struct {
	start   uint64
	first   []*registry.Instance
	changes []registry.Change // change i leads to revision start+1+i
}

// at returns the instances after n changes, in the order of their keys, as a registry
// gives them.
func (j *journey) at(n int) []*registry.Instance {
	live := make(map[registry.Key]*registry.Instance)
	for _, in := range j.first {
		live[in.Key] = in
	}
	for _, c := range j.changes[:n] {
		delete(live, c.Key())
		if c.New != nil {
			live[c.Key()] = c.New
		}
	}
	var out []*registry.Instance
	for _, in := range live {
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b *registry.Instance) int { return byKey(member{Instance: a}, member{Instance: b}) })
	return out
}

// load makes a zone that is loaded after n changes, with the history of the last known.
func (j *journey) load(t rapid.TB, cfg Config, n, known int) *Zone {
	z, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	z.Load(j.start+uint64(n), slices.Values(j.at(n)), j.changes[n-known:n])
	return z
}

// paths are ways to the end of the journey. step says how many changes come at once.
func (j *journey) paths(t rapid.TB, cfg Config, middle int, step func() int) []path {
	apply := func(z *Zone, from int) *Zone {
		for from < len(j.changes) {
			to := min(from+step(), len(j.changes))
			z.Apply(slices.Clone(j.changes[from:to]))
			from = to
		}
		return z
	}
	end := len(j.changes)
	all := []path{
		{"loaded at the end", j.load(t, cfg, end, 0)},
		{"loaded with history", j.load(t, cfg, end, end)},
		{"changed from the start", apply(j.load(t, cfg, 0, 0), 0)},
		{"loaded midway", apply(j.load(t, cfg, middle, middle), middle)},
	}
	// A follower that was loaded again, because its store was away or restored.
	again := j.load(t, cfg, 0, 0)
	again.Apply(slices.Clone(j.changes[:middle]))
	again.Load(j.start+uint64(end), slices.Values(j.at(end)), nil)
	return append(all, path{"loaded again", again})
}

// TestEqualSerialMeansEqualZone: several dnsd come to one state by different ways. At
// equal serials a secondary or a client must not be able to tell them apart.
func TestEqualSerialMeansEqualZone(t *testing.T) {
	for _, cfg := range []Config{testConfig(), reverseConfig("10.in-addr.arpa."), reverseConfig("8.b.d.0.1.0.0.2.ip6.arpa.")} {
		t.Run(cfg.Origin, rapid.MakeCheck(func(t *rapid.T) {
			j := drawJourney(t)
			all := j.paths(t, cfg, rapid.IntRange(0, len(j.changes)).Draw(t, "middle"), func() int { return rapid.IntRange(1, 4).Draw(t, "step") })
			turn := rapid.Uint64Range(0, 3).Draw(t, "turn")
			for _, p := range all {
				p.zone.Redraw(turn)
			}
			for _, p := range all[1:] {
				checkSame(t, all[0], p, 150, 512, maxMessage)
			}
		}))
	}
}

// drawJourney draws changes of few instances, so that most of them meet again.
func drawJourney(t *rapid.T) *journey {
	j := &journey{start: rapid.SampledFrom([]uint64{0, 1020, 1<<32 - 5, 1<<40 + 1023}).Draw(t, "start")}
	live := make(map[registry.Key]*registry.Instance)
	for range rapid.IntRange(0, 6).Draw(t, "first") {
		in := drawInstance(t)
		in.Revision = j.start
		live[in.Key] = in
	}
	for _, in := range live {
		j.first = append(j.first, in)
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "changes") {
		j.changes = append(j.changes, drawChange(t, live, j.start+1+uint64(i)))
	}
	return j
}

// TestEqualSerialMeansEqualSample: the same for sets that no message can hold, whose
// instances changed long ago, lately, or not at all.
func TestEqualSerialMeansEqualSample(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	j := &journey{start: 5000}
	add := func(line string) {
		in := parseInstance(t, line)
		in.Revision = uint64(len(j.first) + 1)
		j.first = append(j.first, in)
	}
	for i := range 2500 {
		add(fmt.Sprintf("_busy._tcp/i%d 10.0.%d.%d:80 weight=%d", i, i>>8, i&255, rnd.IntN(100)))
		add(fmt.Sprintf("_calm._udp/i%d 10.9.9.9:80 priority=%d", i, i%3))
	}
	for i := range 2000 {
		add(fmt.Sprintf("_s%d._tcp/i 10.1.1.1:80", i))
	}
	// More than one epoch of changes, most of them of one service.
	live := j.at(0)
	for i := range 1500 {
		n := rnd.IntN(len(live))
		if live[n].Service == "_calm._udp" {
			n = 0
		}
		now := *live[n]
		now.Weight, now.Revision = uint16(rnd.IntN(100)), j.start+1+uint64(i)
		j.changes = append(j.changes, registry.Change{Revision: now.Revision, Old: live[n], New: &now})
		live[n] = &now
	}
	gone := live[17]
	j.changes = append(j.changes, registry.Change{Revision: j.start + 1501, Old: gone})
	for _, tc := range []struct {
		cfg   Config
		names []string
	}{
		{testConfig(), []string{"_busy._tcp.svc.", "_calm._udp.svc.", "busy.tcp.svc.", "_services._dns-sd._udp.svc."}},
		{reverseConfig("10.in-addr.arpa."), []string{"9.9.9.10.in-addr.arpa.", "1.1.1.10.in-addr.arpa."}},
	} {
		all := j.paths(t, tc.cfg, 700, func() int { return 1 + rnd.IntN(50) })
		for turn := range uint64(3) {
			for _, p := range all {
				p.zone.Redraw(turn)
			}
			sampled := 0
			for _, name := range tc.names {
				for _, qtype := range []uint16{dns.TypeSRV, dns.TypePTR, dns.TypeA} {
					want, wc, _ := all[0].zone.AppendAnswer(question(name, qtype), wireName(name), qtype, maxMessage)
					sampled += wc.Sampled
					for _, p := range all[1:] {
						if got, c, _ := p.zone.AppendAnswer(question(name, qtype), wireName(name), qtype, maxMessage); c != wc || !bytes.Equal(got, want) {
							t.Errorf("turn %d: %s %s: %s gives %+v, %s %+v, or others", turn, name, dns.TypeToString[qtype], p.name, c, all[0].name, wc)
						}
					}
				}
			}
			if sampled == 0 {
				t.Error("no answer is a sample")
			}
		}
	}
}
