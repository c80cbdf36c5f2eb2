package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// The tests of this file are the rows of README's table "What happens when".

func TestAnInstanceIsKilled(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4, rpcclient.Idempotent(0))
	load.awaitCalls(t, 200)
	for i := range 3 {
		env.Fault(i, Kill)
		load.awaitCalls(t, 200)
		// Its registration was held: the record goes long before the lease ends.
		env.AwaitNodes()
		load.awaitCalls(t, 200)
		env.Restart(i)
		env.AwaitNodes()
		load.awaitCalls(t, 200)
	}
	load.finish(t)
}

func TestAnInstanceIsKilledAndNoCallIsExecutedTwice(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4)
	load.awaitCalls(t, 200)
	dead := env.Node(0).Arith
	env.Fault(0, Kill)
	load.awaitCalls(t, 500)
	load.stop()
	executed := dead.Calls()
	for _, n := range env.Nodes()[1:] {
		executed += n.Arith.Calls()
	}
	for _, err := range load.errs {
		var e *rpcclient.Error
		if !errors.As(err, &e) || e.Executed != rpcclient.Maybe {
			t.Errorf("a failed call that is not idempotent must be one that was perhaps executed: %v", err)
		}
	}
	if answered := load.calls.Load() - int64(len(load.errs)); executed < answered || executed > load.calls.Load() {
		t.Errorf("%d calls answered, %d failed, %d executed", answered, len(load.errs), executed)
	}
}

func TestAnInstanceStopsByItself(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4) // not idempotent: nothing may be retried that was executed
	load.awaitCalls(t, 200)
	for i := range 3 {
		env.Drain(i)
		env.AwaitNodes()
		load.awaitCalls(t, 200)
		env.Restart(i)
		env.AwaitNodes()
		load.awaitCalls(t, 200)
	}
	load.finish(t)
}

func TestAnInstanceHangs(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(&rpcclient.Config{AttemptTimeout: 250 * time.Millisecond})
	load := startLoad(t, c, 4, rpcclient.Idempotent(0))
	load.awaitCalls(t, 200)
	hung := env.Node(1).Arith
	env.Fault(1, Hang)
	load.awaitCalls(t, 500)
	before := hung.Calls()
	env.Fault(1, Healthy)
	awaitCount(t, "calls executed after the hang", hung.Calls, before+50)
	load.finish(t)
}

// It is not as if it hung: nothing of it works, and dnsd hears nothing of it,
// though its kernel acknowledges all that is sent.
func TestAProcessIsFrozen(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(&rpcclient.Config{AttemptTimeout: 250 * time.Millisecond})
	load := startLoad(t, c, 4, rpcclient.Idempotent(0))
	load.awaitCalls(t, 200)
	frozen := env.Node(1)
	env.Fault(1, Freeze)
	env.Await("it is gone", func(in []register.Published) bool { return len(in) == 2 })
	load.awaitCalls(t, 200)
	env.Fault(1, Healthy)
	env.Await("it is back", func(in []register.Published) bool { return len(in) == 3 })
	awaitCount(t, "calls executed after the frost", frozen.Arith.Calls, frozen.Arith.Calls()+50)
	load.finish(t)
}

func TestAnInstanceStopsWhileDnsdIsAway(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4) // not idempotent
	load.awaitCalls(t, 200)
	env.StopDNSD()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 2 {
		_ = env.Node(i).server.Shutdown(ctx) // that it could not deregister is no news
		if ctx.Err() != nil {
			t.Fatalf("the stop took all of %v", patience)
		}
		env.Node(i).fault = Kill
	}
	load.awaitCalls(t, 500)
	env.StartDNSD()
	for i := range 2 {
		env.Restart(i)
	}
	env.AwaitNodes()
	load.awaitCalls(t, 200)
	load.finish(t)
}

func TestDnsdForgetsEverything(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4) // not idempotent
	load.awaitCalls(t, 200)
	for range 3 {
		env.StopDNSD()
		env.StartDNSD()
		env.AwaitNodes()
		load.awaitCalls(t, 200)
	}
	load.finish(t)
}

// Echo is a service of somebody who tests his own.
type Echo struct{ node int }

// Node answers which node it is on.
func (e *Echo) Node(_ int, reply *int) error {
	*reply = e.node
	return nil
}

func TestReceiversOfOnesOwnAreServedUnderFaults(t *testing.T) {
	for _, stock := range []bool{false, true} {
		env := New(t, Setup{Nodes: 2, Stock: stock, Receivers: func(i int) []any { return []any{&Echo{i}} }})
		c := env.Client(&rpcclient.Config{AttemptTimeout: 250 * time.Millisecond})
		env.Fault(0, Hang)
		for range 10 {
			if n, err := rpcclient.Invoke[int](t.Context(), c, "Echo.Node", 0, rpcclient.Idempotent(0)); err != nil || n != 1 {
				t.Errorf("stock %v: answered by %d, %v", stock, n, err)
			}
		}
	}
}

func TestDnsdIsKilled(t *testing.T) {
	env := New(t, Setup{Nodes: 3, Durable: true})
	c := env.Client(nil)
	load := startLoad(t, c, 4)
	load.awaitCalls(t, 200)
	env.StopDNSD()
	// Nobody can resolve anything for longer than the TTL, and calls go on.
	if _, err := env.Resolver().Lookup(t.Context(), env.Name()); err == nil {
		t.Error("dnsd is stopped, and a new resolver gets an answer")
	}
	load.awaitCalls(t, 2000)
	env.StartDNSD()
	if got := len(env.Published()); got != 3 {
		t.Errorf("after the restart %d instances are published, want 3", got)
	}
	env.Await("all leases are confirmed", func(in []register.Published) bool {
		up := 0
		for _, i := range in {
			if i.State == "up" {
				up++
			}
		}
		return up == 3
	})
	load.awaitCalls(t, 200)
	load.finish(t)
}

func TestTheNetworkBetweenDnsdAndTheInstancesBreaks(t *testing.T) {
	env := New(t, Setup{Nodes: 4})
	env.CutHook(true)
	env.Await("instances that cannot renew are suspects, none is gone", func(in []register.Published) bool {
		if len(in) < 4 {
			t.Fatalf("only %s are left", describe(in))
		}
		for _, i := range in {
			if i.State != "suspect" {
				return false
			}
		}
		return true
	})
	s, err := env.Resolver().Lookup(t.Context(), env.Name())
	if err != nil || len(s.Endpoints) != 4 || s.Endpoints[0].Priority != 1010 {
		t.Errorf("suspects in DNS: got %+v, %v; want 4 at priority 1010", s.Endpoints, err)
	}
	env.CutHook(false)
	env.Await("all are up again", func(in []register.Published) bool {
		for _, i := range in {
			if i.State != "up" {
				return false
			}
		}
		return len(in) == 4
	})
}

func TestDNSPacketsVanish(t *testing.T) {
	env := New(t, Setup{Nodes: 2})
	r := env.Resolver()
	r.Timeout = 200 * time.Millisecond
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

	env.DropUDP(true) // TCP is used, by those who know the name and by others
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
	env.StopDNSD()
	env.StartDNSD()
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
		t.Errorf("after the nodes registered anew: %d, %v", product, err)
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

func TestBadInput(t *testing.T) {
	env := New(t, Setup{Nodes: 1})
	for _, packet := range []string{"", "x", strings.Repeat("\xff", 12), strings.Repeat("\xc0\x0c", 300), "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3f"} {
		conn, err := net.Dial("udp", env.DNSAddr())
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(packet))
		conn.Close()
	}
	for _, tt := range []struct {
		body, field string
		status      int
	}{
		{`{"port":0}`, "port", 400},
		{`{"port":80,"prot":1}`, "prot", 400},
		{`{"port":80,"ttl":"5s","lease":"6s"}`, "ttl", 400},
		{`{"port":80,"lease":"1s"}`, "lease", 400},
		{`{"port":80,"host":"no host"}`, "host", 400},
		{`{"port":80,"meta":{"k":"` + strings.Repeat("v", 70_000) + `"}}`, "", 413},
		{`not JSON`, "", 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
			env.HookURL()+"/v1/services/_math._tcp/instances/bad", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		text.ReadFrom(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != "application/problem+json" ||
			!strings.Contains(text.String(), tt.field) {
			t.Errorf("%.60s: got %s %s", tt.body, resp.Status, text.String())
		}
	}
	if _, err := dnsd.ParseCorefile("Corefile", []byte("svc {\n  leese 15s\n}\n")); err == nil || !strings.HasPrefix(err.Error(), "Corefile:2: ") {
		t.Errorf("a bad Corefile: %v", err)
	}
	if err := env.DNSD().Reload(dnsd.Config{Zones: []dnsd.Zone{{Lease: time.Second}}}); err == nil {
		t.Error("a bad configuration was taken")
	}
	env.AwaitNodes() // the one node, and nothing else
	if s, err := env.Resolver().Lookup(t.Context(), env.Name()); err != nil || len(s.Endpoints) != 1 {
		t.Errorf("after bad input: %v, %v", s.Endpoints, err)
	}
}

func TestStockServerRegisteredByOneRequest(t *testing.T) {
	env := New(t, Setup{Nodes: 2, Stock: true})
	c := env.Client(nil)
	load := startLoad(t, c, 2)
	load.awaitCalls(t, 100)
	load.finish(t)
	var q Quotient
	err := c.Call(t.Context(), "Arith.Divide", &Args{A: 1, B: 0}, &q)
	var answered rpc.ServerError
	if !errors.As(err, &answered) || answered.Error() != ErrDivideByZero.Error() {
		t.Errorf("divide by zero: got %v", err)
	}
}

func TestUnknownServiceSaysWhatWasAskedOfWhom(t *testing.T) {
	env := New(t, Setup{Nodes: 1})
	_, err := env.Resolver().Lookup(t.Context(), "_nosuch._tcp.svc")
	if !errors.Is(err, resolver.ErrNoSuchName) || !strings.Contains(err.Error(), "_nosuch._tcp.svc.") || !strings.Contains(err.Error(), env.DNSAddr()) {
		t.Errorf("got %v", err)
	}
}
