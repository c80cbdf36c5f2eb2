package rpcclient

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/gobwire"
)

// Odd is a service of unpleasant values.
type Odd struct{}

// Any carries an interface value.
type Any struct{ V any }

func (Odd) Any(in *Any, out *Any) error { out.V = in.V; return nil }

// Text answers a string where the caller expects something else.
func (Odd) Text(_ *Args, out *string) error { *out = "text"; return nil }

// Inner and Outer travel in interface values, one within the other.
type (
	Inner struct{ N int }
	Outer struct{ V any }
)

// Nils answers what encoding/gob takes for more than it is when it skips it.
func (Odd) Nils(_ *Args, out *[]any) error { *out = []any{nil}; return nil }

func (Odd) Nested(_ *Args, out *Any) error { out.V = Outer{Inner{7}}; return nil }

func TestArgumentThatCannotBeEncodedFailsThatCallOnly(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{ConnsPerNode: 1}, s.addr)
	block := c.Go(t.Context(), "Arith.Block", &Args{A: 9}, new(int), nil)
	<-s.arith.entered
	var nilArgs *Args
	for name, bad := range map[string]any{
		"no exported fields":    struct{ f func() }{},
		"channel":               make(chan int),
		"nil pointer":           nilArgs,
		"nil":                   nil,
		"unregistered":          &Any{struct{ X int }{1}},
		"unregistered within":   &Any{Outer{struct{ Y int }{1}}},
		"nil in a slice":        []*Args{{1, 2}, nil},
		"GobEncode that panics": &Panicky{Encode: true},
		"GobEncode that fails":  &Panicky{Fail: true},
	} {
		for range 2 {
			err := c.Call(t.Context(), "Arith.Multiply", bad, new(int))
			var e *Error
			if !errors.As(err, &e) || e.Executed != Never || len(e.Attempts) != 1 || e.Attempts[0].Phase != Encode {
				t.Errorf("%s: %v", name, err)
			}
			var product int
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{3, 4}, &product); err != nil || product != 12 {
				t.Errorf("good call after %s: %d, %v", name, product, err)
			}
		}
	}
	close(s.arith.block)
	if <-block.Done; block.Error != nil {
		t.Errorf("call in flight all along: %v", block.Error)
	}
	// Values within interfaces cost a connection each, once; all others none.
	if dials := c.Stats().Dials; dials > 3 {
		t.Errorf("%d dials", dials)
	}
}

// Panicky has gob methods that misbehave on demand.
type Panicky struct{ Encode, Decode, Fail bool }

func (p *Panicky) GobEncode() ([]byte, error) {
	switch {
	case p.Encode:
		panic("GobEncode")
	case p.Fail:
		return nil, errors.New("no")
	case p.Decode:
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

func (p *Panicky) GobDecode(b []byte) error {
	if b[0] == 1 && p.Fail {
		panic("GobDecode")
	}
	p.Decode = b[0] == 1
	return nil
}

func (Odd) Panicky(in *Panicky, out *Panicky) error { *out = *in; return nil }

func TestReplyThatDoesNotFitFailsThatCallOnly(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{ConnsPerNode: 1}, s.addr)
	block := c.Go(t.Context(), "Arith.Block", &Args{A: 9}, new(int), nil)
	<-s.arith.entered
	// encoding/gob itself fails to skip an interface value within another when it
	// sees the types for the first time.
	if err := c.Call(t.Context(), "Odd.Nested", &Args{}, new(Any)); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"text as a struct": func() error { return c.Call(t.Context(), "Odd.Text", &Args{}, new(Quotient)) },
		"overflow":         func() error { return c.Call(t.Context(), "Arith.Multiply", &Args{1000, 1000}, new(int8)) },
		"GobDecode that panics": func() error {
			return c.Call(t.Context(), "Odd.Panicky", &Panicky{Decode: true}, &Panicky{Fail: true})
		},
		"interface as a struct": func() error { return c.Call(t.Context(), "Odd.Nested", &Args{}, new(Quotient)) },
	} {
		err := call()
		var e *Error
		if !errors.As(err, &e) || e.Executed != Yes || len(e.Attempts) != 1 || e.Attempts[0].Phase != Decode {
			t.Errorf("%s: %v", name, err)
		}
		var any Any
		if err := c.Call(t.Context(), "Odd.Nested", &Args{}, &any); err != nil || any.V != (Outer{Inner{7}}) {
			t.Errorf("good call after %s: %v, %v", name, any, err)
		}
	}
	close(s.arith.block)
	if <-block.Done; block.Error != nil || *block.Reply.(*int) != 9 {
		t.Errorf("call in flight all along: %v", block.Error)
	}
	if dials := c.Stats().Dials; dials != 1 {
		t.Errorf("%d dials, want 1", dials)
	}
}

func TestReplyThatIsNoPointerIsRefusedBeforeAnythingIsSent(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	ready(t, c)
	for _, reply := range []any{"", 0, Quotient{}, []int{1}, map[string]int{}, (*int)(nil)} {
		err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, reply)
		var e *Error
		if !errors.As(err, &e) || e.Executed != Never || len(e.Attempts) != 0 || !strings.Contains(err.Error(), fmt.Sprintf("%T", reply)) {
			t.Errorf("%T: %v", reply, err)
		}
		call := <-c.Go(t.Context(), "Arith.Multiply", &Args{2, 3}, reply, nil).Done
		if !errors.As(call.Error, &e) || e.Executed != Never {
			t.Errorf("Go with %T: %v", reply, call.Error)
		}
	}
	if n := s.arith.executed.Load(); n != 0 {
		t.Errorf("executed %d times", n)
	}
}

func TestReplyThatIsTooLargeFailsItsCallAndIsNotAskedForAgain(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{MaxReply: 10_000}, s.addr)
	err := c.Call(t.Context(), "Echo.Echo", &Payload{make([]byte, 20_000)}, new(Payload), Idempotent(0))
	var e *Error
	var large *largeError
	if !errors.As(err, &e) || e.Executed != Yes || len(e.Attempts) != 1 || !errors.As(err, &large) {
		t.Fatal(err)
	}
	if got, err := Invoke[Payload](t.Context(), c, "Echo.Echo", &Payload{make([]byte, 5_000)}); err != nil || len(got.Data) != 5_000 {
		t.Error(err)
	}
}

func TestNilReplyDropsTheAnswer(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{3, 4}, nil); err != nil {
		t.Fatal(err)
	}
}

// TestDroppedAnswerIsNoFailure whatever encoding/gob cannot skip in it: the server has
// answered.
func TestDroppedAnswerIsNoFailure(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{ConnsPerNode: 1}, s.addr)
	for _, method := range []string{"Odd.Nested", "Odd.Nils", "Odd.Nested", "Odd.Text"} {
		if err := c.Call(t.Context(), method, &Args{}, nil); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

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
