package zone

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func reverseConfig(origin string) Config {
	return Config{Origin: origin, Forward: "svc."}
}

// reverseReference is the records of a reverse zone, made from the rules.
func reverseReference(origin string, instances []*registry.Instance) []string {
	rrs := []string{origin + "\t5\tIN\tNS\tns.svc."}
	ttl := make(map[string]uint32)
	for pass := range 2 {
		for _, in := range instances {
			addr, err := netip.ParseAddr(in.Host)
			if err != nil || in.State == registry.Drained {
				continue
			}
			owner := "in-addr.arpa."
			if addr.Is4() {
				for _, b := range addr.As4() {
					owner = fmt.Sprintf("%d.%s", b, owner)
				}
			} else {
				owner = "ip6.arpa."
				for _, b := range addr.As16() {
					owner = fmt.Sprintf("%x.%x.%s", b&15, b>>4, owner)
				}
			}
			if !strings.HasSuffix(owner, "."+origin) {
				continue
			}
			own := max(uint32(in.TTL.Seconds()), 1)
			if t, ok := ttl[owner]; pass == 0 && (!ok || own < t) {
				ttl[owner] = own
			}
			if pass == 1 {
				service := strings.ReplaceAll(in.Service, "_", "")
				rrs = append(rrs, fmt.Sprintf("%s\t%d\tIN\tPTR\t%s.%s.svc.", owner, ttl[owner], in.ID, service))
			}
		}
	}
	slices.Sort(rrs)
	return rrs
}

// TestReverseZone changes a registry at random and holds a reverse zone against
// the rules: every name, the transfer, and the journal, also after a restart.
func TestReverseZone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		origin := rapid.SampledFrom([]string{"in-addr.arpa.", "0.10.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."}).Draw(t, "origin")
		z, err := New(reverseConfig(origin))
		if err != nil {
			t.Fatal(err)
		}
		live := make(map[registry.Key]*registry.Instance)
		sorted := func() (ins []*registry.Instance) {
			for _, in := range live {
				ins = append(ins, in)
			}
			return ins
		}
		past := [][]string{reverseReference(origin, nil)}
		var history []registry.Change
		for range rapid.IntRange(1, 10).Draw(t, "changes") {
			in := drawInstance(t)
			c := registry.Change{Revision: uint64(len(past)), Old: live[in.Key], New: in}
			if c.Old != nil && rapid.Bool().Draw(t, "remove") {
				c.New = nil
				delete(live, in.Key)
			} else {
				live[in.Key] = in
			}
			history = append(history, c)
			z.Apply([]registry.Change{c})
			past = append(past, reverseReference(origin, sorted()))
		}
		again, err := New(reverseConfig(origin))
		if err != nil {
			t.Fatal(err)
		}
		again.Load(uint64(len(past)-1), slices.Values(sorted()), history)
		want := past[len(past)-1]
		for _, z := range []*Zone{z, again} {
			_, records := z.Transfer()
			if got := text(collect(records)); !slices.Equal(got, want) {
				t.Fatalf("transfer:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			checkReverseNames(t, z, want)
			for since := range past {
				checkReverseJournal(t, z, past, since)
			}
		}
	})
}

// checkReverseNames asks for every name, those above it and some beside it.
func checkReverseNames(t *rapid.T, z *Zone, records []string) {
	sets := make(map[string][]string)
	exists := map[string]bool{z.Origin(): true}
	names := []string{z.Origin(), "9." + z.Origin(), "1.0.0.127.in-addr.arpa."}
	for _, rr := range records {
		f := strings.Split(rr, "\t")
		if f[3] == "PTR" {
			sets[f[0]] = append(sets[f[0]], rr)
		}
		for name := f[0]; name != z.Origin(); _, name, _ = strings.Cut(name, ".") {
			exists[name] = true
			names = append(names, name, "x."+name, strings.ToUpper(name))
		}
	}
	for _, name := range names {
		a := z.Lookup(name, dns.TypePTR)
		want := dns.RcodeSuccess
		switch low := strings.ToLower(name); {
		case !strings.HasSuffix("."+low, "."+z.Origin()):
			want = dns.RcodeRefused
		case !exists[low]:
			want = dns.RcodeNameError
		}
		if got := text(a.Answer); a.Rcode != want || !slices.Equal(got, sets[strings.ToLower(name)]) {
			t.Fatalf("%s: %s %q, want %s %q", name, dns.RcodeToString[a.Rcode], got, dns.RcodeToString[want], sets[name])
		}
	}
}

func checkReverseJournal(t *rapid.T, z *Zone, past [][]string, since int) {
	d, ok := z.Journal(uint32(since))
	if !ok {
		t.Fatalf("no journal since %d", since)
	}
	checkDelta(t, z, d, uint64(since), past[since], past[len(past)-1])
}

func TestReverseZoneSaysWhatIsWrong(t *testing.T) {
	cfg := reverseConfig("svc.")
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "a reverse zone lies in in-addr.arpa. or ip6.arpa.") {
		t.Errorf("New: %v", err)
	}
}

// TestManyInstancesOnOneAddress: development machines run them all on 127.0.0.1.
func TestManyInstancesOnOneAddress(t *testing.T) {
	var ins []*registry.Instance
	for i := range 5000 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_math._tcp/i%d 127.0.0.1:%d", i, 1000+i)))
	}
	z := newTestZone(t, reverseConfig("0.0.127.in-addr.arpa."), 7, ins...)
	a := z.Lookup("1.0.0.127.in-addr.arpa.", dns.TypePTR)
	if a.Total != 5000 || a.Sampled != len(a.Answer) {
		t.Fatalf("sampled %d of %d", a.Sampled, a.Total)
	}
	for _, limit := range []int{512, maxMessage} {
		msg, c, err := Pack(question("1.0.0.127.in-addr.arpa.", dns.TypePTR), a, limit)
		if err != nil || len(msg) > limit || c.TC != (limit == 512) || c.AN == 0 {
			t.Errorf("limit %d: %d octets, %+v, %v", limit, len(msg), c, err)
		}
	}
}
