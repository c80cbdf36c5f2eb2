package rpcwire

import (
	"bytes"
	"encoding/gob"
	"errors"
	"io"
	"net/rpc"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Any carries an interface value; Inner and Outer travel in it.
type (
	Any   struct{ V any }
	Inner struct{ N int }
	Outer struct{ V any }
)

func init() {
	gob.Register(Inner{})
	gob.Register(Outer{})
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
		d := NewResponseReader(&stream, 1<<20, new(Types))
		for i, w := range want {
			if err := d.next(); err != nil {
				t.Fatal(err)
			}
			value, _ := d.byHand()
			if ok := value != nil; ok != (i > 0) {
				t.Fatalf("response %d by hand: %v", i, ok)
			} else if ok {
				r, ok := parseResponse(value)
				if d.end(); !ok || string(r.method) != w.ServiceMethod || r.seq != w.Seq || string(r.err) != w.Error {
					t.Fatalf("got %q %d %q, want %+v", r.method, r.seq, r.err, w)
				}
				continue
			}
			var got rpc.Response
			if _, err := d.decodeHeader(&got, new(responseFields)); err != nil || got != w {
				t.Fatal(got, err)
			}
		}
	})
}

func nextResponse(d *Reader) (resp Response, err error) {
	err = d.Response(&resp)
	return resp, err
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
	w := NewResponseReader(&stream, 1<<20, new(Types))
	for _, want := range []rpc.Response{{ServiceMethod: "m", Seq: 5, Error: "e"}, {ServiceMethod: "n", Seq: 6, Error: "f"}} {
		got, err := nextResponse(w)
		if err != nil || got.Seq != want.Seq || got.Error != want.Error || got.ServiceMethod != want.ServiceMethod {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// Parcel is mostly bytes; Crate is, too, and carries a type that comes with it.
type (
	Parcel struct {
		Label string
		Data  []byte
	}
	Crate struct {
		Data []byte
		V    any
	}
	Tag   struct{ Text string }
	Stamp struct{ Day int }
)

// chunks gives a few bytes a read, as a socket does.
type chunks struct {
	r    io.Reader
	next func() int
}

func (c chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.next())]) }

// TestRepliesKeepWhatTheyGot, however they were read: some share memory with the buffer
// that they came in, and none may change when more is read.
func TestRepliesKeepWhatTheyGot(t *testing.T) {
	gob.Register(Tag{})
	gob.Register(Stamp{})
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{SmallBuffer, 2 * SmallBuffer, 6 * SmallBuffer, 1<<20 + 1}))
		var stream bytes.Buffer
		enc := gob.NewEncoder(&stream)
		var sent []any
		for seq := range rapid.IntRange(1, 25).Draw(t, "replies") {
			data := bytes.Repeat([]byte{byte(seq + 1)}, sizes.Draw(t, "size"))
			var body any
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				body = data
			case 1:
				body = Crate{data, rapid.SampledFrom([]any{Tag{"t"}, Stamp{3}}).Draw(t, "v")}
			default:
				body = Parcel{"p", data}
			}
			sent = append(sent, body)
			enc.Encode(rpc.Response{ServiceMethod: "M", Seq: uint64(seq + 1)})
			enc.Encode(body)
		}
		most := rapid.SampledFrom([]int{1 << 30, 40_000, 1000}).Draw(t, "chunk")
		w := NewResponseReader(chunks{&stream, func() int { return most }}, 1<<30, new(Types))
		got := make([]reflect.Value, len(sent))
		for i, body := range sent {
			var resp Response
			if err := w.Response(&resp); err != nil || resp.Seq != uint64(i+1) {
				t.Fatal(i, resp, err)
			}
			if err := w.Next(); err != nil {
				t.Fatal(err)
			}
			var reply any
			how := rapid.IntRange(0, 5).Draw(t, "how")
			if _, ok := body.(Crate); ok {
				how = 2 // what is not decoded would end the stream
			}
			switch how {
			case 0: // the caller has gone
			case 1:
				reply = new(struct{ Data map[string]int })
			default:
				got[i] = reflect.New(reflect.TypeOf(body))
				reply = got[i].Interface()
			}
			if bad, broken := w.Body(reply); broken != nil || (bad != nil) != (how == 1) {
				t.Fatal(i, bad, broken)
			}
		}
		for i, v := range got {
			if v.IsValid() && !alike(v.Elem().Interface(), sent[i]) {
				t.Fatalf("reply %d of %d is not what it was", i, len(sent))
			}
		}
	})
}

// TestLargeRepliesLeaveNoLargeBuffer, whatever came in the same read.
func TestLargeRepliesLeaveNoLargeBuffer(t *testing.T) {
	var stream bytes.Buffer
	enc := gob.NewEncoder(&stream)
	sizes := []int{8 << 20, 8 << 20, 64 << 10, 64 << 10, 64 << 10, 10, 10}
	for i, n := range sizes {
		enc.Encode(rpc.Response{ServiceMethod: "M", Seq: uint64(i + 1)})
		enc.Encode(make([]byte, n))
	}
	w := NewResponseReader(chunks{&stream, func() int { return 1 << 20 }}, 1<<30, new(Types))
	for range sizes {
		var resp Response
		var reply []byte
		if err := w.Response(&resp); err != nil {
			t.Fatal(err)
		}
		if err := w.Next(); err != nil {
			t.Fatal(err)
		}
		if err, _ := w.Body(&reply); err != nil {
			t.Fatal(err)
		}
	}
	if kept := max(cap(w.buf), cap(w.small)); kept > SmallBuffer {
		t.Errorf("a buffer of %d bytes is kept", kept)
	}
}

// alike is reflect.DeepEqual, but an empty slice may have become nil.
func alike(a, b any) bool {
	var as, bs bytes.Buffer
	return gob.NewEncoder(&as).Encode(a) == nil && gob.NewEncoder(&bs).Encode(b) == nil && bytes.Equal(as.Bytes(), bs.Bytes())
}

// TestWhatIsNotDecodedToItsEndEndsTheStream: a value that can hold interface values, because
// its end is not known. All other values are left out.
func TestWhatIsNotDecodedToItsEndEndsTheStream(t *testing.T) {
	for name, tt := range map[string]struct {
		body  any
		into  any
		bad   bool
		ended bool
	}{
		"a struct that does not fit":             {Inner{1}, new(string), true, false},
		"a struct that nothing takes":            {Inner{1}, nil, false, false},
		"an interface value that does not fit":   {Any{Inner{1}}, new(string), true, true},
		"one that nothing takes":                 {Any{Inner{1}}, nil, false, true},
		"one of a known type that nothing takes": {Any{1}, nil, false, false},
		"nil ones that nothing takes":            {[]any{nil}, nil, false, false},
		"nil ones in a field that is not there": {struct {
			A int
			B []any
		}{1, []any{nil}}, new(struct{ A int }), true, true},
		"one in a field that is not there": {struct {
			A int
			B any
		}{1, 2}, new(struct{ A int }), false, false},
	} {
		var stream bytes.Buffer
		enc := gob.NewEncoder(&stream)
		enc.Encode(rpc.Response{Seq: 1})
		enc.Encode(tt.body)
		enc.Encode(rpc.Response{Seq: 2})
		d := NewResponseReader(&stream, 1<<20, new(Types))
		var resp Response
		if err := errors.Join(d.Response(&resp), d.Next()); err != nil {
			t.Fatal(name, err)
		}
		bad, broken := d.Body(tt.into)
		if (bad != nil) != tt.bad || (broken != nil) != tt.ended {
			t.Errorf("%s: bad %v, broken %v", name, bad, broken)
		}
		if tt.ended != errors.Is(broken, ErrUnread) {
			t.Errorf("%s: it ends with %v", name, broken)
		}
		if err := d.Response(&resp); (err != nil) != tt.ended || err == nil && resp.Seq != 2 {
			t.Errorf("%s: then comes %v, %v", name, resp.Seq, err)
		}
	}
}

// FuzzResponses: whatever a server sends, the client neither crashes nor hangs nor
// allocates more than it was sent.
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
	w := NewWriter(new(Types))
	b, _ := w.AppendResponse(nil, &Response{Seq: 1, Error: "no", NotExecuted: true, Wait: time.Second}, nil)
	for range 2 {
		b, _ = w.AppendResponse(b, &Response{Seq: 2, Knows: KnowsCancel}, 1)
	}
	f.Add(b)
	f.Add([]byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := NewResponseReader(bytes.NewReader(data), 1<<20, new(Types))
		begin := time.Now()
		for time.Since(begin) < 10*time.Second {
			var resp Response
			if w.Response(&resp) != nil || w.Next() != nil {
				return
			}
			var reply any = new(Any)
			if resp.Seq%2 == 1 {
				reply = new(int)
			}
			if _, broken := w.Body(reply); broken != nil {
				return
			}
		}
		t.Fatal("no end of", len(data), "bytes")
	})
}
