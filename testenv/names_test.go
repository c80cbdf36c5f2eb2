package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

func TestDNSPacketsVanish(t *testing.T) {
	env := New(t, Setup{Nodes: 2})
	r := env.Resolver()
	r.Timeout = 200 * time.Millisecond
	r.NoPush = true // packets of a session that exists do not vanish
	c := env.Client(&rpcclient.Config{Source: r})
	load := startLoad(t, c, 2)
	load.awaitCalls(t, 100)

	env.DropDNS(true)
	for s := range r.Watch(t.Context(), env.Name()) {
		if s.Err != nil { // the last refresh failed
			if len(s.Endpoints) != 2 {
				t.Errorf("stale endpoints: got %d, want 2", len(s.Endpoints))
			}
			break
		}
	}
	load.awaitCalls(t, 100)

	env.DropDNS(false)
	env.AddNode()
	env.AwaitNodes()
	for s := range r.Watch(t.Context(), env.Name()) {
		if s.Err == nil && len(s.Endpoints) == 3 {
			break
		}
	}

	env.DropUDP(true) // TCP is used, by a resolver that knows the name and by a new one
	env.AddNode()
	env.AwaitNodes()
	for s := range r.Watch(t.Context(), env.Name()) {
		if len(s.Endpoints) == 4 {
			break
		}
	}
	if s, err := env.Resolver().Lookup(t.Context(), env.Name()); err != nil || len(s.Endpoints) != 4 {
		t.Errorf("without UDP: %d endpoints, %v, want 4", len(s.Endpoints), err)
	}
	load.finish(t)
}

func TestTheAnswerShrinksToNothing(t *testing.T) {
	env := New(t, Setup{Nodes: 2}) // in memory: a restart forgets
	r := env.Resolver()
	c := env.Client(&rpcclient.Config{Source: r})
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{A: 1, B: 1}, new(int)); err != nil {
		t.Fatal(err)
	}
	env.CutHook(true)
	env.StopDNSD(0)
	env.StartDNSD(0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for s := range r.Watch(ctx, env.Name()) {
		if len(s.Endpoints) == 0 { // confirmed by a second answer, then believed
			break
		}
	}
	if ctx.Err() != nil {
		t.Fatal("an emptied set is never believed")
	}
	env.CutHook(false)
	env.AwaitNodes()
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	var product int
	if err := c.Call(ctx, "Arith.Multiply", &Args{A: 6, B: 7}, &product); err != nil || product != 42 {
		t.Errorf("after the nodes registered again: %d, %v", product, err)
	}
}

func TestARecordSetOutgrowsUDP(t *testing.T) {
	env := New(t, Setup{Nodes: -1})
	instances := 0
	grow := func(to int) {
		for ; instances < to; instances++ {
			env.Put(fmt.Sprintf("n%d", instances), register.Registration{Port: uint16(1000 + instances), Lease: register.Duration(time.Minute)})
		}
	}
	ask := func(network string) *dns.Msg {
		t.Helper()
		client := dns.Client{Net: network, Timeout: patience}
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV).SetEdns0(1232, false), env.DNSAddr())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}

	grow(25) // all records, not all addresses
	if m := ask("udp"); m.Truncated || len(m.Answer) != 25 || len(m.Extra) > 25 {
		t.Errorf("25 over UDP: TC %v, %d records, %d additional ones", m.Truncated, len(m.Answer), len(m.Extra))
	}

	grow(200) // the whole over TCP
	if m := ask("udp"); !m.Truncated {
		t.Error("200 over UDP: no TC")
	}
	if m := ask("tcp"); m.Truncated || len(m.Answer) != 200 {
		t.Errorf("200 over TCP: TC %v, %d records", m.Truncated, len(m.Answer))
	}
	s, err := env.Resolver().Lookup(t.Context(), env.Name())
	if err != nil || len(s.Endpoints) != 200 {
		t.Errorf("resolver: got %d endpoints, %v; want 200", len(s.Endpoints), err)
	}
	std := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, env.DNSAddr())
	}}
	_, records, err := std.LookupSRV(t.Context(), "math", "tcp", "svc.")
	if err != nil || len(records) != 200 {
		t.Errorf("net.LookupSRV: got %d records, %v; want 200", len(records), err)
	}

	grow(2000) // a sample
	m := ask("tcp")
	told := slices.ContainsFunc(m.IsEdns0().Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0EDE })
	if m.Truncated || !told || len(m.Answer) < 1000 || len(m.Answer) > 1999 {
		t.Errorf("2,000 over TCP: TC %v, %d records, told to be a sample: %v", m.Truncated, len(m.Answer), told)
	}
}

func TestUnknownServiceSaysWhatWasAskedOfWhom(t *testing.T) {
	env := New(t, Setup{Nodes: 1})
	_, err := env.Resolver().Lookup(t.Context(), "_nosuch._tcp.svc")
	if !errors.Is(err, resolver.ErrNoSuchName) || !strings.Contains(err.Error(), "_nosuch._tcp.svc.") || !strings.Contains(err.Error(), env.DNSAddr()) {
		t.Errorf("got %v", err)
	}
}
