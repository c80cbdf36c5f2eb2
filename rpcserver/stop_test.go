package rpcserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/gob"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// sick is a hook that registers an instance, and answers differently after it fell ill.
type sick struct {
	ill     atomic.Bool
	do      func(http.ResponseWriter, *http.Request)
	ttl     time.Duration
	deleted atomic.Int64 // when, in Unix nanoseconds
}

func (h *sick) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.ill.Load():
		h.do(w, r)
	case r.Method == http.MethodPut:
		json.NewEncoder(w).Encode(register.Published{ID: "a", TTL: register.Duration(h.ttl), RenewAfter: register.Duration(time.Hour)})
	case r.Method == http.MethodDelete:
		h.deleted.CompareAndSwap(0, time.Now().UnixNano())
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
}

// TestStopNeedsNoHook: the clients are told, calls in flight are answered, and the stop
// does not take all the time that it has.
func TestStopNeedsNoHook(t *testing.T) {
	const limit = time.Minute
	gone := make(chan struct{})
	for name, do := range map[string]func(http.ResponseWriter, *http.Request){
		"dead": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"slow": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-gone:
			}
		},
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			h := &sick{do: do}
			hook := httptest.NewServer(h)
			defer hook.Close()
			defer hook.CloseClientConnections()
			a := newArith()
			s := rpcserver.New(rpcserver.Config{
				Addr: "127.0.0.1:0", Quiet: 20 * time.Millisecond, ShutdownTimeout: limit,
				Announce: []register.Config{{Hooks: []string{hook.URL}, Service: "_math._tcp", NoHold: true}},
			})
			s.Register(a)
			ctx, term := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			if err := s.Announced(t.Context()); err != nil {
				t.Fatal(err)
			}
			c := raw(t, s.Addr().String())
			slow := c.send(t, "Arith.Wait", 5)
			<-a.begun
			h.ill.Store(true)
			begin := time.Now()
			term()
			isDrain(t, c.recv(t, nil), maxSeq)
			close(a.gate)
			var n int
			if resp := c.recv(t, &n); resp.Seq != slow || n != 5 {
				t.Errorf("%+v, %d", resp, n)
			}
			isDrain(t, c.recv(t, nil), slow)
			c.nc.Close()
			if err := <-ended; err == nil {
				t.Error("nobody hears that the instance could not be deregistered")
			}
			if took := time.Since(begin); took > limit/4 {
				t.Errorf("the stop took %v", took)
			}
		})
	}
	close(gone)
}

// TestStoppingServerAcceptsWhileItsRecordMayBeCached, and sends all clients elsewhere.
func TestStoppingServerAcceptsWhileItsRecordMayBeCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, l := &sick{ttl: 10 * time.Second}, newPipes()
		s := serveOn(t, l, rpcserver.Config{Announce: []register.Config{{
			Hooks: []string{"http://127.0.0.1"}, HTTP: &http.Client{Transport: direct{h}}, Service: "_math._tcp", NoHold: true,
		}}})
		if err := s.Announced(t.Context()); err != nil {
			t.Fatal(err)
		}
		old := l.raw(t)
		old.send(t, "Arith.Multiply", Args{1, 1})
		old.recv(t, new(int))
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(t.Context()) }()
		isDrain(t, old.recv(t, nil), maxSeq)
		old.nc.Close()
		served, after := refusedAfter(t, l, h, "Arith.Multiply", Args{6, 7})
		if served < 10 || after < h.ttl || after > h.ttl+time.Second {
			t.Errorf("%d new clients were served, the next refused %v after the record was deleted, whose TTL is %v", served, after, h.ttl)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestNewConnectionIsSentElsewhereAtOnceWhileTheRecordMayBeCached.
func TestNewConnectionIsSentElsewhereAtOnceWhileTheRecordMayBeCached(t *testing.T) {
	h := &sick{ttl: time.Hour}
	hook := httptest.NewServer(h)
	defer hook.Close()
	s, addr := serve(t, rpcserver.Config{
		Quiet: time.Millisecond, Announce: []register.Config{{Hooks: []string{hook.URL}, Service: "_math._tcp", NoHold: true}},
	})
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := raw(t, addr)
	old.send(t, "Arith.Multiply", Args{1, 1})
	old.recv(t, new(int))
	ctx, enough := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(ctx) }()
	isDrain(t, old.recv(t, nil), maxSeq)
	for range 3 {
		c := raw(t, addr)
		isDrain(t, c.recv(t, nil), maxSeq)
		c.nc.Close()
	}
	enough()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Counted counts the calls that it executed.
type Counted struct{ n atomic.Int64 }

// Call is counted.
func (c *Counted) Call(in int, out *int) error {
	c.n.Add(1)
	*out = in
	return nil
}

// TestWhatWasReadIsAnsweredBeforeTheTimeIsOver: a client that drops notices and never
// pauses, with many calls in flight, gets an answer to every request that was executed, and
// learns which were not.
func TestWhatWasReadIsAnsweredBeforeTheTimeIsOver(t *testing.T) {
	counted := new(Counted)
	s, addr := serve(t, rpcserver.Config{Quiet: time.Minute}, counted)
	c := raw(t, addr)
	c.send(t, "Counted.Call", 0)
	c.recv(t, new(int))
	answered := int64(1)
	callers := make(chan struct{}, 200) // their calls in flight are answered within the last second
	gone := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case callers <- struct{}{}:
			case <-gone:
				return
			}
			c.seq++
			req := rpc.Request{ServiceMethod: "Counted.Call", Seq: c.seq}
			if errors.Join(c.enc.Encode(req), c.enc.Encode(i), c.buf.Flush()) != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(ctx) }()
	var last string
	for {
		var resp rpc.Response
		if err := c.dec.Decode(&resp); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if err := c.dec.DecodeValue(reflect.Value{}); err != nil {
			t.Fatal(err)
		}
		if resp.Seq == maxSeq {
			last = resp.Error
			continue
		}
		answered++
		<-callers
	}
	close(gone)
	c.nc.Close()
	wg.Wait()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := counted.n.Load(); n != answered {
		t.Errorf("%d executed, %d answered", n, answered)
	}
	isDrain(t, rpc.Response{ServiceMethod: drain, Seq: maxSeq, Error: last}, uint64(answered))
}

// TestNoMoreIsExecutedThanCanBeAnswered: requests of a client that does not read are left
// unread as soon as its answers have no room, so that not many are left to be answered when
// the server stops. All of them are answered when the client reads.
func TestNoMoreIsExecutedThanCanBeAnswered(t *testing.T) {
	const requests, most = 50_000, 20_000 // 256 KiB are 7,500 answers; twice that, and requests that had been read
	synctest.Test(t, func(t *testing.T) {
		counted := new(Counted)
		s := rpcserver.New(rpcserver.Config{})
		if err := s.Register(counted); err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe() // has no buffers
		served := make(chan struct{})
		go func() {
			s.ServeConn(theirs)
			close(served)
		}()
		var sent atomic.Int64
		go func() {
			buf := bufio.NewWriter(ours)
			enc := gob.NewEncoder(buf)
			for i := range requests {
				if errors.Join(enc.Encode(rpc.Request{ServiceMethod: "Counted.Call", Seq: uint64(i)}), enc.Encode(i+1), buf.Flush()) != nil {
					return
				}
				sent.Add(1)
			}
		}()
		synctest.Wait()
		if n, read := counted.n.Load(), sent.Load(); n == 0 || read > most {
			t.Errorf("%d read and %d executed of a client that reads no answer", read, n)
		}
		dec := gob.NewDecoder(ours)
		for range requests {
			var n int
			if resp := (rpc.Response{}); errors.Join(dec.Decode(&resp), dec.Decode(&n)) != nil || uint64(n) != resp.Seq+1 {
				t.Fatalf("%+v, %d", resp, n)
			}
		}
		ours.Close()
		<-served
		s.Close()
	})
}

// TestLastWordsReachAClientThatGoesOnSending: a client that is slow to read the end, and
// sends until it does, reads every answer.
func TestLastWordsReachAClientThatGoesOnSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := new(Counted)
		s := rpcserver.New(rpcserver.Config{Quiet: time.Minute})
		if err := s.Register(counted); err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		half := &halfPipe{Conn: theirs, shut: make(chan struct{})}
		served := make(chan struct{})
		go func() {
			s.ServeConn(half)
			close(served)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		go s.Shutdown(ctx)
		go io.Copy(io.Discard, ours)
		<-half.shut
		for range 8 { // a second, in all
			time.Sleep(100 * time.Millisecond)
			if _, err := ours.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}
		ours.Close()
		<-served
		s.Close()
	})
}

// halfPipe signals when its writing has ended.
type halfPipe struct {
	net.Conn
	shut chan struct{}
}

func (p *halfPipe) CloseWrite() error {
	close(p.shut)
	return nil
}

func TestTLSWithoutACertificateIsAMistake(t *testing.T) {
	s := rpcserver.New(rpcserver.Config{Addr: "127.0.0.1:0", TLS: &tls.Config{}})
	if err := s.Register(new(Arith)); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.Run(t.Context()), "Config.TLS has no certificate")
}

func TestRunWithoutMethodsIsAMistake(t *testing.T) {
	wantError(t, rpcserver.New(rpcserver.Config{Addr: "127.0.0.1:0"}).Run(t.Context()), "call Register first")
}

// TestRefusedRegistrationEndsRunAndItsConnections.
func TestRefusedRegistrationEndsRunAndItsConnections(t *testing.T) {
	begun, refuse := make(chan struct{}), make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			close(begun)
			<-refuse
		}
		w.Header().Set("Content-Type", register.ProblemType)
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(register.Problem{Status: 400, Field: "weight", Detail: "too heavy"})
	}))
	defer hook.Close()
	s := rpcserver.New(rpcserver.Config{Addr: "127.0.0.1:0", Announce: []register.Config{{Hooks: []string{hook.URL}, Service: "_math._tcp"}}})
	s.Register(newArith())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	<-begun
	c := raw(t, s.Addr().String())
	c.send(t, "Arith.Multiply", Args{1, 1})
	c.recv(t, new(int))
	close(refuse)
	wantError(t, <-ended, "too heavy")
	c.closed(t)
}
