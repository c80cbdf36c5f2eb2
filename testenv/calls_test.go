package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// The rows of docs/promises.md that are about single calls.

// Waiter has a method that runs until its context ends, and tells why it did.
type Waiter struct {
	begun chan context.Context
	ended chan error
}

func newWaiter() *Waiter {
	return &Waiter{make(chan context.Context, 100), make(chan error, 100)}
}

// Wait waits.
func (w *Waiter) Wait(ctx context.Context, _ int, _ *int) error {
	w.begun <- ctx
	<-ctx.Done()
	w.ended <- context.Cause(ctx)
	return ctx.Err()
}

func waiting(t *testing.T, nodes int) (*Env, *Waiter) {
	w := newWaiter()
	return New(t, Setup{Nodes: nodes, Receivers: func(int) []any { return []any{w} }}), w
}

// multiplies checks that a call succeeds, and returns the node.
func multiplies(t *testing.T, c *rpcclient.Client) (node string) {
	t.Helper()
	var n int
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, &n, rpcclient.OnNode(&node)); err != nil || n != 42 {
		t.Fatal(n, err)
	}
	return node
}

func TestTheDeadlineOfACallPassesWhileItsMethodRuns(t *testing.T) {
	env, w := waiting(t, 2)
	c := env.Client(&rpcclient.Config{Conn: rpcclient.ConnConfig{PerNode: 1}})
	multiplies(t, c)
	var theirs context.Context
	for timeout := 200 * time.Millisecond; theirs == nil; timeout *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		failed := make(chan error, 1)
		go func() { failed <- c.Call(ctx, "Waiter.Wait", 0, nil) }()
		var err error
		select {
		case theirs = <-w.begun:
			err = <-failed
		case err = <-failed: // so slow is the machine: once more, with more time
		}
		cancel()
		var e *rpcclient.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Executed == rpcclient.ExecutedYes {
			t.Fatal(err)
		}
	}
	if _, has := theirs.Deadline(); !has {
		t.Error("the deadline has not travelled")
	}
	// Whichever comes first: its own deadline, or the cancel of the client.
	if cause := <-w.ended; cause != context.DeadlineExceeded && cause != rpcserver.ErrGaveUp {
		t.Error("the method's context ends by", cause)
	}
	if s := c.Stats(); s.Retries != 0 {
		t.Errorf("it was tried again: %+v", s)
	}
	multiplies(t, c)
}

func TestTheCallerGivesACallUp(t *testing.T) {
	env, w := waiting(t, 1)
	c := env.Client(&rpcclient.Config{Conn: rpcclient.ConnConfig{PerNode: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- c.Call(ctx, "Waiter.Wait", 0, nil) }()
	<-w.begun
	cancel()
	if cause := <-w.ended; cause != rpcserver.ErrGaveUp {
		t.Error("the method's context ends by", cause)
	}
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	multiplies(t, c)
	if dials := c.Stats().Dials; dials != 1 {
		t.Errorf("%d connections were made: the cancel has cost one", dials)
	}
}

func TestAServerRefusesACall(t *testing.T) {
	var refuses atomic.Int64
	env := New(t, Setup{Nodes: 2, Middleware: func(i int) []rpcserver.Middleware {
		if i > 0 {
			return nil
		}
		return []rpcserver.Middleware{func(context.Context, *rpcserver.Call, rpcserver.Handler) error {
			refuses.Add(1)
			return rpcserver.Refuse("too many calls of this caller", time.Minute)
		}}
	}})
	connected := make(chan string, 10)
	c := env.Client(&rpcclient.Config{Trace: &rpcclient.Trace{Connected: func(node string) { connected <- node }}})
	<-connected
	<-connected // else there is no other to go to
	for calls := 0; calls < 100 || refuses.Load() == 0; calls++ {
		if node := multiplies(t, c); node != env.Node(1).Addr() {
			t.Fatal("answered by", node)
		}
	}
	if n, executed := refuses.Load(), env.Node(0).Arith.Calls(); n != 1 || executed != 0 {
		t.Errorf("asked %d times for a minute, and it has executed %d calls", n, executed)
	}
	if s := c.Stats(); s.Refused != 1 || s.FailedNever+s.FailedMaybe > 0 {
		t.Errorf("%+v", s)
	}
}

func TestAServerDoesNotServe(t *testing.T) {
	env, w := waiting(t, 2)
	c := env.Client(nil)
	load := startLoad(t, c, 2) // not idempotent
	load.awaitCalls(t, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 20 { // some of them run on node 0
		go c.Call(ctx, "Waiter.Wait", 0, nil, rpcclient.Settings(rpcclient.Method{Timeout: -1}))
	}
	for range 20 {
		<-w.begun
	}
	for range 2 {
		for _, receiver := range []string{"", "Arith"} {
			if err := env.Node(0).Server().SetServing(receiver, false, "its disk is full"); err != nil {
				t.Fatal(err)
			}
			env.Await("the instance is drained", func(all []register.Published) bool { return drained(all, "a1") })
			load.awaitCalls(t, 100)
			if err := env.Node(0).Server().SetServing(receiver, true, ""); err != nil {
				t.Fatal(err)
			}
			env.Await("the instance is in DNS", func(all []register.Published) bool { return !drained(all, "a1") })
			load.awaitCalls(t, 100)
		}
	}
	load.finish(t)
	if len(w.ended) > 0 {
		t.Error("a call was ended that had begun:", <-w.ended)
	}
	cancel()
	for range 20 {
		<-w.ended
	}
}

func TestAnInstanceDrainsItself(t *testing.T) {
	env := New(t, Setup{Nodes: 2})
	c := env.Client(nil)
	load := startLoad(t, c, 2) // not idempotent
	load.awaitCalls(t, 100)
	lease := env.Node(0).Server().Leases()[0]
	if err := lease.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !drained(env.Published(), "a1") {
		t.Error("it is in DNS when Drain has returned")
	}
	// A new client does not find it.
	other := env.Client(nil)
	for range 20 {
		if node := multiplies(t, other); node != env.Node(1).Addr() {
			t.Fatal("answered by", node)
		}
	}
	if err := lease.Undrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if drained(env.Published(), "a1") {
		t.Error("it is not in DNS when Undrain has returned")
	}
	load.awaitCalls(t, 100)
	load.finish(t)
}

// drained tells whether an instance is registered, and left out of DNS.
func drained(all []register.Published, id string) bool {
	for _, p := range all {
		if p.ID == id {
			return p.State == register.InstanceDrained
		}
	}
	return false
}

func TestOneEndIsNetRpcsOwn(t *testing.T) {
	t.Run("the server", func(t *testing.T) {
		env := New(t, Setup{Nodes: 1, Stock: true})
		c := env.Client(nil)
		ctx, cancel := context.WithTimeout(rpcclient.WithMeta(t.Context(), "token", "x"), time.Minute)
		defer cancel()
		var n int
		if err := c.Call(ctx, "Arith.Multiply", &Args{6, 7}, &n); err != nil || n != 42 {
			t.Error("with a deadline and metadata:", n, err)
		}
		short, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer end()
		if err := c.Call(short, "Arith.Sleep", &Args{A: 200}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("past its deadline:", err)
		}
		multiplies(t, c)
	})
	t.Run("the client", func(t *testing.T) {
		w := newWaiter()
		env := New(t, Setup{
			Nodes: 1, Receivers: func(int) []any { return []any{w} },
			Middleware: func(int) []rpcserver.Middleware {
				return []rpcserver.Middleware{func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
					if call.Method == "Arith.Divide" {
						return rpcserver.Refuse("no division today", time.Second)
					}
					return next(ctx, call)
				}}
			},
		})
		c, err := rpc.Dial("tcp", env.Node(0).Addr())
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := c.Call("Arith.Multiply", &Args{6, 7}, &n); err != nil || n != 42 {
			t.Error(n, err)
		}
		if err := c.Call("Arith.Divide", &Args{6, 7}, &Quotient{}); fmt.Sprint(err) != "no division today" {
			t.Error("refused with", err)
		}
		call := c.Go("Waiter.Wait", 0, new(int), nil)
		<-w.begun
		c.Close()
		if cause := <-w.ended; cause != rpcserver.ErrDisconnected {
			t.Error("the method's context ends by", cause)
		}
		if <-call.Done; call.Error == nil { // which error it is depends on the kernel
			t.Error("a call succeeds whose connection was closed")
		}
	})
}
