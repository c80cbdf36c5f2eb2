package zone

import (
	"errors"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// absentConfigs are a zone and a reverse zone without content, each with names of every
// kind: those that will exist, and those that will not.
func absentConfigs() map[string]struct {
	cfg   Config
	names []string
} {
	forward, reverse := testConfig(), reverseConfig("10.in-addr.arpa.")
	forward.Absent, reverse.Absent = true, true
	return map[string]struct {
		cfg   Config
		names []string
	}{
		"services": {forward, []string{
			"svc.", "ns.svc.", "x.ns.svc.", "hostmaster.svc.", "nobody.svc.", "tcp.svc.", "_tcp.svc.", "_udp.svc.", "_dns-sd._udp.svc.",
			"_services._dns-sd._udp.svc.", "_math._tcp.svc.", "math.tcp.svc.", "a1._math._tcp.svc.", "a1.math.tcp.svc.", "_MATH._tcp.SVC.", "a.b.c.d.e.svc.",
		}},
		"addresses": {reverse, []string{"10.in-addr.arpa.", "ns.10.in-addr.arpa.", "7.0.0.10.in-addr.arpa.", "0.0.10.in-addr.arpa.", "x.7.0.0.10.in-addr.arpa."}},
	}
}

// TestAZoneIsAbsentUntilItsFirstLoad: it has SERVFAIL for every name and type, on both
// paths, and afterwards is a zone like any other, also with nothing in it.
func TestAZoneIsAbsentUntilItsFirstLoad(t *testing.T) {
	for what, tc := range absentConfigs() {
		for _, ins := range [][]*registry.Instance{nil, {parseInstance(t, "_math._tcp/a1 10.0.0.7:80")}} {
			z, err := New(tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !z.Absent() || z.Serial() != 0 {
				t.Errorf("%s: a new zone: absent %t, serial %d", what, z.Absent(), z.Serial())
			}
			if d, ok := z.Journal(0); ok || d != nil {
				t.Errorf("%s: a difference from nothing: %v", what, d)
			}
			for _, name := range tc.names {
				for _, qtype := range allTypes {
					if a := z.Lookup(name, qtype); a.Rcode != dns.RcodeServerFailure || a.Answer != nil || a.Authority != nil || a.Additional != nil {
						t.Errorf("%s %s: %+v, want SERVFAIL alone", name, dns.TypeToString[qtype], a)
					}
					if !compare(t, z, wireName(name), qtype, 100, 512, maxMessage) {
						t.Errorf("%s %s: declined", name, dns.TypeToString[qtype])
					}
				}
			}
			if a := z.Lookup("example.com.", dns.TypeA); a.Rcode != dns.RcodeRefused || compare(t, z, wireName("example.com."), dns.TypeA, 512) {
				t.Errorf("%s: a name outside of the zone: %+v", what, a)
			}
			changed := z.Changed()
			z.Redraw(3)
			select {
			case <-changed:
				t.Errorf("%s: a change before the first Load", what)
			default:
			}
			z.Load(7, slices.Values(ins), nil)
			select {
			case <-changed:
			default:
				t.Errorf("%s: the first Load is no change", what)
			}
			cfg := tc.cfg
			cfg.Absent = false
			usual := newTestZone(t, cfg, 7, ins...)
			usual.Redraw(3)
			if z.Absent() || usual.Absent() {
				t.Errorf("%s: absent after Load: %t, %t", what, z.Absent(), usual.Absent())
			}
			checkSame(t, path{"absent at first", z}, path{"as usual", usual}, 512)
		}
	}
}

// TestAnAbsentZoneCannotCheckItsHosts: it must not say that a host has no address which
// it only has not heard of.
func TestAnAbsentZoneCannotCheckItsHosts(t *testing.T) {
	cfg := testConfig()
	cfg.Absent = true
	z, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	key := registry.Key{Service: "_math._tcp", ID: "b1"}
	for host, known := range map[string]bool{"10.0.0.1": true, "web.example.com.": true, "a1.math.tcp.svc.": false, "nobody.svc.": false} {
		err := z.CheckInstance(key, host)
		if known && err != nil || !known && !errors.Is(err, registry.ErrNotWriter) {
			t.Errorf("host %s: %v", host, err)
		}
	}
	z.Load(7, slices.Values([]*registry.Instance{parseInstance(t, "_math._tcp/a1 10.0.0.7:80")}), nil)
	var field *registry.FieldError
	if err := z.CheckInstance(key, "a1.math.tcp.svc."); err != nil {
		t.Error(err)
	}
	if err := z.CheckInstance(key, "nobody.svc."); !errors.As(err, &field) {
		t.Errorf("a host that is not there: %v", err)
	}
}

// TestAbsentIsNeverSeenAsEmpty lets readers ask while the first Load runs: they get
// SERVFAIL or the whole answer, on both paths, and never a name that does not exist.
func TestAbsentIsNeverSeenAsEmpty(t *testing.T) {
	cfg := testConfig()
	cfg.Absent = true
	ins := []*registry.Instance{parseInstance(t, "_math._tcp/a1 10.0.0.7:80")}
	for range 200 {
		z, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		started, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			close(started)
			for seen := false; !seen; {
				msg := question("_math._tcp.svc.", dns.TypeSRV)
				_, c, _ := z.AppendAnswer(msg, msg[headerSize:len(msg)-4], dns.TypeSRV, 512)
				a := z.Lookup("a1.math.tcp.svc.", dns.TypeA)
				if c.Rcode == dns.RcodeSuccess && c.AN == 1 {
					seen = true
				} else if c.Rcode != dns.RcodeServerFailure {
					t.Errorf("%+v", c)
				}
				if a.Rcode == dns.RcodeNameError || a.Rcode == dns.RcodeSuccess && len(a.Answer) == 0 || seen && len(a.Answer) == 0 {
					t.Errorf("%+v", a)
				}
			}
		}()
		<-started
		z.Load(7, slices.Values(ins), nil)
		<-done
	}
}

// TestStaleChangedTellsOfEachChange, and of nothing else.
func TestStaleChangedTellsOfEachChange(t *testing.T) {
	z, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct{ stale, told bool }{{false, false}, {true, true}, {true, false}, {false, true}} {
		ch := z.StaleChanged()
		z.SetStale(step.stale)
		told := false
		select {
		case <-ch:
			told = true
		default:
		}
		if told != step.told || z.Stale() != step.stale {
			t.Errorf("step %d: told %t, stale %t", i, told, z.Stale())
		}
	}
}
