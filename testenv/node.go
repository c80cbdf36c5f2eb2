package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// A Node is one server of the environment's service.
type Node struct {
	// ID is the id of its registration.
	ID string
	// Arith is the service that it serves, beside those of Setup.Receivers.
	Arith *Arith

	env    *Env
	index  int
	gate   *gate
	server *rpcserver.Server // nil: a stock server
	wire   *wire             // to the hook; cut by Kill, new after Restart
	fault  Fault
}

// AddNode starts one more node; it registers itself. See AwaitNodes.
func (e *Env) AddNode() *Node {
	e.t.Helper()
	i := len(e.nodes)
	n := &Node{ID: "a" + strconv.Itoa(i+1), env: e, index: i}
	e.nodes = append(e.nodes, n)
	n.start()
	return n
}

// Node returns node i; nodes are counted from 0 in the order of AddNode.
func (e *Env) Node(i int) *Node {
	e.t.Helper()
	if i < 0 || i >= len(e.nodes) {
		e.t.Fatalf("testenv: there is no node %d; %d were started, counted from 0", i, len(e.nodes))
	}
	return e.nodes[i]
}

// Nodes returns all nodes, killed ones too.
func (e *Env) Nodes() []*Node { return e.nodes }

// Fault puts a fault on node i; Healthy ends it. A killed node comes back with
// Restart only.
func (e *Env) Fault(i int, f Fault) {
	e.t.Helper()
	n := e.Node(i)
	if n.fault == Kill {
		e.t.Fatalf("testenv: node %d is killed; Restart it", i)
	}
	n.fault = f
	switch f {
	case Kill:
		n.wire.set(severed)
	case Freeze:
		n.wire.set(silent)
	default:
		n.wire.set(whole)
	}
	if err := n.gate.set(f); err != nil {
		e.t.Fatal(err)
	}
	if f == Kill {
		// Closing need not be waited for: the node reaches no client and no dnsd
		// any more.
		e.burials.Go(n.stopper())
	}
}

// Restart starts the killed node i again, under its id, on another port.
func (e *Env) Restart(i int) {
	e.t.Helper()
	n := e.Node(i)
	if n.fault != Kill {
		e.t.Fatalf("testenv: node %d is not killed", i)
	}
	n.start()
}

// Drain stops node i as SIGTERM would: it deregisters, finishes its calls and
// closes. Restart starts it again.
func (e *Env) Drain(i int) {
	e.t.Helper()
	n := e.Node(i)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.server.Shutdown(ctx); err != nil {
		e.t.Fatal(err)
	}
	n.fault = Kill
}

// Addr is where the node listens, host:port.
func (n *Node) Addr() string { return n.gate.addr }

// Server is the server of the node's present life, for SetServing and Leases. It is nil with
// Setup.Stock.
func (n *Node) Server() *rpcserver.Server { return n.server }

// start opens a new port, serves there, and registers.
func (n *Node) start() {
	e := n.env
	e.t.Helper()
	g, err := newGate(e.setup.Delay)
	if err != nil {
		e.t.Fatal(err)
	}
	n.gate, n.fault, n.Arith = g, Healthy, &Arith{Name: n.ID}
	n.wire = &wire{}
	var reg register.Registration
	if e.setup.Instance != nil {
		priority, weight := e.setup.Instance(n.index)
		reg.Priority, reg.Weight = &priority, &weight
	}
	if e.setup.Stock {
		n.serveStock(reg)
		return
	}
	announce := register.Config{
		Hooks: e.HookURLs(), Service: e.setup.Service, ID: n.ID,
		Registration: reg, HTTP: &http.Client{Transport: n.transport()}, Logger: e.setup.Logger,
	}
	if len(e.dnsds) > 1 {
		// The default leaves room for another hook within the default lease. That of the
		// environment is shorter.
		announce.Timeout = e.setup.Zone.Lease.Default / 5
	}
	cfg := rpcserver.Config{Logger: e.setup.Logger, Announce: []register.Config{announce}}
	if e.setup.Middleware != nil {
		cfg.Middleware = e.setup.Middleware(n.index)
	}
	s := rpcserver.New(cfg)
	for _, rcvr := range n.receivers() {
		if err := s.Register(rcvr); err != nil {
			e.t.Fatal(err)
		}
	}
	n.server = s
	go s.Serve(g)
}

// receivers are the services of the node's present life.
func (n *Node) receivers() []any {
	list := []any{n.Arith}
	if n.env.setup.Receivers != nil {
		list = append(list, n.env.setup.Receivers(n.index)...)
	}
	return list
}

// transport reaches the hook while neither the node's nor all nodes' wire is cut.
func (n *Node) transport() http.RoundTripper {
	return &http.Transport{
		DialContext:         n.env.hooks.over(n.wire.over(n.env.Dial)),
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     10 * time.Second,
	}
}

// serveStock runs a server of net/rpc alone, and registers it with one PUT.
func (n *Node) serveStock(reg register.Registration) {
	e := n.env
	s := rpc.NewServer()
	for _, rcvr := range n.receivers() {
		if err := s.Register(rcvr); err != nil {
			e.t.Fatal(err)
		}
	}
	go func() { // rpc.Server.Accept, without its line in the log at the end
		for conn, err := n.gate.Accept(); err == nil; conn, err = n.gate.Accept() {
			go s.ServeConn(conn)
		}
	}()
	reg.Port = uint16(n.gate.Addr().(*net.TCPAddr).Port)
	reg.Lease = register.Duration(time.Hour)
	e.Put(n.ID, reg)
}

// Put registers an instance with one request, as curl would.
func (e *Env) Put(id string, reg register.Registration) {
	e.t.Helper()
	body, err := json.Marshal(reg)
	if err != nil {
		e.t.Fatal(err)
	}
	url := fmt.Sprintf("%s/v1/services/%s/instances/%s", e.aHook(), e.setup.Service, id)
	req, err := http.NewRequestWithContext(e.ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		var p register.Problem
		_ = json.NewDecoder(resp.Body).Decode(&p)
		e.t.Fatalf("testenv: PUT %s: %s: %s", url, resp.Status, p.Detail)
	}
}

// stopper returns the function that closes the node's present server and port, as far as
// the node has begun. It deregisters unless the wire is cut.
func (n *Node) stopper() func() {
	server, gate := n.server, n.gate
	return func() {
		if server != nil {
			server.Close()
		}
		if gate != nil {
			gate.Close()
		}
	}
}
