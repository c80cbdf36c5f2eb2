package conn

import (
	"bytes"
	"encoding/gob"
	"net/rpc"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/gobwire"
)

// Any carries an interface value; Inner and Outer travel in it.
type (
	Any   struct{ V any }
	Inner struct{ N int }
	Outer struct{ V any }
)

// The headers by hand are those of encoding/gob, byte for byte.
func TestRequestHeaderIsGobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		method := rapid.StringN(1, -1, 400).Draw(t, "method")
		seq := rapid.Uint64Min(1).Draw(t, "seq")
		var want bytes.Buffer
		enc := gob.NewEncoder(&want)
		enc.Encode(&rpc.Request{ServiceMethod: "x", Seq: 1})
		first := gobwire.LastMessage(want.Bytes())
		_, n := gobwire.ReadUint(first)
		u, _ := gobwire.ReadUint(first[n:])
		id := gobwire.ToInt(u)
		want.Reset()
		enc.Encode(&rpc.Request{ServiceMethod: method, Seq: seq})
		if got := gobwire.AppendRequest(nil, id, method, seq); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q %d:\ngot  %x\nwant %x", method, seq, got, want.Bytes())
		}
	})
}

// Headers read by hand say what encoding/gob reads.
func TestResponseHeaderIsReadAsGobDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream bytes.Buffer
		enc := gob.NewEncoder(&stream)
		var want []rpc.Response
		for range rapid.IntRange(1, 4).Draw(t, "n") {
			r := rpc.Response{
				ServiceMethod: rapid.String().Draw(t, "method"),
				Seq:           rapid.Uint64().Draw(t, "seq"),
				Error:         rapid.String().Draw(t, "error"),
			}
			enc.Encode(r)
			want = append(want, r)
		}
		f := frames{r: &stream, max: 1 << 20, values: gobwire.NewDecoder(new(gobwire.Plans)), guard: gobwire.NewGuard(new(gobwire.Plans), 4<<20)}
		dec := gob.NewDecoder(&f)
		for i, w := range want {
			if err := f.value(); err != nil {
				t.Fatal(err)
			}
			if r, ok := f.header(); ok != (i > 0) {
				t.Fatalf("response %d by hand: %v", i, ok)
			} else if ok {
				if string(r.Method) != w.ServiceMethod || r.Seq != w.Seq || string(r.Error) != w.Error {
					t.Fatalf("got %q %d %q, want %+v", r.Method, r.Seq, r.Error, w)
				}
				continue
			}
			var got rpc.Response
			if err := dec.Decode(&got); err != nil || got.Seq != w.Seq || got.Error != w.Error || got.ServiceMethod != w.ServiceMethod {
				t.Fatal(got, err)
			}
		}
	})
}

// A peer with a type of that name but other fields is left to encoding/gob.
func TestForeignResponseTypeIsNotReadByHand(t *testing.T) {
	type Response struct {
		Error         string
		ServiceMethod string
		Seq           uint
	}
	var stream bytes.Buffer
	enc := gob.NewEncoder(&stream)
	enc.Encode(Response{"e", "m", 5})
	enc.Encode(Response{"f", "n", 6})
	w := newGobWire(&stream, 1<<20, newGobTypes())
	for _, want := range []rpc.Response{{ServiceMethod: "m", Seq: 5, Error: "e"}, {ServiceMethod: "n", Seq: 6, Error: "f"}} {
		var got rpc.Response
		if err := w.header(&got); err != nil || got.Seq != want.Seq || got.Error != want.Error || got.ServiceMethod != want.ServiceMethod {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// Whatever a server sends, the client neither crashes nor hangs nor allocates more
// than it was sent.
func FuzzResponses(f *testing.F) {
	var stream bytes.Buffer
	enc := gob.NewEncoder(&stream)
	enc.Encode(rpc.Response{ServiceMethod: "Arith.Multiply", Seq: 1})
	enc.Encode(42)
	enc.Encode(rpc.Response{Seq: 2, Error: "no"})
	enc.Encode(struct{}{})
	enc.Encode(rpc.Response{Seq: 3})
	enc.Encode(Any{Outer{Inner{7}}})
	f.Add(stream.Bytes())
	f.Add([]byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newGobWire(bytes.NewReader(data), 1<<20, newGobTypes())
		begin := time.Now()
		for time.Since(begin) < 10*time.Second {
			var resp rpc.Response
			if w.header(&resp) != nil || w.whole() != nil {
				return
			}
			var reply any = new(Any)
			if resp.Seq%2 == 1 {
				reply = new(int)
			}
			if _, _, fatal := w.body(reply); fatal != nil {
				return
			}
		}
		t.Fatal("no end of", len(data), "bytes")
	})
}
