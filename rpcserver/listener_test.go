package rpcserver_test

import (
	"context"
	"errors"
	"net/http"
	"net/rpc"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// stock starts a server of net/rpc's own, registered with h, in fake time.
func stock(t *testing.T, h *sick, rcvr any) (*rpcserver.Listener, *pipes, *register.Lease) {
	t.Helper()
	inner := newPipes()
	l := rpcserver.NewListener(inner)
	t.Cleanup(func() { l.Close() })
	server := rpc.NewServer()
	if err := server.RegisterName("Stock", rcvr); err != nil {
		t.Fatal(err)
	}
	go func() {
		for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
			go server.ServeConn(nc)
		}
	}()
	lease, err := register.Keep(t.Context(), register.Config{
		Hooks: []string{"http://127.0.0.1"}, HTTP: &http.Client{Transport: direct{h}}, Service: "_math._tcp", NoHold: true,
		Registration: register.Registration{Host: "127.0.0.1", Port: 9001},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, inner, lease
}

// on is a client of net/rpc on a new connection.
func on(t *testing.T, l *pipes) *rpc.Client {
	t.Helper()
	nc, err := l.dial()
	if err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(nc)
	t.Cleanup(func() { c.Close() })
	return c
}

// Slow is a method that waits.
type Slow struct{ begun, gate chan struct{} }

// Wait answers when the gate is opened.
func (s *Slow) Wait(in int, out *int) error {
	s.begun <- struct{}{}
	<-s.gate
	*out = in
	return nil
}

// Echo answers at once.
func (s *Slow) Echo(in int, out *int) error {
	*out = in
	return nil
}

// TestStockServerStopsWithoutAnError: the call in flight is answered, and a client that has
// the record in a cache is served.
func TestStockServerStopsWithoutAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &sick{ttl: 10 * time.Second}
		slow := &Slow{make(chan struct{}, 1), make(chan struct{})}
		l, inner, lease := stock(t, h, slow)
		var n int
		call := on(t, inner).Go("Stock.Wait", 5, &n, nil)
		<-slow.begun
		ended := make(chan error, 1)
		go func() { ended <- l.Stop(t.Context(), lease) }()
		<-lease.Done()
		served, after := refusedAfter(t, inner, h, "Stock.Echo", 7)
		if served < 10 || after < h.ttl || after > h.ttl+time.Second {
			t.Errorf("%d new clients were served, the next refused %v after the record was deleted, whose TTL is %v", served, after, h.ttl)
		}
		close(slow.gate)
		if err := (<-call.Done).Error; err != nil || n != 5 {
			t.Errorf("the call in flight: %d, %v", n, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestStopOfAStockServerIsBounded by its context, whatever the hook and methods do.
func TestStopOfAStockServerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &sick{do: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
		slow := &Slow{make(chan struct{}, 1), make(chan struct{})}
		l, inner, lease := stock(t, h, slow)
		call := on(t, inner).Go("Stock.Wait", 5, new(int), nil)
		<-slow.begun
		h.ill.Store(true)
		const limit = time.Minute
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		if err := l.Stop(ctx, lease); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != limit {
			t.Errorf("it took %v, want %v", took, limit)
		}
		if err := (<-call.Done).Error; err == nil {
			t.Error("answered by nobody")
		}
		close(slow.gate)
	})
}

// TestStockServerStopsWithoutARegistration.
func TestStockServerStopsWithoutARegistration(t *testing.T) {
	l := rpcserver.NewListener(listener(t))
	l.Quiet = time.Millisecond
	go rpc.NewServer().Accept(l)
	c := dial(t, l.Addr().String())
	wantError(t, c.Call("Nobody.Knows", 1, nil), "can't find")
	if err := l.Stop(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
