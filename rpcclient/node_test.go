package rpcclient

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

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

func TestBlockedWriteDelaysNoCallBeyondItsDeadline(t *testing.T) {
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

// The client sees that a connection has ended at once, and not in the next call.
func TestClosedConnectionIsNotUsed(t *testing.T) {
	a, b := startStock(t, ""), startStock(t, "")
	lost := make(chan string, 10)
	c := newClient(t, Config{Trace: &Trace{Disconnected: func(node string, _ error) { lost <- node }}}, a.addr, b.addr)
	allUp(t, c, 2)
	a.stop()
	for node := range lost {
		if node == a.addr {
			break
		}
	}
	for range 50 {
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{1, 2}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Retries != 0 {
		t.Errorf("%d retries", s.Retries)
	}
}
