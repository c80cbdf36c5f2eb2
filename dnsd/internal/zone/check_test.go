package zone

import (
	"errors"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestCheckRefusesHostsThatAreNotThere(t *testing.T) {
	z := newTestZone(t, testConfig(), 7,
		parseInstance(t, "_math._tcp/a1 10.0.0.7:80"), parseInstance(t, "_six._udp/a1 [2001:db8::7]:80"),
		parseInstance(t, "_math._tcp/named web.example.com.:80"), parseInstance(t, "_math._tcp/gone 10.0.0.8:80 state=drained"))
	key := registry.Key{Service: "_math._tcp", ID: "b1"}
	for host, ok := range map[string]bool{
		"10.0.0.1": true, "2001:db8::1": true, "web.example.com.": true, "web.mysvc.": true, "xsvc.": true,
		"a1.math.tcp.svc.": true, "a1.six.udp.svc.": true, "math.tcp.svc.": true, "ns.svc.": true,
		"svc.": false, "nothere.svc.": false, "tcp.svc.": false, "hostmaster.svc.": false, "named.math.tcp.svc.": false,
		"gone.math.tcp.svc.": false, "a1.none.tcp.svc.": false, "b1.math.tcp.svc.": false, "x.a1.math.tcp.svc.": false,
	} {
		err := z.CheckInstance(key, host)
		var field *registry.FieldError
		if (err == nil) != ok || err != nil && (!errors.As(err, &field) || field.Field != "host" || field.Value != host) {
			t.Errorf("host %s: %v", host, err)
		}
	}
	if err := z.CheckInstance(registry.Key{Service: "_math._tcp", ID: "a1"}, "a1.math.tcp.svc."); err == nil || !strings.Contains(err.Error(), "is the name that the instance gets itself") {
		t.Errorf("its own name: %v", err)
	}
}

// longZone is a name of so many octets on the wire.
func longZone(octets int) string {
	name := ""
	for octets > 1 {
		n := min(octets-2, 63)
		if octets-2-n == 1 {
			n-- // no label is empty
		}
		name += strings.Repeat("z", n) + "."
		octets -= n + 1
	}
	return name
}

// TestNoNameIsLongerThan255Octets: an instance with longer names is not published, so
// that it does not spoil the sets and the transfer for all others, and CheckInstance says so.
func TestNoNameIsLongerThan255Octets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		octets := rapid.IntRange(maxName-usual-70, maxName-usual+2).Draw(t, "origin")
		origin := longZone(octets)
		if len(wireName(origin)) != octets {
			t.Fatalf("the origin has %d octets, want %d", len(wireName(origin)), octets)
		}
		cfg := Config{Origin: origin, NS: []NameServer{{Host: "ns.example."}}, Hostmaster: "hostmaster.example."}
		z, err := New(cfg)
		if octets > maxName-usual {
			if err == nil || !strings.Contains(err.Error(), "the names of instances need") {
				t.Fatalf("an origin of %d octets: %v", octets, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		reverse, err := New(Config{Origin: "10.in-addr.arpa.", Forward: origin, NS: cfg.NS, Hostmaster: cfg.Hostmaster})
		if err != nil {
			t.Fatal(err)
		}
		key := registry.Key{
			Service: "_" + strings.Repeat("s", rapid.IntRange(1, 62).Draw(t, "service")) + "._tcp",
			ID:      strings.Repeat("i", rapid.IntRange(1, 63).Draw(t, "id")),
		}
		in := &registry.Instance{Key: key, Host: "10.0.0.7", Port: 80, TTL: 5e9}
		other := *in
		other.ID, other.Service, other.Host = "a", "_o._tcp", "10.0.0.8"
		changes := []registry.Change{{Revision: 1, New: in}, {Revision: 2, New: &other}}
		z.Apply(changes)
		reverse.Apply(changes)
		longest := len(key.ID) + 1 + len(key.Service) + 1 + octets
		if err := z.CheckInstance(key, in.Host); (err != nil) != (longest > maxName) {
			t.Fatalf("names of %d octets: %v", longest, err)
		}
		want := 1 + 7 // the NS record, and for each service one in the list and six
		if longest <= maxName {
			want = 1 + 7 + 7
		}
		_, records := z.Transfer()
		got := collect(records)
		if len(got) != want {
			t.Fatalf("%d records with names of %d octets, want %d: %v", len(got), longest, want, got)
		}
		_, back := reverse.Transfer()
		for _, rr := range append(got, collect(back)...) {
			if _, err := dns.PackRR(rr, make([]byte, 4096), 0, nil, false); err != nil {
				t.Fatalf("%v cannot be packed: %v", rr, err)
			}
		}
		for _, name := range []string{"a._o._tcp.", "_o._tcp.", "a.o.tcp.", key.ID + "." + key.Service + ".", key.Service + "."} {
			if wire := wireName(name + origin); wire != nil && len(wire) <= maxName {
				for _, qtype := range allTypes {
					if !compare(t, z, wire, qtype, 512, maxMessage) {
						t.Fatalf("%s declined", name)
					}
				}
			}
		}
	})
}
