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
	// Service is the name that nodes register; empty means _math._tcp.
	Service string
	// Zone is dnsd's configuration; empty addresses become free ports, lease
	// 0 becomes 3s, and TTL 0 becomes 1s, so that tests are quick.
	Zone dnsd.Zone
	// Durable keeps registrations in a file in the test's temporary directory.
	Durable bool
	// Stock makes the nodes servers of net/rpc alone. The environment registers
	// each with one PUT, with a lease of an hour.
	Stock bool
	// Delay of the fault of that name; 0 means 200ms.
	Delay time.Duration
	// Instance returns priority and weight of node i; nil: the defaults.
	Instance func(i int) (priority, weight uint16)
	// Receivers returns your own services for node i, which are served beside Arith
	// under the same faults. It is called again when the node is restarted.
	Receivers func(i int) []any
	// Logger gets the log of dnsd and of the nodes; nil discards it.
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
	clients wire           // between clients and DNS
	hooks   wire           // between nodes and the hook
	burials sync.WaitGroup // killed nodes that are being closed
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
	if z.Lease.Default == 0 {
		z.Lease.Default = 3 * time.Second
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

// stop ends the nodes and dnsd. The clients' own cleanups have run by then.
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

// Name is the name of the nodes' service in DNS: "_math._tcp.svc.".
func (e *Env) Name() string {
	origin := dnsd.DefaultOrigin
	if len(e.setup.Zone.Origins) > 0 {
		origin = e.setup.Zone.Origins[0]
	}
	return e.setup.Service + "." + origin
}

// DNSAddr is the address of dnsd's DNS, host:port. A restart does not change it.
func (e *Env) DNSAddr() string { return e.setup.Zone.Bind[0] }

// HookURL is the URL of dnsd's hook. A restart does not change it.
func (e *Env) HookURL() string { return "http://" + e.setup.Zone.Hook.Addr }

// Resolver returns a new resolver that asks dnsd. DropDNS and DropUDP apply to it.
func (e *Env) Resolver() *resolver.Resolver {
	return &resolver.Resolver{Servers: []string{e.DNSAddr()}, Dial: e.clients.dial}
}

// Client returns a new client of the nodes' service with the settings of cfg (nil:
// defaults) and, unless cfg has a Source, a resolver of the environment. It is closed
// with the test.
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

// DropDNS discards every DNS packet between clients and dnsd, until it is off again.
func (e *Env) DropDNS(on bool) { e.clients.set(pick(on, silent, whole)) }

// DropUDP discards datagrams only; TCP works.
func (e *Env) DropUDP(on bool) { e.clients.set(pick(on, lossyUDP, whole)) }

// CutHook breaks the network between all nodes and the hook, until it is off again:
// no registration and no renewal arrives.
func (e *Env) CutHook(on bool) { e.hooks.set(pick(on, severed, whole)) }

func pick[T any](on bool, yes, no T) T {
	if on {
		return yes
	}
	return no
}

// Tests: example_test.go, instances_test.go, names_test.go.
