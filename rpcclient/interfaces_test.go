package rpcclient

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/rpc"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Nils answers with interface values of which some are nil, when it is allowed to.
type Nils struct {
	entered chan struct{}
	let     chan struct{}
}

// List sends the definition of a type, the first time.
func (n *Nils) List(_ int, out *[]any) error {
	n.entered <- struct{}{}
	<-n.let
	*out = []any{nil, Inner{7}, nil, Outer{Inner{8}}, nil}
	return nil
}

// Map sends no definition.
func (n *Nils) Map(_ int, out *map[string]any) error {
	n.entered <- struct{}{}
	<-n.let
	*out = map[string]any{"x": nil, "y": 1}
	return nil
}

// Several is sent first within an interface value, and then alone.
type Several []any

func (n *Nils) Within(_ int, out *struct{ V any }) error {
	out.V = Several{1}
	return nil
}

func (n *Nils) Alone(_ int, out *Several) error {
	*out = Several{nil}
	return nil
}

// TestReplyOfATypeFirstMetWithinAnother: the call ends with its context at the latest,
// though the client cannot find the end of the reply.
func TestReplyOfATypeFirstMetWithinAnother(t *testing.T) {
	gob.Register(Several{})
	s := startStock(t, "")
	s.rpc.Register(&Nils{})
	c := newClient(t, Config{Conn: ConnConfig{PerNode: 1, PingInterval: -1}}, s.addr)
	if _, err := Invoke[struct{ V any }](t.Context(), c, "Nils.Within", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	call := c.Go(ctx, "Nils.Alone", 0, new(int), nil)
	select {
	case <-call.Done:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits beyond its context")
	}
	if call.Error == nil {
		t.Error("a list fits a number")
	}
}

// TestLateRepliesWithInterfaceValues touch nothing, though encoding/gob, when it skips a nil
// interface value, goes on into the next message, which is another call's. One whose
// types are known is left out. One that brings a type costs its connection.
func TestLateRepliesWithInterfaceValues(t *testing.T) {
	gob.Register(Inner{})
	gob.Register(Outer{})
	for name, tt := range map[string]struct {
		method string
		reply  any
		costs  bool
	}{
		"list":          {"Nils.List", new([]any), true},
		"map":           {"Nils.Map", new(map[string]any), false},
		"nothing waits": {"Nils.Map", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := startStock(t, "")
			nils := &Nils{make(chan struct{}, 1), make(chan struct{})}
			s.rpc.Register(nils)
			c := newClient(t, Config{Conn: ConnConfig{PerNode: 1}}, s.addr)
			for range 2 {
				ctx, cancel := context.WithCancel(t.Context())
				late := c.Go(ctx, tt.method, 0, tt.reply, nil)
				<-nils.entered
				other := c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil)
				<-s.arith.entered
				cancel()
				<-late.Done
				nils.let <- struct{}{}
				var who string
				err := c.Call(t.Context(), "Arith.Who", &Args{}, &who, Idempotent())
				if err != nil || who != s.addr {
					t.Fatalf("the next call: %q, %v", who, err)
				}
				s.arith.block <- struct{}{}
				<-other.Done
				if other.Error == nil && *other.Reply.(*int) != 5 || other.Error != nil && !tt.costs {
					t.Fatalf("another call on the connection: %v, %v", *other.Reply.(*int), other.Error)
				}
			}
			if n := c.Stats().Dials; n > 1 && !tt.costs {
				t.Errorf("%d connections were made", n)
			}
		})
	}
}

// TestReplyWithInterfaceValuesThatDoesNotFit ends with itself: its call does not wait for
// the next message. It costs its connection, if it is not only dropped.
func TestReplyWithInterfaceValuesThatDoesNotFit(t *testing.T) {
	for name, reply := range map[string]any{"misfit": new(int), "dropped": nil} {
		t.Run(name, func(t *testing.T) {
			s := startStock(t, "")
			c := newClient(t, Config{Conn: ConnConfig{PerNode: 1, PingInterval: -1}}, s.addr)
			other := c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil)
			<-s.arith.entered
			call := c.Go(t.Context(), "Odd.Nils", &Args{}, reply, nil)
			select {
			case <-call.Done:
			case <-time.After(20 * time.Second):
				t.Fatal("it waits for more")
			}
			var e *Error
			fits := reply == nil
			if fits != (call.Error == nil) || !fits && (!errors.As(call.Error, &e) || e.Executed != ExecutedYes || e.Attempts[0].Phase != PhaseDecode) {
				t.Error(call.Error)
			}
			s.arith.block <- struct{}{}
			<-other.Done
			if other.Error == nil && *other.Reply.(*int) != 5 || other.Error != nil && (fits || !errors.As(other.Error, &e) || e.Executed != ExecutedMaybe) {
				t.Errorf("another call on the connection: %v, %v", *other.Reply.(*int), other.Error)
			}
			if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}); err != nil || product != 42 {
				t.Errorf("the next call: %v, %v", product, err)
			}
		})
	}
}

// TestAConnectionThatEndsAloneIsReplacedAlone: the server gives it up after an argument
// whose end it cannot find. Calls in flight on it are answered, later ones use another
// connection, and the other connections of the node stay.
func TestAConnectionThatEndsAloneIsReplacedAlone(t *testing.T) {
	gob.Register(Inner{})
	for _, conns := range []int{1, 3} {
		t.Run(fmt.Sprint(conns), func(t *testing.T) {
			a := &Arith{block: make(chan struct{}), entered: make(chan struct{}, 100)}
			_, addr := startOurs(t, rpcserver.Config{}, a)
			c := newClient(t, Config{Conn: ConnConfig{PerNode: conns}}, addr)
			allUp(t, c, 1)
			var slow []*rpc.Call
			for range conns { // one call on each
				slow = append(slow, c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil))
				<-a.entered
			}
			var server rpc.ServerError
			if err := c.Call(t.Context(), "Arith.Multiply", &Any{Inner{1}}, new(int)); !errors.As(err, &server) {
				t.Error("an argument that does not fit:", err)
			}
			for range 20 {
				if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}); err != nil || product != 42 {
					t.Fatal("a call behind it:", product, err)
				}
			}
			allUp(t, c, 1)
			if n := c.Stats().Dials; n != uint64(conns)+1 {
				t.Errorf("%d connections were made for %d, of which one ended", n, conns)
			}
			close(a.block)
			for _, call := range slow {
				if <-call.Done; call.Error != nil {
					t.Error("a call that was in flight:", call.Error)
				}
			}
		})
	}
}

// TestValuesThatDoNotFitStopNoOtherCalls: each costs its connection, but the server works.
// So its node is dialled again soon, however many such values there were before.
func TestValuesThatDoNotFitStopNoOtherCalls(t *testing.T) {
	gob.Register(Inner{})
	gob.Register(Outer{})
	for name, tt := range map[string]struct {
		ours        bool
		method      string
		args, reply any
	}{
		"reply":       {false, "Odd.Nested", &Args{}, new(int)},
		"large reply": {false, "Echo.Echo", &Payload{make([]byte, 5000)}, new(Payload)},
		"argument":    {true, "Arith.Multiply", &Any{Inner{1}}, new(int)},
	} {
		t.Run(name, func(t *testing.T) {
			var addr string
			if tt.ours {
				_, addr = startOurs(t, rpcserver.Config{})
			} else {
				addr = startStock(t, "").addr
			}
			c := newClient(t, Config{Conn: ConnConfig{PerNode: 1, MaxReply: 4000}}, addr)
			const misfits = 6
			for i := range misfits {
				if err := c.Call(t.Context(), tt.method, tt.args, tt.reply); err == nil {
					t.Fatal("it fits")
				}
				ctx, cancel := context.WithTimeout(t.Context(), pauses[4]-100*time.Millisecond) // the pause after so many failures
				product, err := Invoke[int](ctx, c, "Arith.Multiply", &Args{6, 7})
				cancel()
				if err != nil || product != 42 {
					t.Fatalf("after %d misfits: %d, %v", i+1, product, err)
				}
			}
			if n := c.Stats().Dials; n != misfits+1 {
				t.Errorf("%d connections were made for %d misfits", n, misfits)
			}
		})
	}
}
