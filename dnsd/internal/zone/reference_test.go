package zone

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// reference is the zone as a list of records in presentation form, made instance by
// instance from the rules, without regard to speed. The real zone must say the same.
type reference struct {
	rrs  []string            // "owner ttl IN type rdata"
	sets map[string][]string // the same, by "owner type"
	ttl  map[string]uint32   // by "owner type"
}

const referenceSOA = "svc.\t5\tIN\tSOA\tns.svc. hostmaster.svc. %d 60 10 604800 5"

func newReference(instances []*registry.Instance) *reference {
	r := &reference{ttl: make(map[string]uint32), sets: make(map[string][]string)}
	type record struct{ owner, rrtype, rdata string }
	var records []record
	add := func(owner, rrtype string, ttl uint32, rdata string) {
		rec := record{owner, rrtype, rdata}
		if !slices.Contains(records, rec) { // RFC 2181 section 5
			records = append(records, rec)
		}
		set := owner + " " + rrtype
		if old, ok := r.ttl[set]; !ok || ttl < old { // RFC 2181 section 5.2
			r.ttl[set] = ttl
		}
	}
	add("svc.", "NS", 5, "ns.svc.")
	add("ns.svc.", "A", 5, "192.0.2.53")
	add("ns.svc.", "AAAA", 5, "2001:db8::53")
	for _, in := range instances {
		priority := int(in.Priority)
		switch in.State {
		case registry.Drained:
			continue
		case registry.Suspect:
			priority = min(priority+1000, 65535)
		}
		ttl := max(uint32(in.TTL/time.Second), 1)
		name, proto, _ := strings.Cut(in.Service, ".")
		service := name + "." + proto + ".svc."
		host := name[1:] + "." + proto[1:] + ".svc."
		target := in.ID + "." + host
		if addr, err := netip.ParseAddr(in.Host); err != nil {
			target = in.Host
		} else {
			rrtype := "A"
			if addr.Is6() {
				rrtype = "AAAA"
			}
			add(target, rrtype, ttl, in.Host)
			add(host, rrtype, ttl, in.Host)
		}
		srv := fmt.Sprintf("%d %d %d %s", priority, in.Weight, in.Port, target)
		add(service, "SRV", ttl, srv)
		add(in.ID+"."+service, "SRV", ttl, srv)
		txt := `""`
		for _, k := range slices.Sorted(func(yield func(string) bool) {
			for k := range in.Meta {
				if !yield(k) {
					return
				}
			}
		}) {
			if txt == `""` {
				txt = ""
			}
			txt = strings.TrimSpace(txt + fmt.Sprintf(" %q", k+"="+in.Meta[k]))
		}
		add(in.ID+"."+service, "TXT", ttl, txt)
		add(service, "PTR", ttl, in.ID+"."+service)
		add("_services._dns-sd._udp.svc.", "PTR", 5, service)
	}
	for _, rec := range records {
		set := rec.owner + " " + rec.rrtype
		rr := fmt.Sprintf("%s\t%d\tIN\t%s\t%s", rec.owner, r.ttl[set], rec.rrtype, rec.rdata)
		r.rrs = append(r.rrs, rr)
		r.sets[set] = append(r.sets[set], rr)
		slices.Sort(r.sets[set])
	}
	slices.Sort(r.rrs)
	return r
}

// ask returns the rcode and the sorted records of a set, by the rules of RFC
// 1034 section 4.3.2, 4592 and 8020.
func (r *reference) ask(name, rrtype string) (rcode int, set []string) {
	name = strings.ToLower(name)
	if name != "svc." && !strings.HasSuffix(name, ".svc.") {
		return dns.RcodeRefused, nil
	}
	if set := r.sets[name+" "+rrtype]; set != nil {
		return dns.RcodeSuccess, set
	}
	for key := range r.sets {
		owner, _, _ := strings.Cut(key, " ")
		if owner == name || strings.HasSuffix(owner, "."+name) {
			return dns.RcodeSuccess, nil
		}
	}
	return dns.RcodeNameError, nil
}

// names are those that exist, their parents, and some that do not exist.
func (r *reference) names() []string {
	names := []string{"svc.", "nobody.svc.", "tcp.svc.", "udp.svc.", "_tcp.svc.", "_udp.svc.", "_dns-sd._udp.svc.", "_a._b._c._tcp.svc.", "example.com."}
	for _, rr := range r.rrs {
		owner, _, _ := strings.Cut(rr, "\t")
		for name := owner; name != "svc."; _, name, _ = strings.Cut(name, ".") {
			names = append(names, name, "nobody."+name, strings.ToUpper(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// check compares every name and type of the zone with the reference.
func (r *reference) check(t *rapid.T, z *Zone) {
	soa := fmt.Sprintf(referenceSOA, z.Serial())
	for _, name := range r.names() {
		for _, rrtype := range []string{"SRV", "A", "AAAA", "PTR", "TXT", "NS"} {
			rcode, want := r.ask(name, rrtype)
			a := z.Lookup(name, dns.StringToType[rrtype])
			got := text(a.Answer)
			if a.Rcode != rcode || !slices.Equal(got, want) {
				t.Fatalf("%s %s: %s %q, want %s %q", name, rrtype, dns.RcodeToString[a.Rcode], got, dns.RcodeToString[rcode], want)
			}
			negative := text(a.Authority)
			if len(want) == 0 && rcode != dns.RcodeRefused {
				if !slices.Equal(negative, []string{soa}) {
					t.Fatalf("%s %s: authority %q, want %q", name, rrtype, negative, soa)
				}
			} else if negative != nil {
				t.Fatalf("%s %s: authority %q besides an answer", name, rrtype, negative)
			}
			if rcode != dns.RcodeRefused {
				compare(t, z, wireName(name), dns.StringToType[rrtype], 150)
			}
			for _, rr := range text(a.Additional) {
				if !slices.Contains(r.rrs, rr) {
					t.Fatalf("%s %s: additional record %q is not in the zone", name, rrtype, rr)
				}
			}
		}
	}
	first, records := z.Transfer()
	if first.String() != soa {
		t.Fatalf("transfer begins with %s, want %s", first, soa)
	}
	if got := text(collect(records)); !slices.Equal(got, r.rrs) {
		t.Fatalf("transfer:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(r.rrs, "\n"))
	}
}

// drawInstance makes an instance from few names, addresses and TTLs, so that many
// are equal.
func drawInstance(t *rapid.T) *registry.Instance {
	in := &registry.Instance{
		Key: registry.Key{
			Service: rapid.SampledFrom([]string{"_math._tcp", "_math._udp", "_m._tcp", "_dns-sd._udp"}).Draw(t, "service"),
			ID:      rapid.SampledFrom([]string{"a", "a1", "a2", "math", "tcp", "b-c"}).Draw(t, "id"),
		},
		Host: rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "2001:db8::1", "h.example.com.", "a1.math.tcp.svc."}).Draw(t, "host"),
		Port: rapid.SampledFrom([]uint16{1, 65535}).Draw(t, "port"),
		// Few values, or there would be no ties.
		Priority: rapid.SampledFrom([]uint16{0, 10, 64900}).Draw(t, "priority"),
		Weight:   rapid.SampledFrom([]uint16{0, 100}).Draw(t, "weight"),
		TTL:      rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 5 * time.Second, 7 * time.Second}).Draw(t, "ttl"),
		State:    rapid.SampledFrom([]registry.State{registry.Up, registry.Unconfirmed, registry.Suspect, registry.Drained}).Draw(t, "state"),
	}
	if rapid.Bool().Draw(t, "meta") {
		in.Meta = map[string]string{"version": "1.2", "zone": "b"}
	}
	return in
}

// TestZoneSaysWhatTheReferenceSays changes a registry at random; after each
// batch every answer and the transfer are what the rules say, and each journal
// entry leads from the earlier zone to the present one. A zone that is loaded
// from the history says and remembers the same.
func TestZoneSaysWhatTheReferenceSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z, err := New(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		revision := rapid.SampledFrom([]uint64{0, 41, 1<<32 - 3, 1<<31 - 2}).Draw(t, "revision")
		z.Load(revision, func(func(*registry.Instance) bool) {}, nil)
		live := make(map[registry.Key]*registry.Instance)
		past := map[uint64][]string{revision: newReference(nil).rrs}
		published := []uint64{revision}
		var history []registry.Change
		sorted := func() (ins []*registry.Instance) {
			for _, in := range live {
				ins = append(ins, in)
			}
			// The order of registration is not that of the answers.
			rand.New(rand.NewPCG(1, revision)).Shuffle(len(ins), func(i, j int) { ins[i], ins[j] = ins[j], ins[i] })
			return ins
		}
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			var batch []registry.Change
			for range rapid.IntRange(1, 4).Draw(t, "changes") {
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
				past[revision] = newReference(sorted()).rrs
			}
			history = append(history, batch...)
			z.Apply(batch)
			published = append(published, revision)
			newReference(sorted()).check(t, z)
		}
		for _, since := range published {
			checkJournal(t, z, since, past)
		}
		again, err := New(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		again.Load(revision, slices.Values(sorted()), history)
		newReference(sorted()).check(t, again)
		for since := range past {
			checkJournal(t, again, since, past)
		}
	})
}

// checkJournal applies the journal to the zone of a revision. The result must be
// the present.
func checkJournal(t *rapid.T, z *Zone, since uint64, past map[uint64][]string) {
	d, ok := z.Journal(uint32(since))
	now := past[z.current.Load().revision]
	if !ok {
		// Allowed only when the difference is longer than the zone.
		difference := len(past[since]) + len(now)
		for _, rr := range past[since] {
			if slices.Contains(now, rr) {
				difference -= 2
			}
		}
		if difference <= len(now) {
			t.Fatalf("no journal since %d", since)
		}
		return
	}
	checkDelta(t, z, d, since, past[since], now)
}

// checkDelta applies a difference to the records of a revision, strictly: what it
// removes must be there, what it adds must not. A nil one leads nowhere.
func checkDelta(t rapid.TB, z *Zone, d *Delta, since uint64, was, now []string) {
	t.Helper()
	if d == nil {
		d = &Delta{From: z.soaAt(since), To: z.soaAt(since)}
	}
	if d.From.Serial != uint32(since) || d.To.Serial != z.Serial() {
		t.Fatalf("journal since %d leads from %d to %d", since, d.From.Serial, d.To.Serial)
	}
	records := slices.Clone(was)
	for _, rr := range text(d.Removed) {
		i := slices.Index(records, rr)
		if i < 0 {
			t.Fatalf("journal since %d removes what is not there: %s", since, rr)
		}
		records = slices.Delete(records, i, i+1)
	}
	for _, rr := range text(d.Added) {
		if slices.Contains(records, rr) {
			t.Fatalf("journal since %d adds what is there: %s", since, rr)
		}
		records = append(records, rr)
	}
	slices.Sort(records)
	if !slices.Equal(records, now) {
		t.Fatalf("journal since %d leads to\n%s\nwant\n%s", since, strings.Join(records, "\n"), strings.Join(now, "\n"))
	}
}
