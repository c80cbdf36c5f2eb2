package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/resolver"
)

// oddCodec is a codec that panics at the given place, and counts how often it is closed.
type oddCodec struct {
	rpc.ClientCodec
	panics string
	closed *atomic.Int32
}

func (o oddCodec) at(where string) {
	if o.panics == where {
		panic(where)
	}
}

func (o oddCodec) WriteRequest(r *rpc.Request, v any) error {
	if r.ServiceMethod != rpcwire.PingMethod {
		o.at("encoding")
	}
	return o.ClientCodec.WriteRequest(r, v)
}

func (o oddCodec) ReadResponseHeader(r *rpc.Response) error {
	o.at("header")
	return o.ClientCodec.ReadResponseHeader(r)
}

func (o oddCodec) ReadResponseBody(v any) error {
	if v != nil {
		o.at("body")
	}
	return o.ClientCodec.ReadResponseBody(v)
}

func (o oddCodec) Close() error {
	o.closed.Add(1)
	o.at("closing")
	return o.ClientCodec.Close()
}

// oddConn is a connection that panics at the given place.
type oddConn struct {
	net.Conn
	panics string
	greet  atomic.Int32
}

func (o *oddConn) Read(p []byte) (int, error) {
	if o.panics == "read" && o.greet.Load() > 1 {
		panic("read")
	}
	return o.Conn.Read(p)
}

func (o *oddConn) Write(p []byte) (int, error) {
	if o.greet.Add(1) > 1 && o.panics == "write" {
		panic("write")
	}
	return o.Conn.Write(p)
}

func (o *oddConn) Close() error {
	o.Conn.Close()
	if o.panics == "close" {
		panic("close")
	}
	return nil
}

// TestCodecsAreClosedOnceWhateverTheyDo: a codec or a connection that panics costs calls,
// but not the process.
func TestCodecsAreClosedOnceWhateverTheyDo(t *testing.T) {
	for _, panics := range []string{"", "encoding", "header", "body", "closing", "making", "read", "write", "close"} {
		t.Run(fmt.Sprintf("panics %q", panics), func(t *testing.T) {
			s := startStock(t, "")
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan struct{})
			go func() {
				defer close(served)
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					go s.rpc.ServeCodec(jsonrpc.NewServerCodec(nc))
				}
			}()
			defer func() { l.Close(); <-served }()
			var made, closed atomic.Int32
			fine := panics == "" || panics == "closing" || panics == "close"
			patience := 100 * time.Millisecond // else the calls fail, and most in vain wait for a node
			if fine {
				patience = 20 * time.Second
			}
			cfg := Config{WaitForNode: patience, Retry: RetryConfig{Max: -1}, Conn: ConnConfig{Codec: func(rw io.ReadWriteCloser) rpc.ClientCodec {
				if panics == "making" {
					panic(panics)
				}
				made.Add(1)
				return oddCodec{jsonrpc.NewClientCodec(rw), panics, &closed}
			}}}
			cfg.Conn.Dial = func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
				nc, err := net.Dial("tcp", ep.Addr)
				if err != nil {
					return nil, err
				}
				return &oddConn{Conn: nc, panics: panics}, nil
			}
			c := newClient(t, cfg, l.Addr().String())
			for range 3 {
				err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, new(int))
				var e *Error
				if panics == "read" { // the panic may come after the answer
					continue
				}
				if fine != (err == nil) || err != nil && !errors.As(err, &e) {
					t.Error(err)
				}
			}
			c.Close()
			if made.Load() != closed.Load() || panics != "making" && made.Load() == 0 {
				t.Errorf("%d codecs made, %d closed", made.Load(), closed.Load())
			}
		})
	}
}

// slowToClose is a codec that needs a second to close.
type slowToClose struct {
	rpc.ClientCodec
	closed *atomic.Int32
}

func (s slowToClose) Close() error {
	time.Sleep(time.Second)
	s.closed.Add(1)
	return s.ClientCodec.Close()
}

// TestCloseWaitsForConnectionsThatAreDead: a connection that the server has ended is not
// one of its node any more, but its goroutine may still be closing the codec.
func TestCloseWaitsForConnectionsThatAreDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangUp := make(chan struct{})
		f := newFakeNet(map[string]func(net.Conn){"a:1": func(nc net.Conn) {
			go rpc.ServeCodec(jsonrpc.NewServerCodec(nc))
			<-hangUp
			nc.Close()
		}})
		var made, closed atomic.Int32
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1, Codec: func(rw io.ReadWriteCloser) rpc.ClientCodec {
			made.Add(1)
			return slowToClose{jsonrpc.NewClientCodec(rw), &closed}
		}}}, "a:1")
		allUp(t, c, 1)
		f.set("a:1", nil)
		close(hangUp)
		synctest.Wait()
		c.Close()
		if made.Load() != 1 || closed.Load() != 1 {
			t.Errorf("%d codecs made, %d closed when Close returns", made.Load(), closed.Load())
		}
	})
}
