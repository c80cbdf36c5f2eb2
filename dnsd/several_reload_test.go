package dnsd

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/member"
	"github.com/rollcall-dns/rollcall/internal/kv/memkv"
)

// alone is oneOf("a") with a store of its own.
func alone(store Store) Zone {
	z := oneOf("a")
	z.Store = store
	return z
}

// serialOf is the serial of the zone.
func serialOf(t *testing.T, s *Server) uint32 {
	t.Helper()
	return ask(t, s.DNSAddr(), "svc.", dns.TypeSOA).Answer[0].(*dns.SOA).Serial
}

// TestReloadIntoASharedStoreAndBack: no instance has to register again, their states stay,
// the serial grows, and DNS answers all the time.
func TestReloadIntoASharedStoreAndBack(t *testing.T) {
	stores := newInMemory()
	s := begin(t, Config{Zones: []Zone{alone(Store{Kind: "bolt", Path: filepath.Join(t.TempDir(), "svc.db")})}, Stores: stores})
	for i := range 10 {
		put(t, s.Server, fmt.Sprint("a", i), `{"port":8080,"lease":"1h"}`)
	}
	request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/a0/drain", "")
	asked, stop := make(chan error, 1), make(chan struct{})
	addr := s.DNSAddr().String()
	go func() { // a client that asks all the time
		for {
			select {
			case <-stop:
				asked <- nil
				return
			default:
			}
			r, err := exchange(new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV), addr)
			if err != nil || len(r.Answer) != 9 {
				asked <- fmt.Errorf("%v %v", r, err)
				return
			}
		}
	}()
	for _, z := range []Zone{oneOf("a"), alone(Store{}), oneOf("a")} {
		before := serialOf(t, s.Server)
		if err := s.Reload(Config{Zones: []Zone{z}, Stores: stores}); err != nil {
			t.Fatal(err)
		}
		if _, a0 := request(t, "GET", s.HookURL()+"/v1/services/_math._tcp/instances/a0", ""); a0["state"] != "drained" {
			t.Errorf("in %s: the drained one is %v", s, a0)
		}
		if after := serialOf(t, s.Server); int32(after-before) <= 0 {
			t.Errorf("in %s: serial %d after %d", s, after, before)
		}
	}
	close(stop)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	other := begin(t, Config{Zones: []Zone{oneOf("b")}, Stores: stores})
	awaitReady(t, other)
	if r := ask(t, other.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != 9 {
		t.Errorf("another dnsd has %d of 9", len(r.Answer))
	}
}

// TestReloadWhileTheStoreIsAway: what this dnsd has in memory goes on in a store of its own,
// whatever the shared store does.
func TestReloadWhileTheStoreIsAway(t *testing.T) {
	t.Parallel() // it waits for real time
	for name, fail := range map[string]func(*inMemory){
		"refuses": func(m *inMemory) { m.Stop() },
		"hangs":   func(m *inMemory) { m.open["a"].SetLink(memkv.Hang) },
	} {
		t.Run(name, func(t *testing.T) {
			stores := newInMemory()
			s := begin(t, Config{Zones: []Zone{oneOf("a")}, Stores: stores})
			awaitReady(t, s)
			put(t, s.Server, "a1", `{"port":8080,"lease":"1h"}`)
			fail(stores)
			if err := s.Reload(Config{Zones: []Zone{alone(Store{})}, Stores: stores}); err != nil {
				t.Fatal(err)
			}
			put(t, s.Server, "a2", `{"port":8080}`)
			if r := ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != 2 {
				t.Errorf("%v", r)
			}
		})
	}
}

// TestReloadIntoASharedStoreWithContent: what is there stays, and what is not is added. Of
// an instance that is in both, the one is believed that a server may have renewed.
func TestReloadIntoASharedStoreWithContent(t *testing.T) {
	for both, writerStays := range map[string]bool{"10.0.0.1": true, "10.0.0.2": false} {
		t.Run(fmt.Sprint("writer stays ", writerStays), func(t *testing.T) {
			stores := newInMemory()
			there := begin(t, Config{Zones: []Zone{oneOf("b")}, Stores: stores})
			awaitReady(t, there)
			put(t, there.Server, "both", `{"host":"10.0.0.1","port":1,"lease":"1h"}`)
			put(t, there.Server, "theirs", `{"host":"10.0.0.1","port":1,"lease":"1h"}`)
			if !writerStays {
				if err := there.stop(); err != nil {
					t.Fatal(err)
				}
			}
			s := begin(t, Config{Zones: []Zone{alone(Store{})}, Stores: stores})
			put(t, s.Server, "both", `{"host":"10.0.0.2","port":2,"lease":"1h"}`)
			put(t, s.Server, "ours", `{"host":"10.0.0.2","port":2,"lease":"1h"}`)
			put(t, s.Server, "drained", `{"host":"10.0.0.2","port":2,"lease":"1h"}`)
			request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/drained/drain", "")
			if err := s.Reload(Config{Zones: []Zone{oneOf("a")}, Stores: stores}); err != nil {
				t.Fatal(err)
			}
			for id, want := range map[string]string{"both": both, "theirs": "10.0.0.1", "ours": "10.0.0.2", "drained": "10.0.0.2"} {
				if _, in := request(t, "GET", s.HookURL()+"/v1/services/_math._tcp/instances/"+id, ""); in["host"] != want || (in["state"] == "drained") != (id == "drained") {
					t.Errorf("%s is %v, want %s", id, in, want)
				}
			}
		})
	}
}

// TestReloadIntoASharedStoreThatCannotBe: what goes wrong is told, and the registrations
// stay where they were.
func TestReloadIntoASharedStoreThatCannotBe(t *testing.T) {
	stores := newInMemory()
	srv := oneOf("b")
	srv.Origins, srv.Apex, srv.Store.Shared.Prefix = []string{"srv."}, Apex{}, "/srv"
	there := begin(t, Config{Zones: []Zone{srv}, Stores: stores})
	awaitReady(t, there)

	s := begin(t, Config{Zones: []Zone{alone(Store{})}, Stores: stores})
	put(t, s.Server, "a1", `{"port":8080}`)
	put(t, s.Server, "a2", `{"port":8080}`)
	before := s.String()
	refused := func(change func(*Zone), want string) {
		t.Helper()
		z := oneOf("a")
		change(&z)
		err := s.Reload(Config{Zones: []Zone{z}, Stores: stores})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
		if s.String() != before {
			t.Errorf("%s was %s", s, before)
		}
		if r := ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != 2 {
			t.Errorf("after %v: %v", err, r)
		}
	}
	refused(func(z *Zone) { z.Store.Shared.Prefix = "/srv" }, "store prefix: ")
	refused(func(z *Zone) { z.Limits.PerService = 1 }, "limits: the store before has more than 1 instances of _math._tcp; raise the limit")
	refused(func(z *Zone) { z.Store.Shared.Listen = there.blocks[0].group.server.Addr().String() }, "store listen: ")

	// The store is away: a reload waits for it for some time, and then nothing has changed.
	z := oneOf("a")
	w, err := Config{Zones: []Zone{z}, Stores: stores}.checked()
	if err != nil {
		t.Fatal(err)
	}
	stores.Stop()
	defer stores.Start()
	away := begin(t, w.Config)
	readiness(t, away.Server) // it runs
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := away.blocks[0].group.takeOver(ctx, s.blocks[0].reg.part); err == nil || !strings.Contains(err.Error(), "it has no content yet: the store has not answered; start the store, or the other dnsd, and try again") {
		t.Errorf("got %v", err)
	}
}

// TestReloadKeepsAMember: a reload that does not touch the store touches neither the
// member nor its term. One that does is refused as a whole.
func TestReloadKeepsAMember(t *testing.T) {
	stores := newInMemory()
	all := three(t, stores)
	put(t, all[0].Server, "a1", `{"port":8080}`)
	for _, s := range all { // being ready, they may not know of each other yet
		eventually(t, func() string {
			peers := s.blocks[0].group.member.Peers()
			if len(peers) != 3 || slices.ContainsFunc(peers, func(p member.Peer) bool { return p.Life == 0 }) {
				return fmt.Sprint("the members are ", peers)
			}
			return ""
		})
	}
	for i, name := range []string{"a", "b", "c"} {
		s := all[i]
		before := s.blocks[0].group.member.Peers()
		z := oneOf(name)
		z.Lease.Default = 20 * time.Second
		if err := s.Reload(Config{Zones: []Zone{z}, Stores: stores}); err != nil {
			t.Fatal(err)
		}
		if after := s.blocks[0].group.member.Peers(); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("the members were %v, and are %v", before, after)
		}
		z.TTL, z.Store.Shared.Session = 2*time.Second, 30*time.Second
		if err := s.Reload(Config{Zones: []Zone{z}, Stores: stores}); err == nil || err.Error() != "dnsd: zone svc.: store session: a reload cannot change it from 1m0s to 30s; restart this dnsd" {
			t.Errorf("got %v", err)
		}
		if ttl := ask(t, s.DNSAddr(), "svc.", dns.TypeSOA).Answer[0].Header().Ttl; ttl != 5 {
			t.Errorf("the TTL is %d after a reload that failed", ttl)
		}
	}
	put(t, all[1].Server, "a2", `{"port":8080}`)
	await(t, all...)
	_, a2 := request(t, "GET", all[2].HookURL()+"/v1/services/_math._tcp/instances/a2", "")
	if a2["lease"] != "20s" {
		t.Errorf("after the reload: %v", a2)
	}
}

// TestReloadWithoutASharedBlock: a block that is taken out leaves the others, and hands the
// writer over. Another block goes on.
func TestReloadWithoutASharedBlock(t *testing.T) {
	stores := newInMemory()
	a := begin(t, Config{Zones: []Zone{oneOf("a")}, Stores: stores})
	awaitReady(t, a)
	b := begin(t, Config{Zones: []Zone{oneOf("b")}, Stores: stores})
	awaitReady(t, b)
	put(t, b.Server, "a1", `{"port":8080}`)
	srv := free(Zone{Origins: []string{"srv."}})
	for _, zones := range [][]Zone{{oneOf("a"), srv}, {srv}} {
		if err := a.Reload(Config{Zones: zones, Stores: stores}); err != nil {
			t.Fatal(err)
		}
		put(t, b.Server, fmt.Sprint("b", len(zones)), `{"port":8080}`)
	}
	eventually(t, func() string {
		if peers := b.blocks[0].group.member.Peers(); len(peers) != 1 || !b.blocks[0].reg.part.Leads() {
			return fmt.Sprint("the members are ", peers)
		}
		return ""
	})
	if r := ask(t, a.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); r.Rcode != dns.RcodeRefused {
		t.Errorf("the block is still served: %v", r)
	}
}

// TestReloadThatChangesASharedZone: a zone with other name servers has a serial that no
// secondary has with the old ones, whether this dnsd is the writer or not. When all have
// reloaded, they publish the same.
func TestReloadThatChangesASharedZone(t *testing.T) {
	t.Parallel() // it waits for real time
	stores := newInMemory()
	all := three(t, stores)
	put(t, all[0].Server, "a1", `{"port":8080}`)
	await(t, all...)
	for i, name := range []string{"a", "b", "c"} {
		s := all[i]
		before := serialOf(t, s.Server)
		z := oneOf(name)
		z.Apex.NS = []NameServer{{Name: "ns1.svc.", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.53")}}}
		if err := s.Reload(Config{Zones: []Zone{z}, Stores: stores}); err != nil {
			t.Fatal(err)
		}
		if after := serialOf(t, s.Server); int32(after-before) <= 0 {
			t.Errorf("serial %d after %d", after, before)
		}
		m := new(dns.Msg).SetIxfr("svc.", before, "ns.svc.", "hostmaster.svc.")
		envelopes, err := new(dns.Transfer).In(m, s.DNSAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		e := <-envelopes
		if e.Error != nil || len(e.RR) < 3 || e.RR[1].Header().Rrtype == dns.TypeSOA {
			t.Errorf("a secondary gets %v, want the whole zone", e)
		}
	}
	put(t, all[0].Server, "a2", `{"port":8080}`) // now all have the same serial again
	await(t, all...)
	want := transfer(t, all[0].Server)
	for _, s := range all[1:] {
		if got := transfer(t, s.Server); got != want {
			t.Errorf("%q\n%q", got, want)
		}
	}

	// Without a writer there is no such serial.
	stores.Stop()
	z := oneOf("a")
	if err := all[0].Reload(Config{Zones: []Zone{z}, Stores: stores}); err == nil || !strings.Contains(err.Error(), "store: a zone changes, which needs a revision of the shared store: ") {
		t.Errorf("got %v", err)
	}
	stores.Start()
	if got := transfer(t, all[0].Server); got != want {
		t.Errorf("after a reload that failed: %q", got)
	}
}
