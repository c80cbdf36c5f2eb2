package conn

import (
	"context"
	"encoding/gob"
	"io"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Args are those of the package comment of net/rpc.
type Args struct{ A, B int }

// partly lets so many bytes of its second write pass, and fails.
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
	return n, errTest
}

// TestNeverIsSaidOnlyOfWhatNobodyCanHaveDecoded: half a request in gob cannot be decoded. Of
// other codecs nothing is known, and JSON is whole without its last byte.
func TestNeverIsSaidOnlyOfWhatNobodyCanHaveDecoded(t *testing.T) {
	for name, tt := range map[string]struct {
		codec func(io.ReadWriteCloser) rpc.ClientCodec
		bytes int
		want  Executed
	}{
		"gob, nothing":    {nil, 0, Never},
		"gob, a byte":     {nil, 1, Never},
		"gob, the header": {nil, 20, Never},
		"gob, all":        {nil, 1 << 20, Maybe},
		"JSON, nothing":   {jsonrpc.NewClientCodec, 0, Never},
		"JSON, a byte":    {jsonrpc.NewClientCodec, 1, Maybe},
		"JSON, most":      {jsonrpc.NewClientCodec, 20, Maybe},
		"JSON, all":       {jsonrpc.NewClientCodec, 1 << 20, Maybe},
	} {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		owner := &recorder{dead: make(chan struct{}, 1)}
		cfg := testConfig()
		cfg.Codec = tt.codec
		c := NewSet(cfg).Start(&partly{Conn: ours, bytes: tt.bytes}, owner)
		first := &Request{Method: "Arith.Multiply", Args: &Args{1, 2}, Done: make(chan struct{}, 1), Start: c.Now()}
		second := &Request{Method: "Arith.Multiply", Args: &Args{3, 4}, Done: make(chan struct{}, 1), Start: c.Now()}
		if err := c.Send(context.Background(), first); err != nil {
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
		if err := c.Send(context.Background(), second); err != nil {
			t.Fatal(err)
		}
		<-first.Done
		<-second.Done
		if first.Executed != Maybe || second.Executed != tt.want {
			t.Errorf("%s: %v and %v, want maybe and %v", name, first.Executed, second.Executed, tt.want)
		}
		c.Wait()
		theirs.Close()
	}
}

// Exits ends the goroutine that decodes it, as t.Fatal does.
type Exits struct{}

func (Exits) GobEncode() ([]byte, error) { return []byte{1}, nil }
func (*Exits) GobDecode([]byte) error    { runtime.Goexit(); return nil }

// Leaver answers with a value that ends the goroutine of the reader.
type Leaver struct{}

func (Leaver) Plain(_ int, out *Exits) error         { return nil }
func (Leaver) Any(_ int, out *struct{ V any }) error { out.V = Exits{}; return nil }

// TestReplyThatEndsTheReaderEndsTheConnection: its request and all others get a result.
func TestReplyThatEndsTheReaderEndsTheConnection(t *testing.T) {
	gob.Register(Exits{})
	for method, reply := range map[string]any{"Leaver.Plain": new(Exits), "Leaver.Any": new(struct{ V any })} {
		s := rpc.NewServer()
		s.Register(Leaver{})
		ours, theirs := net.Pipe()
		go s.ServeConn(theirs)
		owner := &recorder{dead: make(chan struct{}, 1)}
		c := NewSet(testConfig()).Start(ours, owner)
		req := &Request{Method: method, Args: 1, Reply: reply, Done: make(chan struct{}, 1), Start: c.Now()}
		if err := c.Send(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		select {
		case <-req.Done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the request has no result", method)
		}
		if _, answered := req.Err.(rpc.ServerError); answered || req.Err == nil {
			t.Fatalf("%s: %v", method, req.Err)
		}
		c.Wait()
		<-owner.dead
	}
}
