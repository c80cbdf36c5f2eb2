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
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// partly lets so many bytes of its second write go, and fails.
type partly struct {
	net.Conn
	bytes  int
	writes atomic.Int32
}

func (p *partly) Write(b []byte) (int, error) {
	if p.writes.Add(1) < 2 {
		return p.Conn.Write(b)
	}
	n, _ := p.Conn.Write(b[:min(p.bytes, len(b))])
	return n, errRefused
}

// TestNeverIsSaidOnlyOfWhatNobodyCanHaveDecoded: half a request in gob is none; of
// another codec nothing is known, and JSON is whole without its last byte.
func TestNeverIsSaidOnlyOfWhatNobodyCanHaveDecoded(t *testing.T) {
	gob := func(r io.ReadWriteCloser) wire { return newGobWire(r, 1<<20, newGobTypes()) }
	foreign := func(r io.ReadWriteCloser) wire {
		return &codecWire{codec: jsonrpc.NewClientCodec(r), stream: r.(*connStream)}
	}
	for name, tt := range map[string]struct {
		wire  func(io.ReadWriteCloser) wire
		bytes int
		want  Executed
	}{
		"gob, nothing":    {gob, 0, Never},
		"gob, a byte":     {gob, 1, Never},
		"gob, the header": {gob, 20, Never},
		"gob, all":        {gob, 1 << 20, Maybe},
		"JSON, nothing":   {foreign, 0, Never},
		"JSON, a byte":    {foreign, 1, Maybe},
		"JSON, most":      {foreign, 20, Maybe},
		"JSON, all":       {foreign, 1 << 20, Maybe},
	} {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		owner := &recorder{dead: make(chan struct{}, 1)}
		c := newConn(&partly{Conn: ours, bytes: tt.bytes}, testSettings(), owner, tt.wire)
		first := &call{method: "Arith.Multiply", args: &Args{1, 2}, done: make(chan struct{}, 1), start: c.now()}
		second := &call{method: "Arith.Multiply", args: &Args{3, 4}, done: make(chan struct{}, 1), start: c.now()}
		if err := c.send(context.Background(), first); err != nil {
			t.Fatal(err)
		}
		for { // until it is written
			c.mu.Lock()
			written := c.written == c.queued
			c.mu.Unlock()
			if written {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if err := c.send(context.Background(), second); err != nil {
			t.Fatal(err)
		}
		<-first.done
		<-second.done
		if first.exec != Maybe || second.exec != tt.want {
			t.Errorf("%s: %v and %v, want maybe and %v", name, first.exec, second.exec, tt.want)
		}
		c.wait()
		theirs.Close()
	}
}

// oddCodec is a codec that panics where it is told to, and counts how it ends.
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
	if r.ServiceMethod != pingMethod {
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

// oddConn is a connection that panics where it is told to.
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

// TestCodecsAreClosedOnceWhateverTheyDo: and a codec or a connection that panics costs
// calls, not the process.
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
			cfg := Config{WaitForNode: 100 * time.Millisecond, Retries: -1, Codec: func(rw io.ReadWriteCloser) rpc.ClientCodec {
				if panics == "making" {
					panic(panics)
				}
				made.Add(1)
				return oddCodec{jsonrpc.NewClientCodec(rw), panics, &closed}
			}}
			cfg.Dial = func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
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
				if panics == "read" { // perhaps only after the answer
					continue
				}
				if fine := panics == "" || panics == "closing" || panics == "close"; fine != (err == nil) || err != nil && !errors.As(err, &e) {
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
