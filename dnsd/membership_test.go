package dnsd

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/member"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/kv"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// TestAddressForOthers: what other members dial.
func TestAddressForOthers(t *testing.T) {
	bound := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8054}
	own := boundAddrs([]string{"0.0.0.0:0"}, interfaceAddrs)[0].String()
	for _, tt := range []struct{ listen, advertise, want string }{
		{"10.0.0.1:8054", "", "10.0.0.1:8054"},
		{"10.0.0.1:0", "", "10.0.0.1:8054"},
		{"localhost:0", "", "127.0.0.1:8054"},
		{"0.0.0.0:8054", "", own + ":8054"},
		{"10.0.0.1:8054", "192.0.2.1:9000", "192.0.2.1:9000"},
		{"10.0.0.1:0", "node-1.example:0", "node-1.example:8054"},
	} {
		s := &SharedStore{Listen: tt.listen, Advertise: tt.advertise}
		if got := s.address(bound); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt, got, tt.want)
		}
	}
}

// TestHookForPeople: a URL that works from another machine.
func TestHookForPeople(t *testing.T) {
	for _, tt := range []struct{ addr, url, want string }{
		{"127.0.0.1:0", "http://127.0.0.1:8053", "http://127.0.0.1:8053"},
		{"localhost:8053", "http://127.0.0.1:8053", "http://127.0.0.1:8053"},
		{"10.0.0.7:8053", "https://10.0.0.7:8053", "https://10.0.0.7:8053"},
		{"0.0.0.0:8053", "https://127.0.0.1:8053", "https://10.0.0.1:8053"},
		{":8053", "http://[::1]:8053", "http://10.0.0.1:8053"},
		{"[::]:8053", "http://[::1]:8053", "http://10.0.0.1:8053"},
	} {
		if got := seenFrom("10.0.0.1:8054", tt.addr, tt.url); got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt, got, tt.want)
		}
	}
}

// TestUnlikelySharedStoresAreWarnedOf: what others cannot reach, and what is no safer.
func TestUnlikelySharedStoresAreWarnedOf(t *testing.T) {
	peers := func(n int, host string) (all []Peer) {
		for range n {
			all = append(all, Peer{URL: "https://" + host + ":2380"})
		}
		return all
	}
	for _, tt := range []struct {
		store   SharedStore
		address string
		want    string
	}{
		{SharedStore{Endpoints: []string{"http://127.0.0.1:2379"}}, "127.0.0.1:8054", ""},
		{SharedStore{Endpoints: []string{"https://10.0.0.1:2379"}}, "10.0.0.1:8054", ""},
		{SharedStore{Endpoints: []string{"https://10.0.0.1:2379"}}, "node.example:8054", ""},
		{SharedStore{Endpoints: []string{"https://10.0.0.1:2379"}}, "127.0.0.1:8054", "the other dnsd cannot reach this one at 127.0.0.1:8054"},
		{SharedStore{Peers: peers(3, "10.0.0.1")}, "[::1]:8054", "the other dnsd cannot reach this one at [::1]:8054"},
		{SharedStore{Peers: peers(1, "127.0.0.1")}, "127.0.0.1:8054", ""},
		{SharedStore{Peers: peers(3, "127.0.0.1")}, "127.0.0.1:8054", ""},
		{SharedStore{Peers: peers(2, "127.0.0.1")}, "127.0.0.1:8054", "of 2 peers 0 may be lost, as of 1"},
		{SharedStore{Peers: peers(4, "127.0.0.1")}, "127.0.0.1:8054", "of 4 peers 1 may be lost, as of 3"},
	} {
		if got := strings.Join(tt.store.doubtful("etcd", tt.address), "; "); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%+v at %s: got %q, want %q", tt.store, tt.address, got, tt.want)
		}
	}
}

// TestMembersMustHaveTheZoneAlike: what would make zones differ at one serial is compared,
// and nothing else.
func TestMembersMustHaveTheZoneAlike(t *testing.T) {
	told := func(change func(*Zone)) map[string]string {
		t.Helper()
		z := oneOf("a")
		z.Origins, z.Bind, z.Apex = []string{"svc."}, []string{"10.0.0.1:53"}, Apex{}
		change(&z)
		w, err := Config{Zones: []Zone{z}, Stores: noStores{}}.checked()
		if err != nil {
			t.Fatal(err)
		}
		return alike(w.told[0])
	}
	addrs := func(a string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(a)} }
	plain := told(func(*Zone) {})
	for name, tt := range map[string]struct {
		change func(*Zone)
		differ string // the settings that differ
	}{
		"nothing": {func(*Zone) {}, ""},
		"the defaults written": {func(z *Zone) {
			z.TTL, z.Apex.NegativeTTL, z.Apex.Hostmaster = 5*time.Second, 5*time.Second, "hostmaster.svc."
		}, ""},
		"another lease":   {func(z *Zone) { z.Lease.Default = time.Minute }, ""},
		"another hook":    {func(z *Zone) { z.Hook.Addr = "127.0.0.1:9999" }, ""},
		"another address": {func(z *Zone) { z.Bind = []string{"10.0.0.2:53"} }, "ns"},
		"a second zone":   {func(z *Zone) { z.Origins = append(z.Origins, "svc.example.") }, "zones"},
		"a reverse zone":  {func(z *Zone) { z.Reverse = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, "zones"},
		"name servers":    {func(z *Zone) { z.Apex.NS = []NameServer{{"ns1.svc.", addrs("10.0.0.1")}} }, "ns"},
		"a hostmaster":    {func(z *Zone) { z.Apex.Hostmaster = "admin.example." }, "hostmaster"},
		"TTLs":            {func(z *Zone) { z.TTL = 2 * time.Second }, "negative ttl"},
	} {
		var differ []string
		now := told(tt.change)
		for _, key := range []string{"hostmaster", "negative", "ns", "ttl", "zones"} {
			if now[key] != plain[key] || now[key] == "" {
				differ = append(differ, key)
			}
		}
		if got := strings.Join(differ, " "); got != tt.differ || len(now) != 5 {
			t.Errorf("%s: %q differ, want %q: %v, %v", name, got, tt.differ, now, plain)
		}
	}
	// Bounds of push are those of a dnsd. Its name is a record of the zone.
	for name, change := range map[string]func(*Push){
		"bounds": func(p *Push) { p.Sessions, p.PerAddress = 10, 5 },
		"off":    func(p *Push) { p.Off = true },
	} {
		if now := told(func(z *Zone) { change(&z.DNS.Push) }); !maps.Equal(now, plain) {
			t.Errorf("push %s: %v, want %v", name, now, plain)
		}
	}
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	selfSigned(t, cert, key)
	named := told(func(z *Zone) {
		z.DNS.TLS, z.DNS.TLSPort = TLS{Cert: cert, Key: key}, 853
		z.DNS.Push.Name, z.DNS.Push.Sessions = "dns.example.", 10
	})
	if named["push"] != "name dns.example. 853" || len(named) != 6 {
		t.Errorf("push name: %v", named)
	}
	// Name servers with their addresses are the same on every host.
	explicit := func(bind string) map[string]string {
		return told(func(z *Zone) {
			z.Bind, z.Apex.NS = []string{bind}, []NameServer{{"ns1.svc.", addrs("10.0.0.1")}, {Name: "ns.example."}}
		})
	}
	if a, b := explicit("10.0.0.1:53"), explicit("10.0.0.2:53"); a["ns"] != b["ns"] {
		t.Errorf("%s differs from %s", a["ns"], b["ns"])
	}
}

// inside is a store whose servers are inside dnsd.
type inside struct {
	*memkv.Store
	asked []string
	err   error
}

func (i *inside) AddMember(_ context.Context, name, peer string) error {
	i.asked = append(i.asked, "add "+name+" "+peer)
	return i.err
}

func (i *inside) RemoveMember(_ context.Context, name string) error {
	i.asked = append(i.asked, "remove "+name)
	return i.err
}

func (i *inside) Status(context.Context) kv.Status {
	return kv.Status{Nodes: []kv.Node{{Name: "a", URL: "http://127.0.0.1:2380"}, {URL: "http://127.0.0.1:2381"}}}
}

// TestReadyMeansNoOldAnswers: what asks /readyz first gets no answer that says it may be old.
func TestReadyMeansNoOldAnswers(t *testing.T) {
	reg, err := registry.Open(registry.Config{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	served, err := zone.New(zone.Config{Origin: "svc.", NSAddrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	m := &membership{kind: "etcd", reg: reg}
	m.zones.Store(&[]*published{{zone: served}})
	m.member, err = member.New(member.Config{
		Store: memkv.New(memkv.Config{}).Open("a"), Registry: reg, Prefix: "/rollcall/svc", Zone: "svc.", Name: "a",
		Address: "10.0.0.1:8054", Hook: "http://10.0.0.1:8053", Certificate: strings.Repeat("0", 64),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.ready(); err == nil || !served.Stale() {
		t.Errorf("before it runs: %v, stale %t", err, served.Stale())
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- m.member.Run(ctx) }()
	for changed := m.member.Changed(); m.ready() != nil; changed = m.member.Changed() {
		select {
		case <-changed:
		case <-time.After(healthEvery):
		}
	}
	if served.Stale() {
		t.Error("it is ready, and its answers say that they may be old")
	}
	cancel()
	<-over
}

// TestChangesOfPeersAreChecked: the store is asked only for what it can do.
func TestChangesOfPeersAreChecked(t *testing.T) {
	store := &inside{Store: memkv.New(memkv.Config{}).Open("a")}
	m := &membership{kind: "cluster", store: store, cfg: SharedStore{Peers: []Peer{{"a", "http://127.0.0.1:2380"}}}}
	add := func(name, peer string) error { return m.AddMember(t.Context(), name, peer) }
	var field *registry.FieldError
	for _, bad := range [][3]string{
		{"b,", "http://127.0.0.1:2382", "name"},
		{"b", "127.0.0.1:2382", "peer"},
		{"b", "https://127.0.0.1:2382", "peer"},
		{"b", "http://10.0.0.2:2380", "peer"},
		{"b", "http://root:secret@127.0.0.1:2380", "peer"},
	} {
		if err := add(bad[0], bad[1]); !errors.As(err, &field) || field.Field != bad[2] || strings.Contains(err.Error(), "2379") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, err := range []error{add("a", "http://127.0.0.1:2382"), add("b", "http://127.0.0.1:2380")} {
		if !errors.Is(err, hook.ErrMemberExists) {
			t.Errorf("%v, want ErrMemberExists", err)
		}
	}
	if err := m.RemoveMember(t.Context(), "c"); !errors.Is(err, hook.ErrNoMember) || !strings.Contains(err.Error(), "removed as 127.0.0.1:2381") {
		t.Errorf("%v, want ErrNoMember, and how the one that has not started is removed", err)
	}
	for _, name := range []string{"", "127.0.0.1:2380"} { // the latter has a name
		if err := m.RemoveMember(t.Context(), name); !errors.Is(err, hook.ErrNoMember) {
			t.Errorf("%q: %v, want ErrNoMember", name, err)
		}
	}
	if len(store.asked) > 0 {
		t.Errorf("the store was asked to %v", store.asked)
	}
	if err := errors.Join(add("c", "http://127.0.0.1:2382/"), add("b", "http://127.0.0.1:2381"), m.RemoveMember(t.Context(), "a"), m.RemoveMember(t.Context(), "127.0.0.1:2381")); err != nil {
		t.Error(err)
	}
	if got := strings.Join(store.asked, "; "); got != "add c http://127.0.0.1:2382; add b http://127.0.0.1:2381; remove a; remove http://127.0.0.1:2381" {
		t.Errorf("the store was asked to %s", got)
	}
	store.err = errors.New("two of three do not answer")
	if err := add("d", "http://127.0.0.1:2383"); !errors.Is(err, hook.ErrNotNow) || !strings.Contains(err.Error(), "two of three do not answer") {
		t.Errorf("%v, want ErrNotNow", err)
	}
	m.kind = "etcd"
	for _, err := range []error{add("c", "http://127.0.0.1:2382"), m.RemoveMember(t.Context(), "a")} {
		if !errors.Is(err, hook.ErrNotInside) {
			t.Errorf("%v, want ErrNotInside", err)
		}
	}
}
