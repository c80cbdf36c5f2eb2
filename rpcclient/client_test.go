package rpcclient

import (
	"context"
	"errors"
	"net/rpc"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCallAnswersAndServerErrorIsItself(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	var product int
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{7, 8}, &product); err != nil || product != 56 {
		t.Fatal(product, err)
	}
	quo, err := Invoke[Quotient](t.Context(), c, "Arith.Divide", Args{17, 5})
	if err != nil || quo != (Quotient{3, 2}) {
		t.Fatal(quo, err)
	}
	var node string
	_, err = Invoke[Quotient](t.Context(), c, "Arith.Divide", Args{1, 0}, OnNode(&node))
	var server rpc.ServerError
	var call *Error
	if !errors.As(err, &server) || server != "divide by zero" || !errors.As(err, &call) || call.Executed != ExecutedYes {
		t.Fatalf("%v (%#v)", err, err)
	}
	if node != s.addr {
		t.Errorf("OnNode is %q, want %q", node, s.addr)
	}
	if want := "rpcclient: call Arith.Divide of _math._tcp.svc: divide by zero"; err.Error() != want {
		t.Errorf("error is %q\nwant     %q", err, want)
	}
	if got := s.arith.executed.Load(); got != 3 {
		t.Errorf("executed %d times, want 3: a server's error must not be retried", got)
	}
}

// TestAnAnswerIsNeverTriedAgainWhateverItSays: a method may say what net/rpc says
// of a method that it does not have.
func TestAnAnswerIsNeverTriedAgainWhateverItSays(t *testing.T) {
	const method = "Upstream.Ask"
	for _, text := range []string{
		"rpc: can't find method " + method,
		"rpc: can't find service " + method,
		"rpc: service/method request ill-formed: " + method,
	} {
		first, second := passOn{text: text}, passOn{text: text}
		a, b := startStock(t, ""), startStock(t, "")
		a.rpc.RegisterName("Upstream", &first)
		b.rpc.RegisterName("Upstream", &second)
		c := newClient(t, Config{}, a.addr, b.addr)
		allUp(t, c, 2)
		err := c.Call(t.Context(), method, &Args{}, nil, Idempotent())
		var call *Error
		var server rpc.ServerError
		if !errors.As(err, &server) || string(server) != text || !errors.As(err, &call) || call.Executed != ExecutedYes || len(call.Attempts) != 1 {
			t.Errorf("%v (%#v)", err, err)
		}
		if n := first.executed.Load() + second.executed.Load(); n != 1 {
			t.Errorf("%s: executed %d times", text, n)
		}
	}
}

// passOn answers with an error in the words of another.
type passOn struct {
	text     string
	executed atomic.Int32
}

func (p *passOn) Ask(*Args, *int) error {
	p.executed.Add(1)
	return errors.New(p.text)
}

func TestConcurrentCallsGetTheirOwnAnswers(t *testing.T) {
	a, b := startStock(t, ""), startStock(t, "")
	c := newClient(t, Config{}, a.addr, b.addr)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 50 {
				var product int
				if err := c.Call(t.Context(), "Arith.Multiply", &Args{i, j}, &product); err != nil || product != i*j {
					t.Errorf("%d*%d = %d, %v", i, j, product, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if a.arith.executed.Load() == 0 || b.arith.executed.Load() == 0 {
		t.Errorf("executed %d and %d: one node got nothing", a.arith.executed.Load(), b.arith.executed.Load())
	}
}

func TestGoCompletesOnDone(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	done := make(chan *rpc.Call, 10)
	for i := range 10 {
		c.Go(t.Context(), "Arith.Multiply", &Args{i, 2}, new(int), done)
	}
	for range 10 {
		call := <-done
		if call.Error != nil || *call.Reply.(*int) != call.Args.(*Args).A*2 {
			t.Errorf("%+v", call)
		}
	}
}

func TestNetRPCIsWhatAnRPCClientIs(t *testing.T) {
	s := startStock(t, "")
	client := newClient(t, Config{}, s.addr).NetRPC()
	// The code below was written for *rpc.Client.
	var caller interface {
		Call(method string, args, reply any) error
		Go(method string, args, reply any, done chan *rpc.Call) *rpc.Call
		Close() error
	} = client
	var quo Quotient
	err := caller.Call("Arith.Divide", &Args{1, 0}, &quo)
	if _, ok := err.(rpc.ServerError); !ok {
		t.Fatalf("%T %v", err, err)
	}
	call := <-caller.Go("Arith.Divide", &Args{9, 2}, &quo, nil).Done
	if call.Error != nil || quo.Quo != 4 {
		t.Fatal(call.Error, quo)
	}
	caller.Close()
	if err := caller.Call("Arith.Divide", &Args{1, 0}, &quo); err != rpc.ErrShutdown {
		t.Fatal(err)
	}
	if err := caller.Close(); err != rpc.ErrShutdown {
		t.Fatal(err)
	}
}

func TestNoNodesSaysWhatWasAskedOfWhom(t *testing.T) {
	s := startStock(t, "")
	s.stop()
	c := newClient(t, Config{WaitForNode: 300 * time.Millisecond}, s.addr)
	err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil)
	var call *Error
	if !errors.Is(err, ErrNoNodes) || !errors.As(err, &call) || call.Executed != ExecutedNever {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), s.addr) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error does not name the node and its failure: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), s.addr) {
		t.Errorf("Ready: %v", err)
	}
}

func TestServerReturningOnItsPortIsUsedAgain(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	ready(t, c)
	s.stop()
	again := startStock(t, s.addr)
	var product int
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, &product); err != nil || product != 6 {
		t.Fatal(product, err)
	}
	if again.arith.executed.Load() != 1 {
		t.Error("executed elsewhere")
	}
}

func TestShutdownWaitsForCallsAndTakesNoMore(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	call := c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil)
	ended := make(chan error, 1)
	go func() { ended <- c.Shutdown(t.Context()) }()
	for !c.closing.Load() {
		runtime.Gosched()
	}
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("call while shutting down: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatal("Shutdown did not wait", err)
	default:
	}
	close(s.arith.block)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if <-call.Done; call.Error != nil || *call.Reply.(*int) != 5 {
		t.Error(call.Error)
	}
}

func TestCloseAbortsCalls(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	call := c.Go(t.Context(), "Arith.Block", &Args{A: 5}, new(int), nil)
	<-s.arith.entered
	c.Close()
	<-call.Done
	var e *Error
	if !errors.Is(call.Error, ErrClosed) || !errors.As(call.Error, &e) || e.Executed != ExecutedMaybe {
		t.Error(call.Error)
	}
}

func TestNothingIsSentForAContextThatHasEnded(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	ready(t, c)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the user has gone")
	cancel(gone)
	err := c.Call(ctx, "Arith.Multiply", &Args{1, 2}, nil)
	var e *Error
	if !errors.Is(err, context.Canceled) || !errors.Is(err, gone) || !errors.As(err, &e) || e.Executed != ExecutedNever {
		t.Fatal(err)
	}
	c.Close() // whatever was sent has arrived, or never will
	s.stop()
	if n := s.arith.executed.Load(); n != 0 {
		t.Errorf("executed %d times", n)
	}
}

// endsUnseen is a context whose deadline has passed before its timer fired.
type endsUnseen struct{ context.Context }

func (endsUnseen) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestNothingIsSentPastTheDeadline(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	ready(t, c)
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, ctx := range []context.Context{past, endsUnseen{t.Context()}} {
		err := c.Call(ctx, "Arith.Multiply", &Args{1, 2}, nil)
		var e *Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Executed != ExecutedNever {
			t.Error(err)
		}
	}
	c.Close()
	s.stop()
	if n := s.arith.executed.Load(); n != 0 {
		t.Errorf("executed %d times", n)
	}
}

// TestContextThatEndsOnTheWayIsNotSent: between the start of the call and the
// writing, and between two tries.
func TestContextThatEndsOnTheWayIsNotSent(t *testing.T) {
	for last := 1; last <= 2; last++ {
		s := startStock(t, "")
		c := newClient(t, Config{}, s.addr)
		allUp(t, c, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		trace := &Trace{Picked: func(_, _ string, try int) {
			if try == last {
				cancel()
				return
			}
			for n := range c.nodes {
				for _, cn := range *n.usable.Load() {
					cn.Fail(errors.New("lost"))
				}
			}
		}}
		err := c.Call(WithTrace(ctx, trace), "Arith.Multiply", &Args{1, 2}, nil)
		var e *Error
		if !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Executed != ExecutedNever || len(e.Attempts) != last {
			t.Errorf("cancelled in try %d: %v", last, err)
		}
		c.Close()
		s.stop()
		if n := s.arith.executed.Load(); n != 0 {
			t.Errorf("cancelled in try %d: executed %d times", last, n)
		}
	}
}

// TestAnErrorSaysItsCauseOnce: the attempts follow without it.
func TestAnErrorSaysItsCauseOnce(t *testing.T) {
	lost := errors.New("lost")
	for want, e := range map[string]*Error{
		"no usable node: no such name": {
			Err:      &noNodesError{source: errors.New("no such name")},
			Attempts: []Attempt{{Phase: PhasePick}},
		},
		"lost (maybe executed); attempt 1: a:1 wait maybe executed": {
			Executed: ExecutedMaybe, Err: lost,
			Attempts: []Attempt{{Node: "a:1", Phase: PhaseWait, Took: time.Second, Executed: ExecutedMaybe, Err: lost}},
		},
		"lost (maybe executed); attempt 1: a:1 write: half; attempt 2: b:1 hedge wait maybe executed": {
			Executed: ExecutedMaybe, Err: lost,
			Attempts: []Attempt{
				{Node: "a:1", Phase: PhaseWrite, Err: errors.New("half")},
				{Node: "b:1", Phase: PhaseWait, Hedge: true, Took: time.Second, Executed: ExecutedMaybe, Err: lost},
			},
		},
	} {
		if e.Attempts[0].Err == nil {
			e.Attempts[0].Err = e.Err
		}
		e.Service, e.Method = "_math._tcp.svc", "Arith.Divide"
		if want = "rpcclient: call Arith.Divide of _math._tcp.svc: " + want; e.Error() != want {
			t.Errorf("error is %q\nwant     %q", e, want)
		}
	}
}
