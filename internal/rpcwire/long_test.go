package rpcwire

import (
	"bytes"
	"encoding/gob"
	"errors"
	"math"
	"net"
	"net/rpc"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
)

func drawRequest(t *rapid.T) Request {
	r := Request{
		ServiceMethod: rapid.StringN(1, -1, 300).Draw(t, "method"),
		Seq:           rapid.Uint64Min(1).Draw(t, "seq"),
	}
	if rapid.Bool().Draw(t, "plain") {
		return r
	}
	r.Timeout = time.Microsecond * time.Duration(rapid.OneOf(rapid.Int64Range(0, 2000), rapid.Int64Range(0, math.MaxInt64/1000)).Draw(t, "timeout"))
	for range rapid.IntRange(0, 4).Draw(t, "pairs") {
		var err error
		if r.Meta, err = r.Meta.With(rapid.StringMatching("[a-z]{1,3}").Draw(t, "key"), rapid.StringN(0, 300, 300).Draw(t, "value")); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestLongRequestsAreGobs: requests in both forms are what encoding/gob writes, byte for
// byte, net/rpc reads what it knows of them, and a Reader reads all.
func TestLongRequestsAreGobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want bytes.Buffer
		enc := gob.NewEncoder(&want)
		w := NewWriter(new(Types))
		var got []byte
		var sent []Request
		var bodies []any // the first one last
		for range rapid.IntRange(1, 8).Draw(t, "n") {
			r := drawRequest(t)
			sent = append(sent, r)
			var header any = &rpc.Request{ServiceMethod: r.ServiceMethod, Seq: r.Seq}
			if r.long() {
				header = r.forGob()
			}
			body := rapid.SampledFrom([]any{[]string{"a"}, 5, Any{Inner{1}}, "text", []string{}}).Draw(t, "body")
			bodies = append([]any{body}, bodies...)
			if err := errors.Join(enc.Encode(header), enc.Encode(body)); err != nil {
				t.Fatal(err)
			}
			var err error
			if got, err = w.AppendRequest(got, &r, body); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("%+v:\ngot  %x\nwant %x", r, got, want.Bytes())
			}
		}
		stock := gob.NewDecoder(bytes.NewReader(got))
		d := NewRequestReader(bytes.NewReader(got), 1<<20, new(Types), nil)
		for _, r := range sent {
			var plain rpc.Request
			if err := errors.Join(stock.Decode(&plain), stock.DecodeValue(reflect.Value{})); err != nil || plain.ServiceMethod != r.ServiceMethod || plain.Seq != r.Seq {
				t.Fatalf("%+v is read by net/rpc as %+v, %v", r, plain, err)
			}
			var h Header
			if err := d.Request(&h); err != nil || h.Refused != nil || string(h.Method) != r.ServiceMethod || h.Seq != r.Seq || h.Timeout != r.Timeout || callmeta.Keep(h.Meta) != r.Meta {
				t.Fatalf("%+v is read as %+v, %v", r, h, err)
			}
			if err := d.Next(); err != nil {
				t.Fatal(err)
			}
			if bad, broken := d.Body(reflect.New(reflect.TypeOf(bodies[len(bodies)-1])).Interface()); bad != nil || broken != nil {
				t.Fatal(bad, broken)
			}
			bodies = bodies[:len(bodies)-1]
		}
	})
}

// TestLongResponsesAreGobs is TestLongRequestsAreGobs for the other direction.
func TestLongResponsesAreGobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want bytes.Buffer
		enc := gob.NewEncoder(&want)
		w := NewWriter(new(Types))
		var got []byte
		var sent []Response
		for range rapid.IntRange(1, 8).Draw(t, "n") {
			r := Response{
				ServiceMethod: rapid.String().Draw(t, "method"),
				Seq:           rapid.Uint64Max(NoticeSeq-1).Draw(t, "seq"),
				Error:         rapid.OneOf(rapid.Just(""), rapid.StringN(0, 300, 300)).Draw(t, "error"),
				NotExecuted:   rapid.Bool().Draw(t, "refused"),
				Wait:          time.Millisecond * time.Duration(rapid.Int64Range(0, 60_000).Draw(t, "wait")),
				Knows:         Knows(rapid.IntRange(0, int(KnowsCancel)).Draw(t, "knows")),
			}
			sent = append(sent, r)
			var header any = &rpc.Response{ServiceMethod: r.ServiceMethod, Seq: r.Seq, Error: r.Error}
			if r.long() {
				header = r.forGob()
			}
			body := any(7)
			if r.Error != "" {
				body = struct{}{}
			}
			if err := errors.Join(enc.Encode(header), enc.Encode(body)); err != nil {
				t.Fatal(err)
			}
			var err error
			if got, err = w.AppendResponse(got, &r, 7); err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("%+v, %v:\ngot  %x\nwant %x", r, err, got, want.Bytes())
			}
		}
		stock := gob.NewDecoder(bytes.NewReader(got))
		d := NewResponseReader(bytes.NewReader(got), 1<<20, new(Types))
		for _, r := range sent {
			var plain rpc.Response
			if err := errors.Join(stock.Decode(&plain), stock.DecodeValue(reflect.Value{})); err != nil || plain.ServiceMethod != r.ServiceMethod || plain.Seq != r.Seq || plain.Error != r.Error {
				t.Fatalf("%+v is read by net/rpc as %+v, %v", r, plain, err)
			}
			resp, err := nextResponse(d)
			if r.ServiceMethod = resp.ServiceMethod; err != nil || resp != r { // encoding/gob has set it the first time
				t.Fatalf("%+v is read as %+v, %v", r, resp, err)
			}
			if err := errors.Join(d.Next(), d.skip()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Arith is served by net/rpc.
type Arith struct{}

func (Arith) Double(n int, reply *int) error {
	*reply = 2 * n
	return nil
}

// TestNetRPCServerSkipsTheLongForm, wherever it comes in the stream.
func TestNetRPCServerSkipsTheLongForm(t *testing.T) {
	server := rpc.NewServer()
	server.Register(Arith{})
	meta, _ := callmeta.Of([]string{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	short := Request{}
	long := Request{Timeout: time.Second, Meta: meta}
	for name, form := range map[string][]Request{"first": {long, short, long, short}, "later": {short, long, long, short}} {
		client, at := net.Pipe()
		go server.ServeConn(at)
		w := NewWriter(new(Types))
		d := NewResponseReader(client, 1<<20, new(Types))
		for i, r := range form {
			r.ServiceMethod, r.Seq = "Arith.Double", uint64(i+1)
			b, err := w.AppendRequest(nil, &r, i)
			if err != nil {
				t.Fatal(err)
			}
			go client.Write(b)
			resp, err := nextResponse(d)
			var reply int
			if err = errors.Join(err, d.Next()); err != nil {
				t.Fatal(name, i, err)
			}
			if bad, broken := d.Body(&reply); bad != nil || broken != nil || resp.Seq != r.Seq || resp.Error != "" || reply != 2*i {
				t.Fatal(name, i, resp, reply, bad, broken)
			}
		}
		client.Close()
	}
}

// TestNetRPCClientSkipsTheLongForm is that for responses.
func TestNetRPCClientSkipsTheLongForm(t *testing.T) {
	nc, at := net.Pipe()
	go func() {
		d := NewRequestReader(at, 1<<20, new(Types), nil)
		w := NewWriter(new(Types))
		var h Header
		for d.Request(&h) == nil && errors.Join(d.Next(), d.skip()) == nil {
			resp := Response{ServiceMethod: string(h.Method), Seq: h.Seq}
			switch string(h.Method) {
			case "refused":
				resp.Error, resp.NotExecuted, resp.Wait = "not now", true, time.Second
			case PingMethod:
				resp.Knows = KnowsCancel
			}
			b, err := w.AppendResponse(nil, &resp, 7)
			if err != nil {
				t.Error(err)
			}
			at.Write(b)
		}
	}()
	client := rpc.NewClient(nc)
	defer client.Close()
	for i, method := range []string{PingMethod, "plain", "refused", "plain", PingMethod} {
		var reply int
		err := client.Call(method, 1, &reply)
		if want := method == "refused"; (err != nil) != want || want && err.Error() != "not now" || !want && reply != 7 {
			t.Error(i, method, reply, err)
		}
	}
}
