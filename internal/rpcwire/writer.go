package rpcwire

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"reflect"

	"github.com/rollcall-dns/rollcall/internal/gobvalue"
)

// A Writer encodes the messages of one direction of a connection into memory, byte for
// byte as encoding/gob writes them. Not safe for concurrent use.
type Writer struct {
	types  *Types
	values *gobvalue.Encoder
	enc    *gob.Encoder
	out    []byte // where enc writes
	plain  form   // of the header
	long   form
	lost   bool // see Lost
}

// form is one of the two forms in which headers are written.
type form struct {
	id    int64 // of the type, if such headers are written by hand
	tried bool  // whether they can be, is known
}

// NewWriter is for a new stream.
func NewWriter(types *Types) *Writer {
	w := &Writer{types: types, values: gobvalue.NewEncoder(&types.plans)}
	w.enc = gob.NewEncoder((*sink)(w))
	return w
}

// sink is where the encoder of a Writer writes.
type sink Writer

func (s *sink) Write(p []byte) (int, error) {
	if need := len(s.out) + len(p); need > cap(s.out) && need > SmallBuffer {
		small := s.out
		s.out = append(s.types.Buffers.Take(need), small...)
		s.types.Buffers.Give(small)
	}
	s.out = append(s.out, p...)
	return len(p), nil
}

// nothing is the body of a response that has none.
var nothing = struct{}{}

// errLost is for a value that may need a definition that was lost.
var errLost = errors.New("a type's definition was lost with a value that could not be encoded: connect again")

// Lost reports whether a value that can hold interface values could not be encoded. The
// definitions of types within it are lost with it, so the connection must be replaced:
// of its further values, those that can hold interface values are refused.
func (w *Writer) Lost() bool { return w.lost }

// AppendRequest appends a request to b. On an error the result has nothing that the
// other end would take for a request. b is used up.
func (w *Writer) AppendRequest(b []byte, req *Request, args any) ([]byte, error) {
	form, long := &w.plain, req.long()
	if long {
		form = &w.long
	}
	byHand := func(b []byte, id int64) []byte {
		if long {
			return appendLongRequest(b, id, req)
		}
		return appendRequest(b, id, req.ServiceMethod, req.Seq)
	}
	if form.id != 0 {
		mark := len(b)
		b = byHand(b, form.id)
		if out, ok := w.values.Append(b, args); ok {
			return out, nil
		}
		return w.value(b, mark, args)
	}
	var header any
	if long {
		header = req.forGob()
	} else {
		header = &rpc.Request{ServiceMethod: req.ServiceMethod, Seq: req.Seq}
	}
	mark, start, err := w.first(b, header)
	if err != nil {
		return w.out[:start], err
	}
	if long || req.ServiceMethod != "" && req.Seq != 0 { // else it is no pattern for others
		form.learn(w.out[mark:], byHand)
	}
	return w.value(w.out, mark, args)
}

// AppendResponse is AppendRequest for a response. One with an error has no body.
func (w *Writer) AppendResponse(b []byte, resp *Response, body any) ([]byte, error) {
	if resp.Error != "" {
		body = nothing
	}
	form, long := &w.plain, resp.long()
	if long {
		form = &w.long
	}
	byHand := func(b []byte, id int64) []byte {
		if long {
			return appendLongResponse(b, id, resp)
		}
		return appendResponse(b, id, resp.ServiceMethod, resp.Seq, resp.Error)
	}
	if form.id != 0 {
		mark := len(b)
		b = byHand(b, form.id)
		if out, ok := w.values.Append(b, body); ok {
			return out, nil
		}
		return w.value(b, mark, body)
	}
	var header any
	if long {
		header = resp.forGob()
	} else {
		header = &rpc.Response{ServiceMethod: resp.ServiceMethod, Seq: resp.Seq, Error: resp.Error}
	}
	mark, start, err := w.first(b, header)
	if err != nil {
		return w.out[:start], err
	}
	form.learn(w.out[mark:], byHand)
	return w.value(w.out, mark, body)
}

// first has encoding/gob write a header: after start its definition, if it is the first
// one, and after mark the header itself.
func (w *Writer) first(b []byte, header any) (mark, start int, err error) {
	start = len(b)
	w.out = b
	if err := encode(w.enc, header); err != nil {
		return start, start, err
	}
	return len(w.out) - len(gobvalue.LastMessage(w.out[start:])), start, nil
}

// learn looks whether the first header, which encoding/gob has written, is as byHand
// writes it.
func (f *form) learn(message []byte, byHand func(b []byte, id int64) []byte) {
	if f.tried {
		return
	}
	f.tried = true
	_, n := gobvalue.ReadUint(message)
	u, _ := gobvalue.ReadUint(message[n:])
	if id := gobvalue.ToInt(u); id > 0 && bytes.Equal(message, byHand(nil, id)) {
		f.id = id
	}
}

// value has encoding/gob write a body after the header, which begins at mark. The encoder
// writes definitions as messages of their own as soon as it meets a type, remembers
// them as sent, and writes the value only when it was encoded whole. So after a failed
// body the definitions stay, because the encoder will not send them again, and the
// header goes. The standard library leaves its header in the buffer, and the next
// header is then read as its body.
func (w *Writer) value(b []byte, mark int, v any) ([]byte, error) {
	w.out = b
	body := len(b)
	err := w.encode(v)
	out := w.out
	w.out = nil
	if err != nil {
		return gobvalue.AppendDefinitions(out[:mark], out[body:]), err
	}
	w.values.Wrote(v, out[body:])
	return out, nil
}

func (w *Writer) encode(v any) error {
	if w.types.failed.has(v) {
		if err := encode(gob.NewEncoder(io.Discard), v); err != nil {
			return err
		}
	}
	if w.lost && gobvalue.HoldsInterface(reflect.TypeOf(v)) {
		return errLost
	}
	err := encode(w.enc, v)
	if err != nil && gobvalue.HoldsInterface(reflect.TypeOf(v)) {
		w.types.failed.add(v)
		w.lost = true
	}
	return err
}

// encode contains panics: of GobEncode methods, and of encoding/gob, which panics at a
// nil pointer.
func encode(enc *gob.Encoder, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoding panicked: %v", Printable(p))
		}
	}()
	return enc.Encode(v)
}
