package rpcclient

import (
	"context"
	"encoding/gob"
	"errors"
	"iter"
	"net"
	"net/rpc"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/resolver"
)

// fakeNet is a network of pipes for tests in fake time. Each node is a function that
// serves a connection.
type fakeNet struct {
	mu    sync.Mutex // guards what follows
	nodes map[string]func(net.Conn)
	dials map[string][]time.Time
	room  bool // writes do not wait for reads, as with sockets
}

func newFakeNet(nodes map[string]func(net.Conn)) *fakeNet {
	return &fakeNet{nodes: nodes, dials: make(map[string][]time.Time)}
}

var errRefused = errors.New("connection refused")

func (f *fakeNet) dial(_ context.Context, ep resolver.Endpoint) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials[ep.Addr] = append(f.dials[ep.Addr], time.Now())
	serve := f.nodes[ep.Addr]
	if serve == nil {
		return nil, errRefused
	}
	ours, theirs := net.Pipe()
	if f.room {
		ours, theirs = peertest.MemoryPipe()
	}
	go serve(theirs)
	return ours, nil
}

// gate returns a dial that takes a while. count gets 1 for each begin and -1 for each end.
func (f *fakeNet) gate(count func(int)) func(context.Context, resolver.Endpoint) (net.Conn, error) {
	note := func(d int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		count(d)
	}
	return func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
		note(1)
		defer note(-1)
		time.Sleep(100 * time.Millisecond)
		return f.dial(ctx, ep)
	}
}

// set replaces the function that serves an address; nil refuses connections.
func (f *fakeNet) set(addr string, serve func(net.Conn)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes[addr] = serve
}

func (f *fakeNet) dialled(addr string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.dials[addr]...)
}

// stock serves like net/rpc.
func stock(rcvrs ...any) func(net.Conn) {
	s := rpc.NewServer()
	for _, r := range rcvrs {
		s.Register(r)
	}
	return func(nc net.Conn) { s.ServeConn(nc) }
}

// peer is the server's end of a connection, for servers that a test writes by hand.
type peer struct {
	nc  net.Conn
	dec *gob.Decoder
	enc *gob.Encoder
}

func newPeer(nc net.Conn) *peer { return &peer{nc, gob.NewDecoder(nc), gob.NewEncoder(nc)} }

// next reads a request. It answers pings itself.
func (p *peer) next() (req rpc.Request, args Args, err error) {
	for {
		req = rpc.Request{}
		if err = p.dec.Decode(&req); err != nil {
			return req, args, err
		}
		if req.ServiceMethod == rpcwire.PingMethod {
			p.skip()
			p.answer(req.Seq, "no such method", struct{}{})
			continue
		}
		args = Args{}
		err = p.dec.Decode(&args)
		return req, args, err
	}
}

// skip reads a body and drops it.
func (p *peer) skip() { p.dec.DecodeValue(reflect.Value{}) }

// greeted answers the first ping.
func greeted(nc net.Conn) *peer {
	p := newPeer(nc)
	var req rpc.Request
	p.dec.Decode(&req)
	p.skip()
	p.answer(req.Seq, "no such method", struct{}{})
	return p
}

func (p *peer) answer(seq uint64, text string, body any) {
	p.enc.Encode(rpc.Response{Seq: seq, Error: text})
	p.enc.Encode(body)
}

// silent answers pings, and no calls.
func silent(nc net.Conn) {
	p := newPeer(nc)
	for {
		if _, _, err := p.next(); err != nil {
			return
		}
	}
}

// deaf never reads.
func deaf(net.Conn) {}

// slow multiplies after a delay.
func slow(delay func() time.Duration) func(net.Conn) {
	return func(nc net.Conn) {
		p := newPeer(nc)
		var mu sync.Mutex
		for {
			req, args, err := p.next()
			if err != nil {
				return
			}
			d := delay()
			go func() {
				time.Sleep(d)
				mu.Lock()
				defer mu.Unlock()
				p.answer(req.Seq, "", args.A*args.B)
			}()
		}
	}
}

// announcer is a Source whose states a test makes.
type announcer struct{ states chan resolver.State }

func announce(addrs ...string) *announcer {
	a := &announcer{make(chan resolver.State, 10)}
	a.say(addrs...)
	return a
}

func (a *announcer) say(addrs ...string) {
	var eps []resolver.Endpoint
	for _, addr := range addrs {
		eps = append(eps, resolver.Endpoint{Addr: addr, Target: addr, Weight: 1})
	}
	a.states <- resolver.State{Endpoints: eps, Confirmed: time.Now(), TTL: time.Second}
}

func (a *announcer) Watch(ctx context.Context, _ string) iter.Seq[resolver.State] {
	return func(yield func(resolver.State) bool) {
		for {
			select {
			case s := <-a.states:
				if !yield(s) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// lasts waits as long as a slow dial lasts, or until ctx ends.
func lasts(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fakeClient makes a client on a fake network. The test must close it.
func fakeClient(tb testing.TB, f *fakeNet, cfg Config, addrs ...string) *Client {
	tb.Helper()
	cfg.Conn.Dial = f.dial
	if cfg.Source == nil {
		cfg.Source = announce(addrs...)
	}
	c, err := New("_math._tcp.svc", &cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
