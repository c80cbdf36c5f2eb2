package rpcserver_test

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

const ping = "_rollcall.Ping"

// TestPingsPassTheLimits, on a connection that is at its limit, and on another one when all
// calls together are.
func TestPingsPassTheLimits(t *testing.T) {
	for name, cfg := range map[string]rpcserver.Config{
		"of a connection": {Limits: rpcserver.Limits{InFlight: 2}},
		"of all":          {Limits: rpcserver.Limits{InFlightTotal: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArith()
			s, addr := serve(t, cfg, a)
			c, other := raw(t, addr), raw(t, addr)
			waiting := map[uint64]bool{}
			for range 5 {
				waiting[c.send(t, "Arith.Wait", 1)] = true
			}
			<-a.begun
			<-a.begun
			for _, c := range []*rawClient{c, other} {
				for range 3 {
					seq := c.send(t, ping, struct{}{})
					if resp := c.recv(t, nil); resp.Seq != seq || resp.ServiceMethod != ping {
						t.Fatalf("got %+v", resp)
					}
				}
			}
			if n := s.Stats().InFlight; n != 2 || len(a.begun) != 0 {
				t.Errorf("%d calls run, %d have begun meanwhile", n, len(a.begun))
			}
			close(a.gate)
			for range 5 {
				resp := c.recv(t, new(int))
				if !waiting[resp.Seq] || resp.Error != "" {
					t.Fatalf("got %+v", resp)
				}
				delete(waiting, resp.Seq)
			}
		})
	}
}

// TestClientThatIsHeldBackIsToldThatTheServerLives: waiting requests take all memory that
// is allowed, so that pings are not read.
func TestClientThatIsHeldBackIsToldThatTheServerLives(t *testing.T) {
	a := newArith()
	_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{InFlight: 1, BytesTotal: 10 << 10}}, a)
	c := raw(t, addr)
	const calls = 50
	for range calls {
		c.send(t, "Arith.Wait", 1)
	}
	<-a.begun
	for range 2 {
		if resp := c.recv(t, nil); resp != (rpc.Response{ServiceMethod: ping, Seq: maxSeq, Error: "busy"}) {
			t.Fatalf("got %+v", resp)
		}
	}
	close(a.gate)
	for answers := 0; answers < calls; {
		if resp := c.recv(t, new(int)); resp.Seq != maxSeq {
			answers++
		}
	}
}

// TestRequestsThatAreMoreThanTheMemoryWaitForEachOther, but not for ever: each of them is
// only half read when no memory is left.
func TestRequestsThatAreMoreThanTheMemoryWaitForEachOther(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{BytesTotal: 1 << 20}}, Echo{})
	var wg sync.WaitGroup
	for i := range 6 {
		client := dial(t, addr)
		wg.Go(func() {
			for k := range 10 {
				want := pattern(900<<10 + i*1000 + k)
				var got Payload
				if err := client.Call("Echo.Echo", Payload{want}, &got); err != nil || string(got.Data) != string(want) {
					t.Errorf("%d bytes: %v", len(want), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestSurplusConnectionLeavesTheHealthyOnesAlone.
func TestSurplusConnectionLeavesTheHealthyOnesAlone(t *testing.T) {
	s, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{Conns: 1}})
	var lost atomic.Int64
	c, err := rpcclient.New("_math._tcp.svc", &rpcclient.Config{
		Source: resolver.Static(addr),
		Trace:  &rpcclient.Trace{Disconnected: func(string, error) { lost.Add(1) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for calls := 0; calls < 20 || s.Stats().Refused == 0; calls++ {
		var n int
		if err := c.Call(context.Background(), "Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
			t.Fatal(n, err)
		}
	}
	if st := s.Stats(); lost.Load() != 0 || st.Accepted != 1 {
		t.Errorf("the node was lost %d times; %+v", lost.Load(), st)
	}
}

// TestCallsOfAClientThatIsGoneAreNotBegun, because nothing reads their answers.
func TestCallsOfAClientThatIsGoneAreNotBegun(t *testing.T) {
	for name, cfg := range map[string]rpcserver.Config{
		"of a connection": {Limits: rpcserver.Limits{InFlight: 1}},
		"of all":          {Limits: rpcserver.Limits{InFlightTotal: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArith()
			failed := make(chan struct{})
			inner := listener(t)
			serveOn(t, &watchedListener{inner, failed}, cfg, a)
			c := raw(t, inner.Addr().String())
			const calls = 50
			for range calls {
				c.send(t, "Arith.Wait", 1)
			}
			<-a.begun
			seq := c.send(t, ping, struct{}{}) // after them all
			if resp := c.recv(t, nil); resp.Seq != seq {
				t.Fatalf("got %+v", resp)
			}
			c.nc.(*net.TCPConn).SetLinger(0)
			c.nc.Close()
			<-failed
			a.gate <- struct{}{} // for the call that runs, and perhaps for the next one, if it is quick
			close(a.gate)
			other := dial(t, inner.Addr().String())
			if err := other.Call("Arith.Wait", 1, new(int)); err != nil { // after them all, if all share a limit
				t.Error(err)
			}
			if n := len(a.begun); n > calls/2 {
				t.Errorf("%d more were begun", n)
			}
		})
	}
}

// watchedListener signals when reading from a connection fails.
type watchedListener struct {
	net.Listener
	failed chan struct{}
}

func (l *watchedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{nc, l.failed}, nil
}

type watchedConn struct {
	net.Conn
	failed chan struct{}
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, syscall.ECONNRESET) {
		close(c.failed)
	}
	return n, err
}
