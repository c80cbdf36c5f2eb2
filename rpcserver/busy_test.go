package rpcserver_test

import (
	"context"
	"io"
	"net"
	"net/rpc"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

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
			synctest.Test(t, func(t *testing.T) {
				a := newArith()
				s := rpcserver.New(cfg)
				if err := s.Register(a); err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				connect := func() net.Conn {
					ours, theirs := net.Pipe()
					go s.ServeConn(losable{theirs})
					return ours
				}
				c := rawOn(t, connect())
				const calls = 50
				for range calls {
					c.send(t, "Arith.Wait", 1)
				}
				<-a.begun
				seq := c.send(t, ping, struct{}{}) // after them all
				if resp := c.recv(t, nil); resp.Seq != seq {
					t.Fatalf("got %+v", resp)
				}
				c.nc.Close()
				synctest.Wait() // the server knows it
				close(a.gate)   // for the call that runs
				other := rpc.NewClient(connect())
				defer other.Close()
				if err := other.Call("Arith.Wait", 1, new(int)); err != nil { // after them all, if all share a limit
					t.Error(err)
				}
				if n := len(a.begun); n != 1 {
					t.Errorf("%d more were begun, want the other client's", n)
				}
			})
		})
	}
}

// losable is an end of a pipe that is lost, as a socket is by a reset, when the other end
// is closed.
type losable struct{ net.Conn }

func (c losable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		err = &net.OpError{Op: "read", Net: "pipe", Err: syscall.ECONNRESET}
	}
	return n, err
}
