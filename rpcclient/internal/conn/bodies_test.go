package conn

import (
	"bytes"
	"encoding/gob"
	"io"
	"net/rpc"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

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

// TestRepliesKeepWhatTheyGot, however they were read: some share memory with the
// buffer that they came in, and none may change when more comes.
func TestRepliesKeepWhatTheyGot(t *testing.T) {
	gob.Register(Tag{})
	gob.Register(Stamp{})
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{16 << 10, framesOwn, 3 * framesOwn, framesKeep + 1}))
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
		w := newGobWire(chunks{&stream, func() int { return most }}, 1<<30, newGobTypes())
		got := make([]reflect.Value, len(sent))
		for i, body := range sent {
			var resp rpc.Response
			if err := w.header(&resp); err != nil || resp.Seq != uint64(i+1) {
				t.Fatal(i, resp, err)
			}
			if err := w.whole(); err != nil {
				t.Fatal(err)
			}
			var reply any
			how := rapid.IntRange(0, 5).Draw(t, "how")
			switch how {
			case 0: // nobody waits any more
			case 1:
				reply = new(struct{ Data map[string]int })
			default:
				got[i] = reflect.New(reflect.TypeOf(body))
				reply = got[i].Interface()
			}
			if _, err, fatal := w.body(reply); fatal != nil || (err != nil) != (how == 1) {
				t.Fatal(i, err, fatal)
			}
		}
		for i, v := range got {
			if v.IsValid() && !alike(v.Elem().Interface(), sent[i]) {
				t.Fatalf("reply %d of %d is not what it was", i, len(sent))
			}
		}
	})
}

// TestLargeRepliesLeaveNoLargeBuffer behind, whatever came in the same read.
func TestLargeRepliesLeaveNoLargeBuffer(t *testing.T) {
	var stream bytes.Buffer
	enc := gob.NewEncoder(&stream)
	sizes := []int{8 << 20, 8 << 20, 64 << 10, 64 << 10, 64 << 10, 10, 10}
	for i, n := range sizes {
		enc.Encode(rpc.Response{ServiceMethod: "M", Seq: uint64(i + 1)})
		enc.Encode(make([]byte, n))
	}
	w := newGobWire(chunks{&stream, func() int { return 1 << 20 }}, 1<<30, newGobTypes())
	for range sizes {
		var resp rpc.Response
		var reply []byte
		if err := w.header(&resp); err != nil {
			t.Fatal(err)
		}
		if err := w.whole(); err != nil {
			t.Fatal(err)
		}
		if _, err, _ := w.body(&reply); err != nil {
			t.Fatal(err)
		}
	}
	if kept := max(cap(w.in.buf), cap(w.in.shared)); kept > framesKeep {
		t.Errorf("a buffer of %d bytes is kept", kept)
	}
}

// alike is reflect.DeepEqual, but an empty slice may have become nil.
func alike(a, b any) bool {
	var as, bs bytes.Buffer
	return gob.NewEncoder(&as).Encode(a) == nil && gob.NewEncoder(&bs).Encode(b) == nil && bytes.Equal(as.Bytes(), bs.Bytes())
}
