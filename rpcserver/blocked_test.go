package rpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// blocking is a Logger's handler that returns when the test says so.
type blocking struct {
	entered chan string   // level and message of each line
	release chan struct{} // closed: it blocks no more
}

func (b blocking) Enabled(context.Context, slog.Level) bool { return true }
func (b blocking) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b blocking) WithGroup(string) slog.Handler            { return b }
func (b blocking) Handle(_ context.Context, r slog.Record) error {
	select {
	case b.entered <- r.Level.String() + " " + r.Message:
	default: // the test waits for the first ones only
	}
	<-b.release
	return nil
}

// flawed is a codec that cannot write some answers.
type flawed struct{ rpc.ServerCodec }

func (c flawed) WriteResponse(r *rpc.Response, v any) error {
	if strings.Contains(r.Error, "can't find") {
		return errors.New("no such answer")
	}
	return c.ServerCodec.WriteResponse(r, v)
}

// TestABlockedLoggerStopsNoOtherCall: whatever a client makes the server log, calls go on on
// that connection, if it lives, and on others, and so does accepting. Each line has its level.
func TestABlockedLoggerStopsNoOtherCall(t *testing.T) {
	call := func(method string, args any) func(*testing.T, string, *rpc.Client) {
		return func(_ *testing.T, _ string, c *rpc.Client) { c.Go(method, args, nil, nil) }
	}
	for _, test := range []struct {
		level   slog.Level // as docs/metrics-go.md says
		message string
		cfg     rpcserver.Config
		accepts bool // a new connection is served
		cause   func(t *testing.T, addr string, c *rpc.Client)
	}{
		{slog.LevelError, "panic in method", rpcserver.Config{}, true, call("Arith.Panic", "now")},
		{slog.LevelError, "method ended its goroutine", rpcserver.Config{}, true, call("Arith.Exit", 1)},
		{slog.LevelError, "reply cannot be encoded", rpcserver.Config{}, true, call("Arith.Explode", 1)},
		{slog.LevelError, "panic", rpcserver.Config{Trace: &rpcserver.Trace{CallEnd: func(c rpcserver.CallInfo) {
			if c.Method == "Arith.Divide" {
				panic(c.Method)
			}
		}}}, true, call("Arith.Divide", Args{1, 1})},
		{slog.LevelError, "answer cannot be encoded", rpcserver.Config{Codec: func(rwc io.ReadWriteCloser) rpc.ServerCodec {
			return flawed{jsonCodec(rwc)}
		}}, true, call("Arith.Nothing", 1)},
		{slog.LevelError, "no codec", rpcserver.Config{Codec: onlyCodecs(2, 1)}, true, knock},
		{slog.LevelDebug, "connection ended", rpcserver.Config{}, true, func(t *testing.T, addr string, _ *rpc.Client) {
			c := raw(t, addr)
			c.nc.Write([]byte{5, 1, 2, 3, 4, 5})
		}},
		{slog.LevelDebug, "timeout", rpcserver.Config{Limits: rpcserver.Limits{FrameTimeout: 50 * time.Millisecond}}, true, func(t *testing.T, addr string, _ *rpc.Client) {
			c := raw(t, addr)
			c.nc.Write([]byte{5})
		}},
		{slog.LevelWarn, "connections refused: too many", rpcserver.Config{Limits: rpcserver.Limits{Conns: 2}}, false, knock},
		{slog.LevelWarn, "accept failed, trying again", rpcserver.Config{}, true, knock},
	} {
		t.Run(test.message, func(t *testing.T) {
			b := blocking{make(chan string, 100), make(chan struct{})}
			test.cfg.Logger = slog.New(b)
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := &faulty{Listener: inner}
			s := serveOn(t, l, test.cfg)
			t.Cleanup(func() { close(b.release) }) // before the server is closed
			addr := inner.Addr().String()
			client := func() *rpc.Client {
				nc := raw(t, addr).nc
				newClient := rpc.NewClient
				if test.cfg.Codec != nil {
					newClient = jsonrpc.NewClient
				}
				c := newClient(nc)
				t.Cleanup(func() { c.Close() })
				return c
			}
			multiply := func(what string, c *rpc.Client) {
				t.Helper()
				var n int
				if err := c.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
					t.Errorf("%s: %d, %v", what, n, err)
				}
			}
			this, other := client(), client()
			multiply("before", this)
			multiply("before", other)
			l.fail.Store(strings.HasPrefix(test.message, "accept"))
			test.cause(t, addr, this)
			select {
			case got := <-b.entered:
				if want := test.level.String() + " " + test.message; got != want {
					t.Fatalf("%q is logged, want %q", got, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("nothing is logged")
			}
			multiply("the same connection", this)
			multiply("another connection", other)
			s.Stats()
			if test.accepts {
				multiply("a new connection", client())
			} else {
				raw(t, addr).closed(t)
			}
		})
	}
}

// knock makes a connection, for which the server has a line in its log.
func knock(t *testing.T, addr string, _ *rpc.Client) { raw(t, addr) }

// onlyCodecs makes so many codecs, and then panics so many times.
func onlyCodecs(good, bad int) func(io.ReadWriteCloser) rpc.ServerCodec {
	var made atomic.Int64
	return func(rwc io.ReadWriteCloser) rpc.ServerCodec {
		if n := int(made.Add(1)); n > good && n <= good+bad {
			panic("no codec")
		}
		return jsonCodec(rwc)
	}
}

// faulty is a listener whose Accept fails once after fail was set.
type faulty struct {
	net.Listener
	fail atomic.Bool
}

func (l *faulty) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil && l.fail.Swap(false) {
		nc.Close()
		return nil, errors.New("no descriptors")
	}
	return nc, err
}

// Tardy is a reply that is encoded when the test says so.
type Tardy struct{ begun, release chan struct{} }

// GobEncode is gob.GobEncoder.
func (s Tardy) GobEncode() ([]byte, error) {
	close(s.begun)
	<-s.release
	return []byte{1}, nil
}

// Slowly is a service with such a reply.
type Slowly struct{ reply Tardy }

// Answer has a reply that takes its time.
func (s *Slowly) Answer(_ int, reply *Tardy) error {
	*reply = s.reply
	return nil
}

// TestASlowReplyStopsNoOtherConnection: a reply that encodes itself holds the answers of its
// connection, and neither others nor the statistics.
func TestASlowReplyStopsNoOtherConnection(t *testing.T) {
	slowly := &Slowly{Tardy{make(chan struct{}), make(chan struct{})}}
	s, addr := serve(t, rpcserver.Config{}, newArith(), slowly)
	free := sync.OnceFunc(func() { close(slowly.reply.release) })
	t.Cleanup(free)
	c := raw(t, addr)
	c.send(t, "Slowly.Answer", 1)
	<-slowly.reply.begun
	counted := make(chan struct{})
	go func() {
		s.Stats()
		close(counted)
	}()
	other := rpc.NewClient(raw(t, addr).nc)
	defer other.Close()
	var n int
	if err := other.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
		t.Error(n, err)
	}
	select {
	case <-counted:
	case <-time.After(10 * time.Second):
		t.Error("Stats waits for the reply")
		free()
		<-counted
	}
}

// TestASlowCodecStopsNoOtherConnection: making a codec may take as long as it likes.
func TestASlowCodecStopsNoOtherConnection(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var made atomic.Int64
	_, addr := serve(t, rpcserver.Config{Codec: func(rwc io.ReadWriteCloser) rpc.ServerCodec {
		if made.Add(1) == 1 {
			close(begun)
			<-release
		}
		return jsonCodec(rwc)
	}})
	t.Cleanup(func() { close(release) })
	raw(t, addr)
	<-begun
	c := raw(t, addr)
	fmt.Fprintf(c.nc, `{"method":"Arith.Multiply","params":[{"A":6,"B":7}],"id":1}`)
	if _, err := c.nc.Read(make([]byte, 1)); err != nil {
		t.Error("the second connection is not served:", err)
	}
}

// curious is a listener that asks its server when it is closed.
type curious struct {
	net.Listener
	ask func()
}

func (l *curious) Close() error {
	l.ask()
	return l.Listener.Close()
}

func (l *curious) Addr() net.Addr {
	l.ask()
	return l.Listener.Addr()
}

// TestAListenerMayAskItsServer: its methods are called with no lock of the server held.
func TestAListenerMayAskItsServer(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := rpcserver.New(rpcserver.Config{})
	s.Register(newArith())
	served := make(chan error)
	l := &curious{inner, func() { s.Stats() }}
	go func() { served <- s.Serve(l) }()
	if err := rpc.NewClient(raw(t, inner.Addr().String()).nc).Call("Arith.Multiply", Args{6, 7}, new(int)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := <-served; err != rpcserver.ErrServerClosed {
		t.Error(err)
	}
}
