package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

func TestInterceptorsWrapTheCallAndMayRepeatIt(t *testing.T) {
	s := startStock(t, "")
	var log []string
	note := func(name string) Interceptor {
		return func(ctx context.Context, call *Invocation, next func(context.Context, *Invocation) error) error {
			log = append(log, name+" "+call.Method)
			err := next(ctx, call)
			log = append(log, name+" done")
			return err
		}
	}
	twice := func(ctx context.Context, call *Invocation, next func(context.Context, *Invocation) error) error {
		if err := next(ctx, call); err != nil {
			return err
		}
		call.Args = &Args{5, 5}
		return next(ctx, call)
	}
	c := newClient(t, Config{Interceptors: []Interceptor{note("outer"), note("inner"), twice}}, s.addr)
	var product int
	var node string
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, &product, OnNode(&node)); err != nil || product != 25 || node != s.addr {
		t.Fatal(product, node, err)
	}
	want := []string{"outer Arith.Multiply", "inner Arith.Multiply", "inner done", "outer done"}
	if !slices.Equal(log, want) {
		t.Errorf("got %q", log)
	}
	no := errors.New("not today")
	c = newClient(t, Config{Interceptors: []Interceptor{
		func(context.Context, *Invocation, func(context.Context, *Invocation) error) error { return no },
	}}, s.addr)
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, &product); !errors.Is(err, no) {
		t.Error(err)
	}
}

func TestTraceHearsOfEachStep(t *testing.T) {
	good, bad := startStock(t, ""), startStock(t, "")
	var log []string
	trace := &Trace{
		Picked:   func(method, node string, try int) { log = append(log, fmt.Sprint("picked ", method, " ", try)) },
		Sent:     func(method, node string) { log = append(log, "sent") },
		Answered: func(_, _ string, _ time.Duration, err error) { log = append(log, fmt.Sprint("answered ", err)) },
		Failed:   func(_ string, a Attempt) { log = append(log, fmt.Sprint("failed ", a.Phase, " ", a.Executed)) },
		Retrying: func(string, time.Duration) { log = append(log, "retrying") },
	}
	c := newClient(t, Config{}, good.addr, bad.addr)
	allUp(t, c, 2)
	ctx := WithTrace(t.Context(), trace)
	if err := c.Call(ctx, "Arith.Divide", &Args{1, 0}, nil); err == nil {
		t.Fatal("no error")
	}
	if err := c.Call(ctx, "Arith.Nope", &Args{1, 0}, nil); err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"picked Arith.Divide 1", "sent", "answered divide by zero", "failed answer yes",
		"picked Arith.Nope 1", "sent", "answered rpc: can't find method Arith.Nope", "failed answer yes",
	}
	if !slices.Equal(log, want) {
		t.Errorf("got  %q\nwant %q", log, want)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{
		{Retry: RetryConfig{Budget: balancer.Budget{Share: 2}}},
		{Retry: RetryConfig{Budget: balancer.Budget{Share: math.NaN()}}},
		{Retry: RetryConfig{Budget: balancer.Budget{Floor: math.Inf(1)}}},
		{Methods: map[string]Method{"A.B": {Idempotent: true, Hedge: math.NaN()}}},
		{Methods: map[string]Method{"Get": {Idempotent: true}}},
		{Methods: map[string]Method{"Store.": {Idempotent: true}}},
		{Conn: ConnConfig{PerNode: -1}},
		{Conn: ConnConfig{MaxNodes: -1}},
		{Conn: ConnConfig{MaxReply: -1}},
		{Retry: RetryConfig{AttemptTimeout: -1}},
		{Conn: ConnConfig{DialTimeout: -1}},
		{Conn: ConnConfig{PingTimeout: -1}},
		{Conn: ConnConfig{WriteTimeout: -1}},
		{Conn: ConnConfig{DrainTimeout: -1}},
		{Methods: map[string]Method{"A.B": {Hedge: 0.1}}},
		{Methods: map[string]Method{"A.B": {Idempotent: true, Hedge: 0.9}}},
	} {
		if c, err := New("_math._tcp.svc", &cfg); err == nil {
			c.Close()
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// These are what people write at first; each says what to write instead.
func TestNamesThatCannotBeServicesFailAtOnce(t *testing.T) {
	for name, cure := range map[string]string{
		"":                      "_math._tcp.svc",
		"math":                  "_math._tcp.svc",
		"_math._tcp":            "_math._tcp.svc",
		"127.0.0.1:9001":        "resolver.Static",
		"_math._tcp.svc:5300":   "Servers",
		"http://_math._tcp.svc": "_math._tcp.svc",
		"math.tcp.svc":          "_math._tcp.svc",
		"_math._tcp..svc":       "_math._tcp.svc",
	} {
		c, err := New(name, nil)
		if err == nil {
			c.Close()
			t.Errorf("%q was taken", name)
			continue
		}
		mustContain(t, err, "rpcclient: new: ", strconv.Quote(name), cure)
	}
	t.Setenv("ROLLCALL_DNS", "127.0.0.1:99999")
	if c, err := New("_math._tcp.svc", nil); err == nil {
		c.Close()
		t.Error("a server of the environment with a bad port was taken")
	} else {
		mustContain(t, err, "ROLLCALL_DNS", "127.0.0.1:99999")
	}
	// To a source of one's own a name may be anything.
	c, err := New("math", &Config{Source: announce()})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestForgottenServerIsAskedAfter(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := pc.LocalAddr().String()
	pc.Close()
	c, err := New("_math._tcp.svc", &Config{Source: &resolver.Resolver{Servers: []string{server}}, WaitForNode: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
	mustContain(t, err, server, "is dnsd running there?")
}

func TestServersAreHostsOrHostPorts(t *testing.T) {
	for _, server := range []string{"ns1", "ns1.example.net.:5300", "10.0.0.1", "127.0.0.1:5300", "::1", "[::1]:53", "fe80::1%eth0"} {
		c, err := New("_math._tcp.svc", &Config{Source: &resolver.Resolver{Servers: []string{server}}})
		if err != nil {
			t.Error(err)
			continue
		}
		c.Close()
	}
	for _, server := range []string{"", ":53", "ns1:", "ns1:0", "ns1:99999", "ns1:dns", "5300", "10.0.0", "http://ns1", "bo gus", "a..b", "ns1/53"} {
		c, err := New("_math._tcp.svc", &Config{Source: &resolver.Resolver{Servers: []string{"ns1", server}}})
		if err == nil {
			c.Close()
			t.Errorf("%q was taken", server)
		} else if want := fmt.Sprintf("rpcclient: config: Source: Servers[1] %q: want host or host:port: ", server); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error is %q\nwant     %q...", err, want)
		}
	}
}

// TestAHookThatPanicsLeaksNothing: the panic is the caller's, and no request and no pick
// stays behind.
func TestAHookThatPanicsLeaksNothing(t *testing.T) {
	boom := func() { panic("hook") }
	for name, trace := range map[string]*Trace{
		"Picked":   {Picked: func(string, string, int) { boom() }},
		"Sent":     {Sent: func(string, string) { boom() }},
		"Answered": {Answered: func(string, string, time.Duration, error) { boom() }},
		"Failed":   {Failed: func(string, Attempt) { boom() }},
		"Retrying": {Retrying: func(string, time.Duration) { boom() }},
		"Hedging":  {Hedging: func(string, time.Duration) { boom() }},
	} {
		synctest.Test(t, func(t *testing.T) {
			var lose atomic.Bool
			node := func(nc net.Conn) {
				p := newPeer(nc)
				for {
					req, args, err := p.next()
					if err != nil {
						return
					}
					if lose.Load() {
						nc.Close()
						return
					}
					time.Sleep(10 * time.Millisecond)
					p.answer(req.Seq, "", args.A*args.B)
				}
			}
			f := newFakeNet(map[string]func(net.Conn){"a:1": node, "b:1": node})
			c := fakeClient(t, f, Config{}, "a:1", "b:1")
			defer c.Close()
			allUp(t, c, 2)
			for range 100 {
				c.quick.record("Arith.Multiply", time.Millisecond, c.now())
				c.quick.earn("Arith.Multiply", 0.02)
			}
			lose.Store(name == "Failed" || name == "Retrying")
			ctx := WithTrace(t.Context(), trace)
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				c.Call(ctx, "Arith.Multiply", &Args{6, 7}, new(int), Hedge(0.02))
			}()
			if call := <-c.Go(ctx, "Arith.Multiply", &Args{6, 7}, new(int), nil, Hedge(0.02)).Done; call.Error == nil && name != "Hedging" {
				t.Errorf("%s: Go has no error", name)
			}
			lose.Store(false)
			time.Sleep(time.Second)
			synctest.Wait()
			s := c.Stats()
			for _, n := range s.Nodes {
				if n.InFlight != 0 {
					t.Errorf("%s: %d picks are left on %s", name, n.InFlight, n.Addr)
				}
			}
			if s.InFlight != 0 {
				t.Errorf("%s: %d calls are under way", name, s.InFlight)
			}
			if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}); err != nil || product != 42 {
				t.Errorf("%s: the next call: %d, %v", name, product, err)
			}
		})
	}
}

// TestInterceptorMakesNoMethodIdempotentByAccident, neither by a share of hedges alone
// nor by another name.
func TestInterceptorMakesNoMethodIdempotentByAccident(t *testing.T) {
	declared := map[string]Method{"A.Safe": {Idempotent: true, Hedge: 0.1}, "A.Other": {Idempotent: true}}
	for name, tt := range map[string]struct {
		method string
		change func(*Invocation)
		want   Method
	}{
		"nothing":                 {"A.Safe", func(*Invocation) {}, Method{true, 0.1}},
		"a share of hedges alone": {"A.Risky", func(c *Invocation) { c.Hedge = 0.1 }, Method{}},
		"too much of it":          {"A.Safe", func(c *Invocation) { c.Hedge = 7 }, Method{true, 0.5}},
		"on purpose":              {"A.Risky", func(c *Invocation) { c.Idempotent, c.Hedge = true, 0.2 }, Method{true, 0.2}},
		"another name":            {"A.Safe", func(c *Invocation) { c.Method = "A.Risky" }, Method{}},
		"another declared name":   {"A.Safe", func(c *Invocation) { c.Method = "A.Other" }, Method{true, 0}},
		"from a risky to a safe":  {"A.Risky", func(c *Invocation) { c.Method = "A.Safe" }, Method{true, 0.1}},
		"no more":                 {"A.Safe", func(c *Invocation) { c.Idempotent = false }, Method{}},
	} {
		c := newClient(t, Config{Methods: declared, Source: announce()})
		was := c.newCall(tt.method, nil, nil, nil)
		call := &Invocation{Method: tt.method, Idempotent: was.Idempotent, Hedge: was.Hedge}
		tt.change(call)
		if got := was.declared(call); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
