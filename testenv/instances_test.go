package testenv

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

func TestAnInstanceIsKilled(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4, rpcclient.Idempotent())
	load.awaitCalls(t, 200)
	for i := range 3 {
		env.Fault(i, Kill)
		load.awaitCalls(t, 200)
		// Its registration was held: the record is removed long before the lease ends.
		env.AwaitNodes()
		load.awaitCalls(t, 200)
		env.Restart(i)
		env.AwaitNodes()
		load.awaitCalls(t, 200)
	}
	load.finish(t)
}

func TestAnInstanceIsKilledAndNoCallIsExecutedTwice(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4)
	load.awaitCalls(t, 200)
	dead := env.Node(0).Arith
	env.Fault(0, Kill)
	load.awaitCalls(t, 500)
	load.stop()
	executed := dead.Calls()
	for _, n := range env.Nodes()[1:] {
		executed += n.Arith.Calls()
	}
	for _, err := range load.errs {
		var e *rpcclient.Error
		if !errors.As(err, &e) || e.Executed != rpcclient.ExecutedMaybe {
			t.Errorf("a failed call that is not idempotent must be one that was perhaps executed: %v", err)
		}
	}
	if answered := load.calls.Load() - int64(len(load.errs)); executed < answered || executed > load.calls.Load() {
		t.Errorf("%d calls answered, %d failed, %d executed", answered, len(load.errs), executed)
	}
}

func TestAnInstanceStopsByItself(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4) // not idempotent: nothing may be retried that was executed
	load.awaitCalls(t, 200)
	for i := range 3 {
		env.Drain(i)
		env.AwaitNodes()
		load.awaitCalls(t, 200)
		env.Restart(i)
		env.AwaitNodes()
		load.awaitCalls(t, 200)
	}
	load.finish(t)
}

// impatient are the settings of a client where a node hangs. A node that works needs a
// millisecond. Should the machine stop for longer than an attempt has, another attempt follows,
// for as long as a test waits.
var impatient = rpcclient.Config{
	Timeout: patience,
	Retry: rpcclient.RetryConfig{
		AttemptTimeout: 500 * time.Millisecond,
		Max:            1000,
		Budget:         balancer.Budget{Floor: 1000},
	},
}

func TestAnInstanceHangs(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(&impatient)
	load := startLoad(t, c, 4, rpcclient.Idempotent())
	load.awaitCalls(t, 200)
	hung := env.Node(1).Arith
	env.Fault(1, Hang)
	load.awaitCalls(t, 500)
	before := hung.Calls()
	env.Fault(1, Healthy)
	awaitCount(t, "calls executed after the hang", hung.Calls, before+50)
	load.finish(t)
}

// A frozen process differs from a hanging one: dnsd hears nothing from it either,
// though its kernel acknowledges all that is sent.
func TestAProcessIsFrozen(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(&impatient)
	load := startLoad(t, c, 4, rpcclient.Idempotent())
	load.awaitCalls(t, 200)
	frozen := env.Node(1)
	env.Fault(1, Freeze)
	env.Await("it is gone", func(in []register.Published) bool { return len(in) == 2 })
	load.awaitCalls(t, 200)
	env.Fault(1, Healthy)
	env.Await("it is back", func(in []register.Published) bool { return len(in) == 3 })
	awaitCount(t, "calls executed after the freeze", frozen.Arith.Calls, frozen.Arith.Calls()+50)
	load.finish(t)
}

func TestAnInstanceStopsWhileDnsdIsAway(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	c := env.Client(nil)
	load := startLoad(t, c, 4) // not idempotent
	load.awaitCalls(t, 200)
	env.StopDNSD(0)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 2 {
		_ = env.Node(i).server.Shutdown(ctx) // its error is that it could not deregister
		if ctx.Err() != nil {
			t.Fatalf("the stop takes longer than %v", patience)
		}
		env.Node(i).fault = Kill
	}
	load.awaitCalls(t, 500)
	env.StartDNSD(0)
	for i := range 2 {
		env.Restart(i)
	}
	env.AwaitNodes()
	load.awaitCalls(t, 200)
	load.finish(t)
}
