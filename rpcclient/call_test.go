package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestReplyThatIsNoPointerIsRefusedBeforeAnythingIsSent(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	ready(t, c)
	for _, reply := range []any{"", 0, Quotient{}, []int{1}, map[string]int{}, (*int)(nil)} {
		err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, reply)
		var e *Error
		if !errors.As(err, &e) || e.Executed != ExecutedNever || len(e.Attempts) != 0 || !strings.Contains(err.Error(), fmt.Sprintf("%T", reply)) {
			t.Errorf("%T: %v", reply, err)
		}
		call := <-c.Go(t.Context(), "Arith.Multiply", &Args{2, 3}, reply, nil).Done
		if !errors.As(call.Error, &e) || e.Executed != ExecutedNever {
			t.Errorf("Go with %T: %v", reply, call.Error)
		}
	}
	if n := s.arith.executed.Load(); n != 0 {
		t.Errorf("executed %d times", n)
	}
}

func TestNilReplyDropsTheAnswer(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{3, 4}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestDroppedAnswerIsNoFailure: the server has answered, even if encoding/gob cannot skip
// the answer.
func TestDroppedAnswerIsNoFailure(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{Conn: ConnConfig{PerNode: 1}}, s.addr)
	for _, method := range []string{"Odd.Nested", "Odd.Nils", "Odd.Nested", "Odd.Text"} {
		if err := c.Call(t.Context(), method, &Args{}, nil); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

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
	c.Close() // after this, no request arrives any more
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

// TestContextThatEndsOnTheWayIsNotSent: the context ends between the start of the call and
// the write, or between two attempts.
func TestContextThatEndsOnTheWayIsNotSent(t *testing.T) {
	for last := 1; last <= 2; last++ {
		s := startStock(t, "")
		c := newClient(t, Config{}, s.addr)
		allUp(t, c, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		trace := &Trace{Picked: func(_, _ string, attempt int) {
			if attempt == last {
				cancel()
				return
			}
			for _, n := range allNodes(c) {
				for _, cn := range *n.usable.Load() {
					cn.Fail(errors.New("lost"))
				}
			}
		}}
		err := c.Call(WithTrace(ctx, trace), "Arith.Multiply", &Args{1, 2}, nil)
		var e *Error
		if !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Executed != ExecutedNever || len(e.Attempts) != last {
			t.Errorf("cancelled in attempt %d: %v", last, err)
		}
		c.Close()
		s.stop()
		if n := s.arith.executed.Load(); n != 0 {
			t.Errorf("cancelled in attempt %d: executed %d times", last, n)
		}
	}
}

// TestTimeoutsSayWhichOneItWas, always with the same text, so that they can be counted.
func TestTimeoutsSayWhichOneItWas(t *testing.T) {
	none := func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	ends := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 3*time.Second)
	}
	idempotent := []CallOption{Idempotent()}
	for name, tt := range map[string]struct {
		cfg  Config
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		opts []CallOption
		node func(net.Conn)
		want string
		took time.Duration
		is   error
	}{
		"Timeout":        {node: silent, ctx: none, want: "no answer within Config.Timeout", took: 10 * time.Second, is: context.DeadlineExceeded},
		"AttemptTimeout": {cfg: Config{Retry: RetryConfig{AttemptTimeout: time.Second, Max: -1}}, node: silent, ctx: none, want: "no answer within Config.Retry.AttemptTimeout", took: time.Second, is: context.DeadlineExceeded},
		"half":           {cfg: Config{Retry: RetryConfig{Max: -1}}, node: silent, ctx: none, opts: idempotent, want: "no answer within Config.Retry.AttemptTimeout", took: 5 * time.Second, is: context.DeadlineExceeded},
		"context":        {node: silent, ctx: ends, want: "context deadline exceeded", took: 3 * time.Second, is: context.DeadlineExceeded},
		"not written": {cfg: Config{Conn: ConnConfig{WriteTimeout: time.Hour, PingInterval: -1}, Timeout: 7 * time.Second}, ctx: none, node: func(nc net.Conn) {
			nc.Read(make([]byte, 1))
			<-time.After(time.Hour)
		}, want: "no answer within Config.Timeout", took: 7 * time.Second, is: context.DeadlineExceeded},
		"WaitForNode":        {ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connection refused", took: 5 * time.Second, is: ErrNoNodes},
		"Timeout, no node":   {cfg: Config{Timeout: time.Second}, ctx: none, want: "nothing within Config.Timeout: no usable node of 1 announced; a:1: connection refused", took: time.Second, is: context.DeadlineExceeded},
		"context, no node":   {ctx: ends, want: "context deadline exceeded: no usable node of 1 announced; a:1: connection refused", took: 3 * time.Second, is: context.DeadlineExceeded},
		"first ping":         {node: func(nc net.Conn) { io.Copy(io.Discard, nc) }, ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connected, but the first ping failed: no answer within Config.Conn.PingTimeout", took: 5 * time.Second, is: ErrNoNodes},
		"first ping goes on": {cfg: Config{Timeout: time.Second}, node: func(nc net.Conn) { io.Copy(io.Discard, nc) }, ctx: none, want: "nothing within Config.Timeout: no usable node of 1 announced; a:1: the first dial and its ping have not ended yet", took: time.Second, is: context.DeadlineExceeded},
		"first ping closed":  {node: func(nc net.Conn) { nc.Read(make([]byte, 4096)); nc.Close() }, ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connected, but the first ping failed: connection closed by the server", took: 5 * time.Second, is: ErrNoNodes},
	} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(2 * time.Hour) // the node ends the call that it executes
			f := newFakeNet(map[string]func(net.Conn){"a:1": tt.node})
			if tt.node == nil {
				delete(f.nodes, "a:1")
			}
			tt.cfg.Conn.PerNode = 1
			c := fakeClient(t, f, tt.cfg, "a:1")
			defer c.Close()
			ctx, cancel := tt.ctx(t.Context())
			defer cancel()
			begin := time.Now()
			err := c.Call(ctx, "Arith.Multiply", &Args{2, 3}, new(int), tt.opts...)
			if took := time.Since(begin); took != tt.took {
				t.Errorf("%s: took %v, want %v", name, took, tt.took)
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, tt.is) {
				t.Fatalf("%s: %#v", name, err)
			}
			if !strings.HasPrefix(e.Err.Error(), tt.want) {
				t.Errorf("%s: error is %q, want %q", name, e.Err, tt.want)
			}
			if text := err.Error(); strings.Contains(text, "0s") || strings.Contains(text, "ms") {
				t.Errorf("%s: numbers: %v", name, text)
			}
		})
	}
}

func TestIdempotentCallMovesOnAfterHalfItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"hung:1": silent, "good:1": stock(&Arith{})})
		a := announce("hung:1")
		c := fakeClient(t, f, Config{Source: a, Methods: map[string]Method{"Arith.Multiply": {Idempotent: true}}})
		defer c.Close()
		ready(t, c)
		begin := time.Now()
		call := c.Go(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), nil)
		synctest.Wait()
		a.say("hung:1", "good:1")
		<-call.Done
		if call.Error != nil || *call.Reply.(*int) != 42 {
			t.Fatal(call.Error)
		}
		if took := time.Since(begin); took < 5*time.Second || took > 5*time.Second+retryBase {
			t.Errorf("took %v, want 5s", took)
		}
	})
}

func TestCallThatMayNotBeRepeatedFailsAsMaybeAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"hung:1": silent, "hung:2": silent})
		c := fakeClient(t, f, Config{}, "hung:1", "hung:2")
		defer c.Close()
		begin := time.Now()
		err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
		var e *Error
		if !errors.As(err, &e) || e.Executed != ExecutedMaybe || len(e.Attempts) != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("took %v, want 10s", took)
		}
	})
}

func TestContextEndsCallAtOnceAndLateReplyTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"late:1": slow(func() time.Duration { return time.Second })})
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}}, "late:1")
		defer c.Close()
		ready(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		reply := -1
		begin := time.Now()
		err := c.Call(ctx, "Arith.Multiply", &Args{6, 7}, &reply)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 100*time.Millisecond {
			t.Fatal(took, err)
		}
		for _, n := range allNodes(c) {
			if left := n.conn().Weight(); left > 1 { // the ping that follows a deadline counts 1
				t.Errorf("%d requests are left pending", left)
			}
		}
		time.Sleep(2 * time.Second) // the reply comes
		synctest.Wait()
		if reply != -1 {
			t.Errorf("late reply wrote %d", reply)
		}
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, &reply); err != nil || reply != 42 {
			t.Error("next call:", reply, err)
		}
		if dials := len(f.dialled("late:1")); dials != 1 {
			t.Errorf("%d dials, want 1: a late reply must not cost a connection", dials)
		}
	})
}
