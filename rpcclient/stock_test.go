package rpcclient

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/resolver"
)

// Args and Quotient are the types in the package comment of net/rpc.
type Args struct{ A, B int }

// Echo answers with its argument.
type Echo struct{}

type Payload struct{ Data []byte }

func (Echo) Echo(in *Payload, out *Payload) error { out.Data = in.Data; return nil }

type Quotient struct{ Quo, Rem int }

// Arith is a service that remembers what it executed.
type Arith struct {
	id       string
	executed atomic.Int64
	block    chan struct{} // Block returns when it is closed
	entered  chan struct{} // a token for each Block
}

func (a *Arith) Multiply(args *Args, reply *int) error {
	a.executed.Add(1)
	*reply = args.A * args.B
	return nil
}

func (a *Arith) Divide(args *Args, quo *Quotient) error {
	a.executed.Add(1)
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	quo.Quo, quo.Rem = args.A/args.B, args.A%args.B
	return nil
}

// Block answers when the test closes block.
func (a *Arith) Block(args *Args, reply *int) error {
	a.executed.Add(1)
	if a.entered != nil {
		a.entered <- struct{}{}
	}
	<-a.block
	*reply = args.A
	return nil
}

// Who answers with the name of the server.
func (a *Arith) Who(_ *Args, reply *string) error {
	a.executed.Add(1)
	*reply = a.id
	return nil
}

// server is a stock net/rpc server whose connections can be cut.
type server struct {
	rpc   *rpc.Server
	arith *Arith
	l     net.Listener
	addr  string

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]bool
	stopped bool
	done    sync.WaitGroup
}

// startStock starts a stock server on addr, "" for a free port.
func startStock(tb testing.TB, addr string) *server {
	tb.Helper()
	if addr == "" {
		addr = freeaddr.Take(1)[0].String() // no other process gets it when it was closed
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{
		rpc: rpc.NewServer(), l: l, addr: l.Addr().String(), conns: make(map[net.Conn]bool),
		arith: &Arith{id: l.Addr().String(), block: make(chan struct{}), entered: make(chan struct{}, 100)},
	}
	s.rpc.Register(s.arith)
	s.rpc.Register(Echo{})
	s.rpc.Register(Odd{})
	s.done.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[nc] = true
			stopped := s.stopped
			s.mu.Unlock()
			if stopped { // it was accepted while the server stopped
				nc.Close()
				return
			}
			s.done.Go(func() { s.rpc.ServeConn(nc) })
		}
	})
	tb.Cleanup(s.stop)
	return s
}

// stop closes the listener and cuts the connections.
func (s *server) stop() {
	s.l.Close()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.cut()
	select {
	case <-s.arith.block:
	default:
		close(s.arith.block)
	}
	s.done.Wait()
}

// cut resets the connections, as the death of a process does.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nc := range s.conns {
		if t, ok := nc.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		nc.Close()
		delete(s.conns, nc)
	}
}

// newClient makes a client that calls the servers.
func newClient(tb testing.TB, cfg Config, addrs ...string) *Client {
	tb.Helper()
	if cfg.Source == nil {
		cfg.Source = resolver.Static(addrs...)
	}
	c, err := New("_math._tcp.svc", &cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func ready(tb testing.TB, c *Client) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		tb.Fatal(err)
	}
}

// dialFailed waits until a node knows why its dial has failed.
func dialFailed(tb testing.TB, c *Client) {
	tb.Helper()
	for {
		changed := c.changed.next()
		for _, n := range allNodes(c) {
			n.mu.Lock()
			failures := n.failures
			n.mu.Unlock()
			if failures > 0 {
				return
			}
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			tb.Fatal("no dial has failed")
		}
	}
}

// allUp waits until this number of nodes have all their connections, and calls go to them.
func allUp(tb testing.TB, c *Client, nodes int) {
	tb.Helper()
	for {
		changed := c.changed.next()
		up := 0
		for _, n := range c.Stats().Nodes {
			if n.Connections == c.cfg.Conn.PerNode && n.Standing != balancer.Unreachable.String() {
				up++
			}
		}
		if up == nodes {
			return
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			tb.Fatalf("%d of %d nodes up", up, nodes)
		}
	}
}
