package testenv

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

// Setup says what New starts. The zero value is dnsd with a memory store and
// three nodes of _math._tcp.
type Setup struct {
	// Nodes is how many nodes to start; 0 means 3, -1 none.
	Nodes int
	// Service they serve; empty means _math._tcp.
	Service string
	// Zone is dnsd's configuration; addresses left empty are free ports, and a
	// lease left 0 is 3s, TTL 1s: tests want to see things happen.
	Zone dnsd.Zone
	// Durable keeps registrations in a file of the test's folder.
	Durable bool
	// Stock nodes are net/rpc servers that know nothing of Rollcall; the
	// environment registers them with one PUT and lets the lease run.
	Stock bool
	// Delay of the fault of that name; 0 means 200ms.
	Delay time.Duration
	// Instance returns priority and weight of node i; nil: the defaults.
	Instance func(i int) (priority, weight uint16)
	// Receivers returns services of your own for node i, to be served beside Arith
	// under the same faults; it is called again when the node is restarted.
	Receivers func(i int) []any
	// Logger gets what dnsd and the nodes log; nil is silent.
	Logger *slog.Logger
}

// An Env is a running Rollcall. Its methods fail the test instead of returning
// errors, and may be called from the test's goroutine only.
type Env struct {
	t     testing.TB
	setup Setup
	ctx   context.Context

	dnsd    *server
	nodes   []*Node
	clients wire // between clients and DNS
	hooks   wire // between nodes and the hook
	burials sync.WaitGroup
}

// New starts what setup says and waits until every node is published.
func New(t testing.TB, setup Setup) *Env {
	t.Helper()
	if setup.Nodes == 0 {
		setup.Nodes = 3
	}
	if setup.Service == "" {
		setup.Service = "_math._tcp"
	}
	if setup.Delay == 0 {
		setup.Delay = 200 * time.Millisecond
	}
	if setup.Logger == nil {
		setup.Logger = slog.New(slog.DiscardHandler)
	}
	z := &setup.Zone
	if len(z.Bind) == 0 {
		z.Bind = []string{"127.0.0.1:0"}
	}
	if z.Hook.Addr == "" {
		z.Hook.Addr = "127.0.0.1:0"
	}
	if z.Lease == 0 {
		z.Lease = 3 * time.Second
	}
	if z.TTL == 0 {
		z.TTL = time.Second
	}
	if setup.Durable {
		z.Store = dnsd.Store{Kind: "bolt", Path: filepath.Join(t.TempDir(), "svc.db")}
	}
	e := &Env{t: t, setup: setup, ctx: t.Context()}
	t.Cleanup(e.stop)
	e.StartDNSD()
	for range max(setup.Nodes, 0) {
		e.AddNode()
	}
	e.AwaitNodes()
	return e
}

// stop ends everything, clients first (their own cleanup has run by now).
func (e *Env) stop() {
	e.hooks.set(whole)
	for _, n := range e.nodes {
		n.stopper()()
	}
	e.burials.Wait()
	if e.dnsd != nil {
		e.dnsd.stop()
	}
}

// Name is the nodes' service as a client asks for it: "_math._tcp.svc.".
func (e *Env) Name() string {
	origin := dnsd.DefaultOrigin
	if len(e.setup.Zone.Origins) > 0 {
		origin = e.setup.Zone.Origins[0]
	}
	return e.setup.Service + "." + origin
}

// DNSAddr is where dnsd answers DNS, host:port. It outlives restarts.
func (e *Env) DNSAddr() string { return e.setup.Zone.Bind[0] }

// HookURL is where dnsd's hook is. It outlives restarts.
func (e *Env) HookURL() string { return "http://" + e.setup.Zone.Hook.Addr }

// Resolver is a new resolver that asks dnsd, through the wire that DropDNS cuts.
func (e *Env) Resolver() *resolver.Resolver {
	return &resolver.Resolver{Servers: []string{e.DNSAddr()}, Dial: e.clients.dial}
}

// Client is a new client of the nodes' service with cfg's settings (nil:
// defaults) and a resolver of the environment. It is closed with the test.
func (e *Env) Client(cfg *rpcclient.Config) *rpcclient.Client {
	e.t.Helper()
	var c rpcclient.Config
	if cfg != nil {
		c = *cfg
	}
	if c.Source == nil {
		c.Source = e.Resolver()
	}
	client, err := rpcclient.New(e.Name(), &c)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { client.Close() })
	return client
}

// DropDNS makes every DNS packet between clients and dnsd vanish, until off.
func (e *Env) DropDNS(on bool) { e.clients.set(pick(on, silent, whole)) }

// DropUDP does so with datagrams only; TCP works.
func (e *Env) DropUDP(on bool) { e.clients.set(pick(on, lossyUDP, whole)) }

// CutHook breaks the network between all nodes and the hook, until off: no
// registration and no renewal gets through.
func (e *Env) CutHook(on bool) { e.hooks.set(pick(on, severed, whole)) }

func pick[T any](on bool, yes, no T) T {
	if on {
		return yes
	}
	return no
}
