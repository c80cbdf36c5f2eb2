package rpcserver_test

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// touchy is a codec that panics where it is told to.
type touchy struct {
	rpc.ServerCodec
	at     string
	closed *atomic.Int64
}

func (c touchy) ReadRequestHeader(r *rpc.Request) error {
	if c.at == "header" {
		panic("bad bytes")
	}
	return c.ServerCodec.ReadRequestHeader(r)
}

func (c touchy) ReadRequestBody(v any) error {
	if c.at == "body" {
		panic("bad bytes")
	}
	return c.ServerCodec.ReadRequestBody(v)
}

func (c touchy) WriteResponse(r *rpc.Response, v any) error {
	if c.at == "response" {
		panic("bad value")
	}
	return c.ServerCodec.WriteResponse(r, v)
}

func (c touchy) Close() error {
	c.closed.Add(1)
	if c.at == "close" {
		panic("closed")
	}
	return c.ServerCodec.Close()
}

// TestCodecsMayPanic: it ends their connection at most. Each codec is closed once.
func TestCodecsMayPanic(t *testing.T) {
	for _, at := range []string{"making", "header", "body", "response", "close", "nowhere"} {
		t.Run(at, func(t *testing.T) {
			var made, closed atomic.Int64
			ended := make(chan struct{}, 10)
			_, addr := serve(t, rpcserver.Config{
				Codec: func(rwc io.ReadWriteCloser) rpc.ServerCodec {
					if at == "making" {
						panic("no codec")
					}
					made.Add(1)
					return touchy{jsonCodec(rwc), at, &closed}
				},
				Trace: &rpcserver.Trace{ConnEnd: func(string, error) { ended <- struct{}{} }},
			})
			for range 2 {
				c := raw(t, addr)
				fmt.Fprintf(c.nc, `{"method":"Arith.Multiply","params":[{"A":6,"B":7}],"id":1}`)
				c.nc.Read(make([]byte, 1))
				c.nc.Close()
				<-ended
			}
			if made.Load() != closed.Load() {
				t.Errorf("%d codecs made, %d closed", made.Load(), closed.Load())
			}
		})
	}
}

// leaver is a codec that ends the goroutine where it is told to.
type leaver struct {
	rpc.ServerCodec
	at string
}

func (c leaver) leave(at string) {
	if c.at == at {
		runtime.Goexit()
	}
}

func (c leaver) ReadRequestHeader(r *rpc.Request) error {
	c.leave("header")
	return c.ServerCodec.ReadRequestHeader(r)
}

func (c leaver) ReadRequestBody(v any) error {
	c.leave("body")
	return c.ServerCodec.ReadRequestBody(v)
}

func (c leaver) WriteResponse(r *rpc.Response, v any) error {
	c.leave("response")
	return c.ServerCodec.WriteResponse(r, v)
}

func (c leaver) Close() error {
	c.leave("close")
	return c.ServerCodec.Close()
}

// Deserter is an argument that ends the goroutine that decodes it.
type Deserter struct{}

func (Deserter) GobEncode() ([]byte, error) { return []byte{1}, nil }
func (*Deserter) GobDecode([]byte) error    { runtime.Goexit(); return nil }

// Recruit is a reply that ends the goroutine that encodes it.
type Recruit struct{}

func (Recruit) GobEncode() ([]byte, error) { runtime.Goexit(); return nil, nil }
func (*Recruit) GobDecode([]byte) error    { return nil }

// Post has methods that take and give them.
type Post struct{}

func (Post) Take(Deserter, *int) error     { return nil }
func (Post) Give(int, *Recruit) error      { return nil }
func (Post) Hide(_ int, r *Envelope) error { r.V = Recruit{}; return nil }

// Envelope is a reply with a value that gob knows by its name only.
type Envelope struct{ V any }

// TestGoroutineThatIsEndedLeaksNoConnection: code of the user may end the goroutine of a
// connection, or of a call that is being answered. Then the connection is closed and no longer
// counted, and the server goes on.
func TestGoroutineThatIsEndedLeaksNoConnection(t *testing.T) {
	gob.Register(Recruit{})
	for _, at := range []string{"making", "header", "body", "response", "unknown", "close", "argument", "reply", "interface", "ConnBegin"} {
		t.Run(at, func(t *testing.T) {
			ended := make(chan error, 10)
			cfg := rpcserver.Config{
				Codec: func(rwc io.ReadWriteCloser) rpc.ServerCodec {
					leaver{at: at}.leave("making")
					if at == "unknown" { // the reader answers what is no method
						return leaver{jsonCodec(rwc), "response"}
					}
					return leaver{jsonCodec(rwc), at}
				},
				Trace: &rpcserver.Trace{
					ConnBegin: func(string) { leaver{at: at}.leave("ConnBegin") },
					ConnEnd:   func(_ string, err error) { ended <- err },
				},
			}
			if at == "argument" || at == "reply" || at == "interface" {
				cfg.Codec = nil
			}
			s, addr := serve(t, cfg, newArith(), Post{})
			for range 3 {
				c := raw(t, addr)
				switch at {
				case "argument":
					c.send(t, "Post.Take", Deserter{})
				case "reply":
					c.send(t, "Post.Give", 1)
				case "interface":
					c.send(t, "Post.Hide", 1)
				case "unknown":
					fmt.Fprintf(c.nc, `{"method":"Arith.Unknown","params":[1],"id":1}`)
				case "close":
					c.nc.Close()
				default:
					fmt.Fprintf(c.nc, `{"method":"Arith.Multiply","params":[{"A":6,"B":7}],"id":1}`)
				}
				if at != "close" {
					c.closed(t)
				}
				select {
				case err := <-ended:
					if err == nil || !strings.Contains(err.Error(), "Goexit") {
						t.Errorf("the connection has ended with %v", err)
					}
				case <-time.After(10 * time.Second):
					t.Fatal("the connection has not ended")
				}
			}
			if stats := s.Stats(); stats.Conns != 0 || stats.Accepted != 3 || stats.InFlight != 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// TestConnectionWhoseAnswerIsDesertedEndsForAllItsCalls: those that wait to be answered do not
// wait for ever, and the calls of other connections are answered.
func TestConnectionWhoseAnswerIsDesertedEndsForAllItsCalls(t *testing.T) {
	a := newArith()
	_, addr := serve(t, rpcserver.Config{}, a, Post{})
	c := raw(t, addr)
	for range 20 {
		c.send(t, "Arith.Wait", 1)
		<-a.begun
	}
	c.send(t, "Post.Give", 1)
	c.closed(t)
	close(a.gate) // all are answered, and no client hears it
	var n int
	if err := dial(t, addr).Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
		t.Error(n, err)
	}
}

// TestTraceMayPanic.
func TestTraceMayPanic(t *testing.T) {
	ended := make(chan struct{})
	_, addr := serve(t, rpcserver.Config{Trace: &rpcserver.Trace{
		ConnBegin: func(string) { panic(1) },
		ConnEnd:   func(string, error) { close(ended); panic(2) },
		CallBegin: func(rpcserver.CallInfo) { panic(3) },
		CallEnd:   func(rpcserver.CallInfo) { panic(4) },
	}})
	c := dial(t, addr)
	var n int
	if err := c.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
		t.Error(n, err)
	}
	c.Close()
	<-ended
}

// TestEagerClientOfHTTPIsServed: bytes that it sends together with its CONNECT are not lost.
// TestTraceMayEndTheGoroutine: a call whose method did not run is answered with an error, and
// one whose method did run with its reply.
func TestTraceMayEndTheGoroutine(t *testing.T) {
	quit := func(rpcserver.CallInfo) { runtime.Goexit() }
	for name, trace := range map[string]rpcserver.Trace{"begin": {CallBegin: quit}, "end": {CallEnd: quit}} {
		t.Run(name, func(t *testing.T) {
			s, addr := serve(t, rpcserver.Config{Trace: &trace}, newArith())
			c, err := rpc.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			n := 0
			err = c.Call("Arith.Multiply", Args{6, 7}, &n)
			if ran := trace.CallEnd != nil; ran && (err != nil || n != 42) || !ran && (err == nil || !strings.Contains(err.Error(), "CallBegin")) {
				t.Errorf("%d, %v", n, err)
			}
			if err := s.Shutdown(t.Context()); err != nil { // it waits for calls that are counted
				t.Error(err)
			}
		})
	}
}

func TestEagerClientOfHTTPIsServed(t *testing.T) {
	s := rpcserver.New(rpcserver.Config{})
	s.Register(newArith())
	web := httptest.NewServer(s)
	defer web.Close()
	defer s.Close()
	c := raw(t, strings.TrimPrefix(web.URL, "http://"))
	io.WriteString(c.buf, "CONNECT "+rpc.DefaultRPCPath+" HTTP/1.0\n\n")
	seq := c.send(t, "Arith.Multiply", Args{6, 7}) // one segment
	in := bufio.NewReader(c.nc)
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	c.dec = gob.NewDecoder(in)
	var n int
	if resp := c.recv(t, &n); resp.Seq != seq || n != 42 {
		t.Fatalf("%+v %d", resp, n)
	}
	seq = c.send(t, "Arith.Multiply", Args{6, 8})
	if resp := c.recv(t, &n); resp.Seq != seq || n != 48 {
		t.Fatalf("%+v %d", resp, n)
	}
}

// heard collects the lines of a log.
type heard struct {
	slog.Handler
	lines chan string
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }

func (h heard) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.lines <- r.Message:
	default:
	}
	return nil
}
func (h heard) WithAttrs([]slog.Attr) slog.Handler { return h }

// TestReplacedServerIsLogged: it goes on, but no client finds it.
func TestReplacedServerIsLogged(t *testing.T) {
	h := &sick{do: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", register.ProblemType)
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"status":409,"detail":"a newer one is there"}`)
	}}
	hook := httptest.NewServer(h)
	defer hook.Close()
	log := heard{lines: make(chan string, 100)}
	s, addr := serve(t, rpcserver.Config{
		Logger: slog.New(log), Announce: []register.Config{{Hooks: []string{hook.URL}, Service: "_math._tcp", NoHold: true}},
	})
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.ill.Store(true)
	if err := s.Leases()[0].Update(t.Context(), s.Leases()[0].Registration()); !errors.Is(err, register.ErrReplaced) {
		t.Fatal(err)
	}
	for line := range log.lines {
		if strings.Contains(line, "goes on, unregistered") {
			break
		}
	}
	if err := dial(t, addr).Call("Arith.Multiply", Args{1, 1}, new(int)); err != nil {
		t.Error(err)
	}
}
