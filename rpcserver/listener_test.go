package rpcserver_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// stock starts a server of net/rpc's own, registered with h.
func stock(t *testing.T, h *sick, rcvr any) (*rpcserver.Listener, *register.Lease) {
	t.Helper()
	hook := httptest.NewServer(h)
	t.Cleanup(hook.Close)
	l := rpcserver.NewListener(listener(t))
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
		Hooks: []string{hook.URL}, Service: "_math._tcp", NoHold: true,
		Registration: register.Registration{Port: uint16(l.Addr().(*net.TCPAddr).Port)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, lease
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
	h := &sick{ttl: time.Second}
	slow := &Slow{make(chan struct{}, 1), make(chan struct{})}
	l, lease := stock(t, h, slow)
	var n int
	call := dial(t, l.Addr().String()).Go("Stock.Wait", 5, &n, nil)
	<-slow.begun
	ended := make(chan error, 1)
	go func() { ended <- l.Stop(t.Context(), lease) }()
	<-lease.Done()
	served := 0
	for {
		c, err := rpc.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		var m int
		err = c.Call("Stock.Echo", 7, &m)
		c.Close()
		if err != nil { // the listener was just closed
			break
		}
		served++
	}
	if after := time.Since(time.Unix(0, h.deleted.Load())); after < h.ttl || served == 0 {
		t.Errorf("%d new clients were served, the next refused %v after the record was deleted, whose TTL is %v", served, after, h.ttl)
	}
	close(slow.gate)
	if err := (<-call.Done).Error; err != nil || n != 5 {
		t.Errorf("the call in flight: %d, %v", n, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestStopOfAStockServerIsBounded by its context, whatever the hook and methods do.
func TestStopOfAStockServerIsBounded(t *testing.T) {
	h := &sick{do: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}
	slow := &Slow{make(chan struct{}, 1), make(chan struct{})}
	l, lease := stock(t, h, slow)
	call := dial(t, l.Addr().String()).Go("Stock.Wait", 5, new(int), nil)
	<-slow.begun
	h.ill.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.Stop(ctx, lease); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := (<-call.Done).Error; err == nil {
		t.Error("answered by nobody")
	}
	close(slow.gate)
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
