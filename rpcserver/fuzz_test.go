package rpcserver_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Pure is a service whose answers depend on the request only.
type Pure struct{}

// Add takes a struct.
func (Pure) Add(args Args, reply *int) error {
	if args.A == 13 {
		return errors.New("not with me")
	}
	*reply = args.A + args.B
	return nil
}

// Len takes a slice.
func (Pure) Len(args *[]string, reply *int) error {
	*reply = len(*args)
	return nil
}

// Box takes every type that gob knows.
func (Pure) Box(args Any, reply *string) error {
	*reply = fmt.Sprint(args.V)
	return nil
}

// tape is a connection whose client has sent everything already.
type tape struct {
	net.Conn // none
	in       *bytes.Reader
	mu       sync.Mutex // guards out
	out      bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}
func (*tape) Close() error                     { return nil }
func (*tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*tape) SetReadDeadline(time.Time) error  { return nil }
func (*tape) SetWriteDeadline(time.Time) error { return nil }

// answers plays a stream of bytes to a server and lists its responses.
func answers(t *testing.T, stream []byte, serve func(net.Conn)) []string {
	c := &tape{in: bytes.NewReader(stream)}
	serve(c)
	var out []string
	dec := gob.NewDecoder(&c.out)
	for {
		var resp rpc.Response
		err := dec.Decode(&resp)
		if err != nil {
			if err != io.EOF {
				t.Fatalf("%x: reading the answers: %v", stream, err)
			}
			break
		}
		body := ""
		if resp.Error == "" {
			switch resp.ServiceMethod {
			case "Pure.Box":
				err = dec.Decode(&body)
			default:
				var n int
				err = dec.Decode(&n)
				body = fmt.Sprint(n)
			}
		} else {
			err = dec.DecodeValue(reflect.Value{})
		}
		if err != nil {
			t.Fatalf("%x: reading a reply to %+v: %v", stream, resp, err)
		}
		if resp.Error != "" && resp.Error != "not with me" && !strings.HasPrefix(resp.Error, "rpc: ") {
			resp.Error = "bad argument" // the words differ
		}
		if resp.Seq == 1<<64-1 && resp.ServiceMethod == "_rollcall.Drain" {
			continue // a notice
		}
		out = append(out, fmt.Sprintf("%d %s %q %s", resp.Seq, resp.ServiceMethod, resp.Error, body))
	}
	slices.Sort(out)
	return out
}

// FuzzContexts: whatever a client sends of headers, cancels and metadata, each request is
// answered once at most, and the contexts end with the connection.
func FuzzContexts(f *testing.F) {
	m, err := callmeta.Of([]string{"a", "1", "traceparent", "00-1-2-01"})
	if err != nil {
		f.Fatal(err)
	}
	for _, requests := range [][]rpcwire.Request{
		{{ServiceMethod: "Both.Wait", Seq: 1, Timeout: time.Hour}, {ServiceMethod: rpcwire.CancelMethod, Seq: 1}, {ServiceMethod: "Both.Plain", Seq: 2, Meta: m}},
		{{ServiceMethod: "Both.Wait", Seq: 1}, {ServiceMethod: "Both.Wait", Seq: 1, Meta: m}, {ServiceMethod: rpcwire.CancelMethod, Seq: 1}},
		{{ServiceMethod: "Both.Wait", Seq: 1, Timeout: 1}, {ServiceMethod: "Both.Plain", Seq: 2}, {ServiceMethod: rpcwire.CancelMethod, Seq: 2}, {ServiceMethod: rpcwire.PingMethod, Seq: 3}},
	} {
		w := rpcwire.NewWriter(new(rpcwire.Types))
		var stream []byte
		for _, r := range requests {
			if stream, err = w.AppendRequest(stream, &r, 1); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		b := &Both{make(chan context.Context, len(stream)), make(chan error, len(stream))}
		server := rpcserver.New(rpcserver.Config{Limits: rpcserver.Limits{Frame: 1 << 20, InFlight: 1}})
		server.RegisterName("Both", b)
		sent := map[uint64]int{}
		d := rpcwire.NewRequestReader(bytes.NewReader(stream), 1<<20, new(rpcwire.Types), nil)
		for h := new(rpcwire.Header); d.Request(h) == nil; {
			if string(h.Method) != rpcwire.CancelMethod {
				sent[h.Seq]++
			}
			if d.Next() != nil {
				break
			}
			if _, broken := d.Body(new(int)); broken != nil {
				break
			}
		}
		if bytes.Contains(stream, []byte("Hold")) {
			return // it waits for the test
		}
		c := &tape{in: bytes.NewReader(stream)}
		server.ServeConn(c) // returns, so that all contexts have ended
		in := rpcwire.NewResponseReader(&c.out, 1<<20, new(rpcwire.Types))
		for {
			var resp rpcwire.Response
			if err := in.Response(&resp); err != nil {
				if err != io.EOF {
					t.Fatalf("%x: reading the answers: %v", stream, err)
				}
				break
			}
			if err := in.Next(); err != nil {
				t.Fatalf("%x: %v after %+v", stream, err, resp)
			}
			if _, broken := in.Body(nil); broken != nil {
				t.Fatalf("%x: %v", stream, broken)
			}
			if resp.Seq == rpcwire.NoticeSeq {
				continue
			}
			if sent[resp.Seq]--; sent[resp.Seq] < 0 {
				t.Fatalf("%x: an answer too many: %+v", stream, resp)
			}
		}
		if st := server.Stats(); st.InFlight != 0 || st.Conns != 0 {
			t.Fatalf("%x: %+v", stream, st)
		}
	})
}

// FuzzRequests gives the same bytes to net/rpc's server and to this one.
func FuzzRequests(f *testing.F) {
	add := func(values ...any) {
		var b bytes.Buffer
		enc := gob.NewEncoder(&b)
		for _, v := range values {
			if err := enc.Encode(v); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b.Bytes())
	}
	req := func(method string, seq uint64) rpc.Request { return rpc.Request{ServiceMethod: method, Seq: seq} }
	add(req("Pure.Add", 1), Args{1, 2}, req("Pure.Add", 2), Args{13, 2}, req("Pure.Len", 1<<40), []string{"a"})
	add(req("Pure.Nope", 1), Args{1, 2}, req("nodot", 2), 5, req("Pure.Add", 3), "no", req("Pure.Add", 0), Args{0, 1})
	add(req("Pure.Box", 1), Any{5}, req("Pure.Box", 2), Any{"x"}, req("Nope.Nope", 3), Any{[]byte{1}})
	add(struct{ Seq uint64 }{1}, Args{1, 1})
	add(Args{1, 1}, req("Pure.Add", 1), Args{1, 1})
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 3})
	stock := rpc.NewServer()
	stock.Register(Pure{})
	var broken error // how the connection ended
	server := rpcserver.New(rpcserver.Config{
		Limits: rpcserver.Limits{Frame: 1 << 20},
		Trace:  &rpcserver.Trace{ConnEnd: func(_ string, err error) { broken = err }},
	})
	server.Register(Pure{})
	f.Fuzz(func(t *testing.T, stream []byte) {
		if bytes.Contains(stream, []byte("_rollcall")) {
			return
		}
		got := answers(t, stream, server.ServeConn)
		survived := false
		want := answers(t, stream, func(nc net.Conn) {
			defer func() { recover() }() // the server under test may survive bytes that end net/rpc's
			stock.ServeConn(nc)
			survived = true
		})
		if !survived {
			return
		}
		if broken != nil { // net/rpc goes on where this server ends the stream
			var same []string
			refused := 0
			for _, a := range got {
				if i := slices.Index(want, a); i >= 0 {
					same, want = append(same, a), slices.Delete(want, i, i+1)
				} else if strings.Contains(a, `"bad argument"`) && refused == 0 {
					refused++ // the request at which it ends: a definition, say, that no encoder writes
					same = append(same, a)
				}
			}
			want = same
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%x:\ngot  %q\nwant %q", stream, got, want)
		}
	})
}
