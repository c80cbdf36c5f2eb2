package rpcwire

import (
	"bytes"
	"encoding/gob"
	"errors"
	"net/rpc"
	"strings"
	"testing"
)

// TestTheStreamIsGobs, byte for byte.
func TestTheStreamIsGobs(t *testing.T) {
	type args struct{ A, B int }
	bodies := []any{args{7, 8}, &args{9, 10}, []byte("x"), args{1, 2}, map[string]int{"a": 1}, Any{Inner{1}}, args{}, "text"}
	var want bytes.Buffer
	enc := gob.NewEncoder(&want)
	var got []byte
	w := NewWriter(new(Types))
	for i, body := range bodies {
		req := rpc.Request{ServiceMethod: "Arith.Multiply", Seq: uint64(i + 1)}
		if err := errors.Join(enc.Encode(&req), enc.Encode(body)); err != nil {
			t.Fatal(err)
		}
		var err error
		if got, err = w.AppendRequest(got, &Request{ServiceMethod: req.ServiceMethod, Seq: req.Seq}, body); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("body %d:\ngot  %x\nwant %x", i, got, want.Bytes())
		}
	}
}

type unpleasant struct{ Panic, Fail bool }

func (u unpleasant) GobEncode() ([]byte, error) {
	if u.Panic {
		panic(unpleasant{Panic: true})
	}
	return []byte{1}, errors.New("it fails")
}

func (u unpleasant) String() string { panic("String panics, too") }

// TestBodyThatCannotBeEncodedLeavesNoHeader, and the stream goes on.
func TestBodyThatCannotBeEncodedLeavesNoHeader(t *testing.T) {
	var stream []byte
	w := NewWriter(new(Types))
	for i, bad := range []any{make(chan int), unpleasant{Fail: true}, unpleasant{Panic: true}, []*Inner{{1}, nil}, nil} {
		out, err := w.AppendResponse(stream, &Response{Seq: 1000}, bad)
		if err == nil || w.Lost() {
			t.Errorf("%d: %v, lost %v", i, err, w.Lost())
		}
		if out, err = w.AppendResponse(out, &Response{Seq: uint64(i + 1)}, Inner{i}); err != nil {
			t.Fatal(err)
		}
		stream = out
	}
	d := NewResponseReader(bytes.NewReader(stream), 1<<20, new(Types))
	for i := range 5 {
		var resp Response
		var got Inner
		if err := errors.Join(d.Response(&resp), d.Next()); err != nil {
			t.Fatal(err)
		}
		if bad, broken := d.Body(&got); bad != nil || broken != nil || resp.Seq != uint64(i+1) || got.N != i {
			t.Fatal(resp.Seq, got, bad, broken)
		}
	}
}

// TestLostDefinitions: a value with interface values that could not be encoded costs its
// stream, but only the first one of its type in a process.
func TestLostDefinitions(t *testing.T) {
	types := new(Types)
	bad := Any{struct{ X int }{1}} // of a type that is not registered
	first := NewWriter(types)
	if _, err := first.AppendResponse(nil, &Response{Seq: 1}, bad); err == nil || !first.Lost() {
		t.Error("the first:", err)
	}
	if _, err := first.AppendResponse(nil, &Response{Seq: 2}, Any{Inner{1}}); err == nil || !strings.Contains(err.Error(), "connect again") {
		t.Error("a value with interface values after it:", err)
	}
	if _, err := first.AppendResponse(nil, &Response{Seq: 3}, Inner{1}); err != nil {
		t.Error("another value after it:", err)
	}
	second := NewWriter(types)
	if _, err := second.AppendResponse(nil, &Response{Seq: 1}, bad); err == nil || second.Lost() {
		t.Error("the same on another connection:", err)
	}
	if _, err := second.AppendResponse(nil, &Response{Seq: 2}, Any{Inner{1}}); err != nil {
		t.Error("a value with interface values there:", err)
	}
}
