package rpcserver_test

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Args, Quotient and Arith are those of the package comment of net/rpc.
type Args struct{ A, B int }

// Quotient is Divide's reply.
type Quotient struct{ Quo, Rem int }

// Arith is the service of most tests.
type Arith struct {
	gate  chan struct{} // Wait returns when it is closed
	begun chan struct{} // Wait has begun
}

func newArith() *Arith {
	return &Arith{gate: make(chan struct{}), begun: make(chan struct{}, 10_000)}
}

// Multiply takes a pointer.
func (*Arith) Multiply(args *Args, reply *int) error {
	*reply = args.A * args.B
	return nil
}

// Divide takes a value.
func (*Arith) Divide(args Args, reply *Quotient) error {
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	*reply = Quotient{args.A / args.B, args.A % args.B}
	return nil
}

// Wait answers when the gate is opened.
func (a *Arith) Wait(n int, reply *int) error {
	a.begun <- struct{}{}
	<-a.gate
	*reply = n
	return nil
}

// Panic panics with its argument.
func (*Arith) Panic(what string, _ *int) error { panic(what) }

// Nil panics as programs do.
func (*Arith) Nil(_ int, reply *int) error {
	var m map[string]*Args
	*reply = m["x"].A
	return nil
}

// Exit ends its goroutine.
func (*Arith) Exit(int, *int) error {
	runtime.Goexit()
	return nil
}

// BadError returns an error that panics when asked.
func (*Arith) BadError(int, *int) error { return (*nilError)(nil) }

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// EmptyError returns an error without a text.
func (*Arith) EmptyError(_ int, reply *int) error {
	*reply = 7
	return errors.New("")
}

// Bomb is a reply or an argument that panics in the hands of gob.
type Bomb struct{ Armed bool }

// GobEncode is gob.GobEncoder.
func (b Bomb) GobEncode() ([]byte, error) {
	if b.Armed {
		panic("bomb encoded")
	}
	return []byte{1}, nil
}

// GobDecode is gob.GobDecoder.
func (b *Bomb) GobDecode(p []byte) error {
	if p[0] == 2 {
		panic("bomb decoded")
	}
	return nil
}

// Explode has a reply that cannot be encoded.
func (*Arith) Explode(_ int, reply *Bomb) error {
	reply.Armed = true
	return nil
}

// Defuse has an argument that may not be decodable.
func (*Arith) Defuse(_ Bomb, reply *int) error {
	*reply = 1
	return nil
}

// Any has a reply that gob may not know.
type Any struct{ V any }

// Unknown has a reply of a type that is not registered with gob.
func (*Arith) Unknown(_ int, reply *Any) error {
	reply.V = struct{ X chan int }{}
	return nil
}

// Maps replies with an empty map and slice.
func (*Arith) Maps(_ int, reply *map[string]int) error { return nil }

// serve starts a server on loopback and ends it with the test.
func serve(t testing.TB, cfg rpcserver.Config, rcvrs ...any) (*rpcserver.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, cfg, rcvrs...), l.Addr().String()
}

func serveOn(t testing.TB, l net.Listener, cfg rpcserver.Config, rcvrs ...any) *rpcserver.Server {
	t.Helper()
	s := rpcserver.New(cfg)
	if len(rcvrs) == 0 {
		rcvrs = []any{newArith()}
	}
	for _, r := range rcvrs {
		if err := s.Register(r); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(l) })
	t.Cleanup(func() {
		s.Close()
		wg.Wait()
	})
	return s
}

// pipes is a listener of connections in memory, for tests in fake time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9001} }

// dial fails when the listener is closed.
func (l *pipes) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// raw is a client by hand on a new connection.
func (l *pipes) raw(t testing.TB) *rawClient {
	t.Helper()
	nc, err := l.dial()
	if err != nil {
		t.Fatal(err)
	}
	return rawOn(t, nc)
}

// direct is a transport that calls a handler, without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil { // http.ErrAbortHandler
			err = errors.New("connection lost")
		}
	}()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// refusedAfter calls a method on new connections, one a second, until none is accepted any
// more. It returns how many were served, and how long after the deletion of its record the
// server has refused.
func refusedAfter(t *testing.T, l *pipes, h *sick, method string, args any) (served int, after time.Duration) {
	t.Helper()
	for {
		nc, err := l.dial()
		if err != nil {
			return served, time.Since(time.Unix(0, h.deleted.Load()))
		}
		c := rpc.NewClient(nc)
		if err := c.Call(method, args, nil); err != nil {
			t.Error("a new client is not served:", err)
		}
		c.Close()
		served++
		time.Sleep(time.Second)
	}
}

func dial(t testing.TB, addr string) *rpc.Client {
	t.Helper()
	c, err := rpc.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// rawClient speaks net/rpc by hand.
type rawClient struct {
	nc  net.Conn
	buf *bufio.Writer
	enc *gob.Encoder
	dec *gob.Decoder
	seq uint64
}

func raw(t testing.TB, addr string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return rawOn(t, nc)
}

// rawOn is raw on a connection that exists.
func rawOn(t testing.TB, nc net.Conn) *rawClient {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs says where
	w := bufio.NewWriter(nc)
	return &rawClient{nc: nc, buf: w, enc: gob.NewEncoder(w), dec: gob.NewDecoder(nc)}
}

func (c *rawClient) send(t testing.TB, method string, args any) uint64 {
	t.Helper()
	c.seq++
	if err := errors.Join(c.enc.Encode(rpc.Request{ServiceMethod: method, Seq: c.seq}), c.enc.Encode(args), c.buf.Flush()); err != nil {
		t.Fatal(err)
	}
	return c.seq
}

// recv reads a response. The body is decoded into reply, or dropped if it is nil.
func (c *rawClient) recv(t testing.TB, reply any) rpc.Response {
	t.Helper()
	var resp rpc.Response
	if err := c.dec.Decode(&resp); err != nil {
		t.Fatal("reading a response:", err)
	}
	if resp.Error != "" {
		reply = nil
	}
	if err := c.dec.Decode(reply); err != nil {
		t.Fatal("reading a reply:", err)
	}
	return resp
}

// end reads to the end of the stream, which must be a clean one.
func (c *rawClient) end(t testing.TB) {
	t.Helper()
	var resp rpc.Response
	if err := c.dec.Decode(&resp); err != io.EOF {
		t.Fatalf("expected the end, got %+v, %v", resp, err)
	}
}

func wantError(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got error %v, want %q", err, text)
	}
}
