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
	"github.com/rollcall-dns/rollcall/rpcserver"
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
	// DNSDs is how many dnsd share the registrations; 0 and 1 are one, which shares with
	// none. Nodes know the hooks of all, clients the DNS servers of all. They share what
	// Env.Store returns. Their sessions last 2s, unless Zone.Store.Shared says otherwise.
	DNSDs int
	// Stores opens another store for several dnsd: the one that Zone.Store describes. Each
	// dnsd gets another Name ("a", "b", ...), and that name at the end of Dir. Nil: the
	// store is in memory.
	Stores dnsd.Stores
	// Durable keeps registrations in a file in the test's temporary directory. Of several
	// dnsd, each keeps its local copy there.
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
	// Middleware is called around each method of node i, as rpcserver.Config.Middleware is.
	// A server of net/rpc has none.
	Middleware func(i int) []rpcserver.Middleware
	// Logger gets the log of dnsd and of the nodes; nil discards it.
	Logger *slog.Logger
}

// An Env is a running Rollcall. Its methods fail the test instead of returning
// errors, and may be called from the test's goroutine only.
type Env struct {
	t     testing.TB
	setup Setup
	ctx   context.Context

	dnsds   []*server
	store   *Store // nil: the only dnsd has its own, or the caller's is used
	nodes   []*Node
	clients wire           // between clients and DNS
	hooks   wire           // between nodes and the hooks
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
	if z.Lease.Default == 0 {
		z.Lease.Default = 3 * time.Second
	}
	if z.TTL == 0 {
		z.TTL = time.Second
	}
	if setup.Durable && setup.DNSDs < 2 {
		z.Store = dnsd.Store{Kind: "bolt", Path: filepath.Join(t.TempDir(), "svc.db")}
	}
	e := &Env{t: t, setup: setup, ctx: t.Context()}
	e.prepare(*z)
	t.Cleanup(e.stop) // after prepare: its folders are removed when dnsd has stopped
	for i := range e.dnsds {
		e.StartDNSD(i)
	}
	if len(e.dnsds) > 1 {
		e.awaitReady()
	}
	for range max(setup.Nodes, 0) {
		e.AddNode()
	}
	e.AwaitNodes()
	return e
}

// stop ends the nodes and dnsd. The clients' own cleanups have run by then.
func (e *Env) stop() {
	e.hooks.set(whole)
	for _, d := range e.dnsds {
		e.awake(d)
		for _, l := range d.links() {
			l.set(Whole)
		}
	}
	for _, n := range e.nodes {
		n.stopper()()
	}
	for _, d := range e.dnsds {
		if d.running != nil {
			e.burials.Go(func() { d.stop() })
		}
	}
	e.burials.Wait()
}

// Name is the name of the nodes' service in DNS: "_math._tcp.svc.".
func (e *Env) Name() string {
	origin := dnsd.DefaultOrigin
	if len(e.setup.Zone.Origins) > 0 {
		origin = e.setup.Zone.Origins[0]
	}
	return e.setup.Service + "." + origin
}

// DNSAddr is the address of the DNS of the only dnsd, or of dnsd 0: host:port. A restart
// does not change it.
func (e *Env) DNSAddr() string { return e.dnsds[0].zone.Bind[0] }

// HookURL is the URL of the hook of the only dnsd, or of dnsd 0. A restart does not change
// it.
func (e *Env) HookURL() string { return "http://" + e.dnsds[0].zone.Hook.Addr }

// DNSAddrs are the DNS addresses of all dnsd.
func (e *Env) DNSAddrs() (all []string) {
	for _, d := range e.dnsds {
		all = append(all, d.zone.Bind[0])
	}
	return all
}

// HookURLs are the URLs of the hooks of all dnsd.
func (e *Env) HookURLs() (all []string) {
	for _, d := range e.dnsds {
		all = append(all, "http://"+d.zone.Hook.Addr)
	}
	return all
}

// Resolver returns a new resolver that asks all dnsd. DropDNS, DropUDP and Break apply to
// it.
func (e *Env) Resolver() *resolver.Resolver {
	return &resolver.Resolver{Servers: e.DNSAddrs(), Dial: e.clients.over(e.Dial)}
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

// DropDNS discards every DNS packet between clients and all dnsd, until it is off again.
func (e *Env) DropDNS(on bool) { e.clients.set(pick(on, silent, whole)) }

// DropUDP discards datagrams only; TCP works.
func (e *Env) DropUDP(on bool) { e.clients.set(pick(on, lossyUDP, whole)) }

// CutHook breaks the network between all nodes and all hooks, until it is off again:
// no registration and no renewal arrives.
func (e *Env) CutHook(on bool) { e.hooks.set(pick(on, severed, whole)) }

func pick[T any](on bool, yes, no T) T {
	if on {
		return yes
	}
	return no
}

// Tests: example_test.go, instances_test.go, names_test.go.
