package rpcserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"net/rpc/jsonrpc"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

var jsonCodec = jsonrpc.NewServerCodec

const (
	drain  = "_rollcall.Drain"
	maxSeq = 1<<64 - 1
)

// isDrain checks the notice of a server that shuts down.
func isDrain(t testing.TB, resp rpc.Response, last uint64) {
	t.Helper()
	if want := (rpc.Response{ServiceMethod: drain, Seq: maxSeq, Error: fmt.Sprintf("drain %d", last)}); resp != want {
		t.Fatalf("got %+v, want %+v", resp, want)
	}
}

func TestShutdownAnswersWhatIsInFlightAndSaysWhatWasLast(t *testing.T) {
	a := newArith()
	s, addr := serve(t, rpcserver.Config{Quiet: 20 * time.Millisecond}, a)
	c := raw(t, addr)
	slow := c.send(t, "Arith.Wait", 5)
	<-a.begun
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	isDrain(t, c.recv(t, nil), maxSeq)

	// A client that does not know the notice goes on, and is answered.
	late := c.send(t, "Arith.Multiply", Args{6, 7})
	var n int
	if resp := c.recv(t, &n); resp.Seq != late || n != 42 {
		t.Fatalf("%+v %d", resp, n)
	}
	select {
	case err := <-ended:
		t.Fatal("ended with a call in flight:", err)
	default:
	}
	close(a.gate)
	if resp := c.recv(t, &n); resp.Seq != slow || n != 5 {
		t.Fatalf("%+v %d", resp, n)
	}
	isDrain(t, c.recv(t, nil), late)
	c.end(t)
	c.nc.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("still listening")
	}
}

func TestStockClientSurvivesDrainFrames(t *testing.T) {
	a := newArith()
	s, addr := serve(t, rpcserver.Config{Quiet: 50 * time.Millisecond}, a)
	client := dial(t, addr)
	slow := client.Go("Arith.Wait", 5, new(int), nil)
	<-a.begun
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	for !s.Stats().Draining {
		if err := client.Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 { // while draining
		var n int
		if err := client.Call("Arith.Multiply", Args{i, 3}, &n); err != nil || n != 3*i {
			t.Fatal(n, err)
		}
	}
	close(a.gate)
	if c := <-slow.Done; c.Error != nil || *c.Reply.(*int) != 5 {
		t.Fatal(c.Error)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := client.Call("Arith.Multiply", Args{1, 1}, new(int)); err == nil {
		t.Error("a call after the end succeeded")
	}
}

func TestJSONClientIsDrainedWithoutFrames(t *testing.T) {
	s, addr := serve(t, rpcserver.Config{Quiet: 20 * time.Millisecond, Codec: jsonCodec})
	client, err := jsonrpc.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownIsBoundedByItsContext(t *testing.T) {
	a := newArith()
	s, addr := serve(t, rpcserver.Config{Quiet: 10 * time.Millisecond}, a)
	c := raw(t, addr)
	c.send(t, "Arith.Wait", 5)
	<-a.begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	c.closed(t)
	close(a.gate)
}

func TestNewConnectionsWhileDrainingAreToldAtOnceAndServed(t *testing.T) {
	a := newArith()
	draining := make(chan struct{})
	s, addr := serve(t, rpcserver.Config{
		Quiet: time.Hour, Trace: &rpcserver.Trace{Draining: func() { close(draining) }},
	}, a)
	if err := dial(t, addr).Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
		t.Fatal(err)
	}
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(ctx) }()
	<-draining
	c := raw(t, addr)
	isDrain(t, c.recv(t, nil), maxSeq)
	seq := c.send(t, "Arith.Multiply", Args{6, 7})
	var n int
	if resp := c.recv(t, &n); resp.Seq != seq || n != 42 {
		t.Fatalf("%+v %d", resp, n)
	}
	c.nc.Close()
	enough()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// hook registers every instance.
type hook struct {
	mu      sync.Mutex
	reg     *register.Registration // nil: not registered
	refuse  bool
	changed chan struct{}
}

func newHook(t testing.TB) (*hook, string) {
	h := &hook{changed: make(chan struct{}, 100)}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return h, srv.URL
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.refuse:
		w.Header().Set("Content-Type", register.ProblemType)
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(register.Problem{Status: 400, Field: "weight", Detail: "too heavy"})
	case r.Method == http.MethodPut:
		h.reg = &register.Registration{}
		json.NewDecoder(r.Body).Decode(h.reg)
		json.NewEncoder(w).Encode(register.Published{Port: h.reg.Port})
		h.changed <- struct{}{}
	case r.Method == http.MethodDelete:
		h.reg = nil
		w.WriteHeader(http.StatusNoContent)
		h.changed <- struct{}{}
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (h *hook) registered() *register.Registration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reg
}

func TestServerRegistersItsListenerAndDeregistersBeforeItDrains(t *testing.T) {
	h, url := newHook(t)
	a := newArith()
	s, addr := serve(t, rpcserver.Config{
		Quiet:    20 * time.Millisecond,
		Announce: []register.Config{{Hooks: []string{url}, Service: "_math._tcp"}},
	}, a)
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	reg := h.registered()
	if reg == nil || fmt.Sprintf("%s:%d", reg.Host, reg.Port) != addr {
		t.Fatalf("registered %+v, listening on %s", reg, addr)
	}
	<-h.changed
	c := raw(t, addr)
	c.send(t, "Arith.Wait", 5)
	<-a.begun
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	isDrain(t, c.recv(t, nil), maxSeq)
	if h.registered() != nil {
		t.Error("told its clients before it left the registry")
	}
	close(a.gate)
	c.recv(t, new(int))
	c.nc.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s.Leases()[0].Err() == nil {
		t.Error("the lease lives on")
	}
}

func TestRefusedRegistrationEndsServe(t *testing.T) {
	h, url := newHook(t)
	h.refuse = true
	s := rpcserver.New(rpcserver.Config{Announce: []register.Config{{Hooks: []string{url}, Service: "_math._tcp"}}})
	s.Register(newArith())
	defer s.Close()
	err := s.ListenAndServe("127.0.0.1:0")
	var p *register.Problem
	if !errors.As(err, &p) || p.Field != "weight" {
		t.Errorf("got %v", err)
	}
	if err := s.Announced(t.Context()); err == nil {
		t.Error("Announced says yes")
	}
}

func TestServerServesWhileTheHookIsAway(t *testing.T) {
	nobody := "http://" + freeaddr.Take(1)[0].String()
	s, addr := serve(t, rpcserver.Config{Announce: []register.Config{{Hooks: []string{nobody}, Service: "_math._tcp"}}})
	if err := dial(t, addr).Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Announced(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	h, url := newHook(t)
	s := rpcserver.New(rpcserver.Config{
		Addr: "127.0.0.1:0", Quiet: 10 * time.Millisecond,
		Announce: []register.Config{{Hooks: []string{url}, Service: "_math._tcp"}},
	})
	s.Register(newArith())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-h.changed
	if err := dial(t, s.Addr().String()).Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if h.registered() != nil {
		t.Error("still registered")
	}
	if err := s.Serve(listener(t)); !errors.Is(err, rpcserver.ErrServerClosed) {
		t.Errorf("Serve after the end: %v", err)
	}
}

// listener listens on loopback.
func listener(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTakenPortIsOneClearError(t *testing.T) {
	l := listener(t)
	defer l.Close()
	s := rpcserver.New(rpcserver.Config{Addr: l.Addr().String()})
	s.Register(newArith())
	err := s.Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "rpcserver: listen tcp ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

// No call in flight is lost, and none is executed twice, when many servers shut down one
// after the other under a client that obeys the notices.
func TestEveryRequestIsAnsweredOrKnownNotToBeExecuted(t *testing.T) {
	for range 20 {
		a := newArith()
		close(a.gate)
		s, addr := serve(t, rpcserver.Config{Quiet: time.Millisecond}, a)
		c := raw(t, addr)
		const n = 200
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				c.seq++
				req := rpc.Request{ServiceMethod: "Arith.Wait", Seq: c.seq}
				if errors.Join(c.enc.Encode(req), c.enc.Encode(i), c.buf.Flush()) != nil {
					return
				}
			}
		})
		<-a.begun
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(t.Context()) }()
		answered := map[uint64]bool{}
		last := uint64(maxSeq)
		for {
			var resp rpc.Response
			err := c.dec.Decode(&resp)
			if err == io.EOF {
				break
			}
			if err == nil {
				err = c.dec.DecodeValue(reflect.Value{})
			}
			if err != nil {
				t.Fatal(err)
			}
			if resp.Seq == maxSeq {
				if _, err := fmt.Sscanf(resp.Error, "drain %d", &last); err != nil {
					t.Fatal(err)
				}
				continue
			}
			answered[resp.Seq] = true
		}
		c.nc.Close()
		wg.Wait()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if last == maxSeq || uint64(len(answered)) != last || len(a.begun)+1 != int(last) {
			t.Fatalf("%d answered, %d executed, the last frame says %d", len(answered), len(a.begun)+1, last)
		}
	}
}
