package rpcclient

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

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
		for n := range c.nodes {
			if left := n.conn().Weight(); left > 1 { // one is the ping that follows a deadline
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

func TestDeadNodeIsDialledWithGrowingDelayThatBeginsAnewWithANewAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		a := announce("dead:1")
		c := fakeClient(t, f, Config{Source: a, WaitForNode: -1})
		defer c.Close()
		time.Sleep(time.Minute)
		dials := f.dialled("dead:1")
		if len(dials) < 14 || len(dials) > 19 {
			t.Errorf("%d dials in a minute", len(dials))
		}
		for i := 1; i < len(dials); i++ {
			gap := dials[i].Sub(dials[i-1])
			if least := pauses[min(i, len(pauses))-1]; gap > least+spread || gap < least {
				t.Errorf("gap %d is %v, want %v to %v", i, gap, least, least+spread)
			}
		}
		a.say()
		synctest.Wait()
		a.say("dead:1")
		before := len(dials)
		again := time.Now()
		time.Sleep(time.Second)
		dials = f.dialled("dead:1")[before:]
		if len(dials) < 1 || dials[0] != again {
			t.Errorf("announced anew at %v, dialled at %v", again, dials)
		}
	})
}

func TestServerThatHangsUpAtOnceIsNotDialledInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"odd:1": func(nc net.Conn) {
			p := newPeer(nc)
			go p.next()
			time.Sleep(10 * time.Millisecond)
			nc.Close()
		}})
		c := fakeClient(t, f, Config{}, "odd:1")
		defer c.Close()
		time.Sleep(10 * time.Second)
		if n := len(f.dialled("odd:1")); n > 30 {
			t.Errorf("%d dials in 10s", n)
		}
	})
}

func TestServerThatIsBackAfterLongIsFoundWhileACallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		c := fakeClient(t, f, Config{}, "back:1")
		defer c.Close()
		time.Sleep(time.Minute) // the delay is long by now
		f.set("back:1", stock(&Arith{}))
		begin := time.Now()
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestSilentConnectionIsPingedAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"hole:1": func(nc net.Conn) {
			greeted(nc)
			io.Copy(io.Discard, nc)
		}})
		down := make(chan error, 10)
		begin := time.Now()
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}, Trace: &Trace{Disconnected: func(_ string, err error) {
			down <- err
		}}}, "hole:1")
		defer c.Close()
		why := <-down
		if took := time.Since(begin); took != 12*time.Second || !errors.Is(why, conn.ErrSilent) {
			t.Fatalf("down after %v, want 12s: %v", took, why)
		}
	})
}

func TestIdleConnectionIsKeptByPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"good:1": stock(&Arith{})})
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}}, "good:1")
		defer c.Close()
		time.Sleep(10 * time.Minute)
		if n := len(f.dialled("good:1")); n != 1 {
			t.Errorf("%d dials, want 1", n)
		}
	})
}

func TestServerThatNeverAnswersIsNotUsedAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"deaf:1": deaf, "good:1": stock(&Arith{})})
		c := fakeClient(t, f, Config{}, "deaf:1", "good:1")
		defer c.Close()
		for range 100 {
			begin := time.Now()
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil || time.Since(begin) > 0 {
				t.Fatal(time.Since(begin), err)
			}
		}
	})
}

func TestBlockedWriteHoldsUpNobodyBeyondHisDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		f := newFakeNet(map[string]func(net.Conn){"stuck:1": func(nc net.Conn) {
			greeted(nc)
			<-block
		}})
		defer close(block)
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}}, "stuck:1")
		defer c.Close()
		ready(t, c)
		begin := time.Now()
		var calls []chan error
		for i := range 10 {
			ended := make(chan error, 1)
			calls = append(calls, ended)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*100*time.Millisecond)
				defer cancel()
				ended <- c.Call(ctx, "Echo.Echo", &Payload{make([]byte, 100_000)}, nil)
			}()
		}
		for i, ended := range calls {
			err := <-ended
			if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != time.Duration(i+1)*100*time.Millisecond {
				t.Errorf("call %d: after %v: %v", i, took, err)
			}
		}
	})
}

func TestStuckConnectionIsGivenUpAndWhatWasNotWrittenGoesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		stuck := func(nc net.Conn) {
			greeted(nc)
			<-block
		}
		defer close(block)
		f := newFakeNet(map[string]func(net.Conn){"stuck:1": stuck, "good:1": stock(&Arith{})})
		a := announce("stuck:1")
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}, Source: a})
		defer c.Close()
		ready(t, c)
		begin := time.Now()
		call := c.Go(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), nil) // not idempotent
		synctest.Wait()
		a.say("stuck:1", "good:1")
		if <-call.Done; call.Error != nil {
			t.Fatal(call.Error)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("took %v, want the write timeout, 5s", took)
		}
	})
}

func TestRetriesStayWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"hung:1": silent, "hung:2": silent, "hung:3": silent})
		c := fakeClient(t, f, Config{Retry: RetryConfig{AttemptTimeout: 50 * time.Millisecond}}, "hung:1", "hung:2", "hung:3")
		defer c.Close()
		ready(t, c)
		const calls = 2000
		begin := time.Now()
		over := 0
		for range calls {
			err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), Idempotent())
			var e *Error
			if !errors.As(err, &e) || e.Executed != ExecutedMaybe {
				t.Fatal(err)
			}
			if errors.Is(err, ErrOverBudget) {
				over++
			}
		}
		s := c.Stats()
		// The floor is 3 a second, and the window lets 30 through at once.
		limit := calls/10 + 3*uint64(time.Since(begin)/time.Second) + 30
		if extra := s.Attempts - calls; extra > limit || extra < limit/2 {
			t.Errorf("%d extra attempts for %d calls in %v, want up to %d", extra, calls, time.Since(begin), limit)
		}
		if over == 0 {
			t.Error("no call says ErrOverBudget")
		}
	})
}

func TestRemovedNodeFinishesWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){
			"old:1": slow(func() time.Duration { return 3 * time.Second }),
			"new:1": stock(&Arith{}),
		})
		a := announce("old:1")
		c := fakeClient(t, f, Config{Source: a})
		defer c.Close()
		ready(t, c)
		call := c.Go(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), nil)
		synctest.Wait()
		a.say("new:1")
		time.Sleep(time.Second)
		var node string
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil || node != "new:1" {
			t.Error(node, err)
		}
		if <-call.Done; call.Error != nil || *call.Reply.(*int) != 42 {
			t.Error(call.Error)
		}
		synctest.Wait()
		if nodes := c.Stats().Nodes; len(nodes) != 1 {
			t.Errorf("nodes left: %+v", nodes)
		}
	})
}

func TestUnknownServiceFailsAtOnceAndSaysWhatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &announcer{make(chan resolver.State, 10)}
		cause := &resolver.Error{Name: "_math._tcp.svc.", Type: "SRV", Server: "127.0.0.1:5300", Rcode: "NXDOMAIN", Err: resolver.ErrNoSuchName}
		a.states <- resolver.State{Err: cause, Confirmed: time.Now()}
		c := fakeClient(t, newFakeNet(nil), Config{Source: a})
		defer c.Close()
		begin := time.Now()
		err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil)
		if !errors.Is(err, ErrNoNodes) || !errors.Is(err, resolver.ErrNoSuchName) || time.Since(begin) > 0 {
			t.Fatal(time.Since(begin), err)
		}
		for _, want := range []string{"_math._tcp.svc", "127.0.0.1:5300", "NXDOMAIN"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
		// When it is announced after all, calls go.
		f := newFakeNet(map[string]func(net.Conn){"good:1": stock(&Arith{})})
		c.cfg.Conn.Dial = f.dial
		a.say("good:1")
		synctest.Wait()
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestCallWaitsForTheFirstAnswerOfTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"good:1": stock(&Arith{})})
		a := &announcer{make(chan resolver.State, 10)}
		c := fakeClient(t, f, Config{Source: a})
		defer c.Close()
		time.AfterFunc(2*time.Second, func() { a.say("good:1") })
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil); err != nil {
			t.Error(err)
		}
	})
}
