package conn

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"net/rpc"
	"reflect"

	"github.com/rollcall-dns/rollcall/internal/gobwire"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// A wire is a codec as a connection needs it: requests are encoded into
// memory, so that writing is the connection's own business, and a response is
// decoded in steps, so that the connection can give a reply's value up to the
// moment its body is decoded.
type wire interface {
	// encode appends one request to b. On an error b is returned with nothing
	// of the request that the peer would take for one; spent says that the
	// codec's state may have left the peer's behind, so that it must encode
	// no more.
	encode(b []byte, req *rpc.Request, args any) (out []byte, spent bool, err error)
	// header blocks until a response's header is read.
	header(*rpc.Response) error
	// whole blocks until the body is at hand, where the codec can tell.
	whole() error
	// body decodes into reply, or drops the body if reply is nil. A fatal
	// error ends the connection; any other only fails the call; spent as in
	// encode, for what is read.
	body(reply any) (spent bool, err, fatal error)
	// direct says that body does not block after whole, so that it may decode
	// into the caller's own value.
	direct(reply any) bool
	// loose says that it takes a value like reply to find a body's end.
	loose(reply any) bool
	// framed says that nobody can decode a request before its last byte is there.
	framed() bool
	// close is called once, at the end.
	close()
}

// gobWire speaks the gob stream of net/rpc, byte for byte what gobClientCodec
// of the standard library writes and reads.
type gobWire struct {
	out     []byte // where enc writes
	enc     *gob.Encoder
	request int64 // type id of rpc.Request, if headers are written by hand
	first   bool  // a header was written
	values  *gobwire.Encoder
	in      frames
	dec     *gob.Decoder
	*gobTypes

	asked    reflect.Type // the last one that direct was asked for
	indirect bool         // the answer
}

// gobTypes are what the connections of a client know of types together.
type gobTypes struct {
	failed gobwire.FailedTypes
	plans  gobwire.Plans
}

// decodedReply is how many times Config.Conn.MaxReply a reply may take when it is decoded.
const decodedReply = 4

func newGobTypes() *gobTypes { return new(gobTypes) }

func newGobWire(r io.Reader, maxReply int, types *gobTypes) *gobWire {
	w := &gobWire{
		in: frames{
			r: r, max: maxReply,
			values: gobwire.NewDecoder(&types.plans), guard: gobwire.NewGuard(&types.plans, decodedReply*maxReply),
		},
		values:   gobwire.NewEncoder(&types.plans),
		gobTypes: types,
	}
	w.enc = gob.NewEncoder((*gobSink)(w))
	w.in.values.Under(w.in.guard)
	w.dec = gob.NewDecoder(&w.in)
	return w
}

// gobSink is the encoder's writer: it appends to the buffer of the moment.
type gobSink gobWire

func (s *gobSink) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

// encode writes header and body. The gob encoder writes type definitions
// as messages of their own as soon as it meets a type, remembers them as sent,
// and writes the value only when it was encoded whole. So after a failed body
// the buffer holds the header and, perhaps, definitions: the header goes, and
// the definitions stay, for the encoder will not send them again.
//
// The standard library leaves the header in its buffer instead, and the next
// call's header is then read as this call's body.
func (w *gobWire) encode(b []byte, req *rpc.Request, args any) (out []byte, spent bool, err error) {
	if w.request != 0 {
		out := gobwire.AppendRequest(b, w.request, req.ServiceMethod, req.Seq)
		if out, ok := w.values.Append(out, args); ok {
			return out, false, nil
		}
	}
	if w.failed.Has(args) {
		// A type that failed once is tried on an encoder of its own first:
		// a caller that repeats its mistake costs nobody a connection.
		if err := encodeValue(gob.NewEncoder(io.Discard), args); err != nil {
			return b, false, err
		}
	}
	w.out = b
	defer func() { w.out = nil }()
	if err := w.encodeHeader(req); err != nil {
		return b, true, err
	}
	mark := len(w.out)
	if err := encodeValue(w.enc, args); err != nil {
		w.failed.Add(args)
		kept := gobwire.AppendDefinitions(b, w.out[len(b):mark])
		kept = gobwire.AppendDefinitions(kept, w.out[mark:])
		// Definitions of types met inside an interface value are written into
		// the value itself, and were lost with it.
		return kept, gobwire.HoldsInterface(reflect.TypeOf(args)), err
	}
	w.values.Wrote(args, w.out[mark:])
	return w.out, false, nil
}

// encodeHeader writes a header, the first one by encoding/gob, as the pattern.
func (w *gobWire) encodeHeader(req *rpc.Request) error {
	if w.request != 0 {
		w.out = gobwire.AppendRequest(w.out, w.request, req.ServiceMethod, req.Seq)
		return nil
	}
	mark := len(w.out)
	if err := w.enc.Encode(req); err != nil {
		return err
	}
	if !w.first && req.ServiceMethod != "" && req.Seq != 0 {
		w.first = true
		if value := gobwire.LastMessage(w.out[mark:]); value != nil {
			_, n := gobwire.ReadUint(value)
			u, _ := gobwire.ReadUint(value[n:])
			id := gobwire.ToInt(u)
			if bytes.Equal(value, gobwire.AppendRequest(nil, id, req.ServiceMethod, req.Seq)) {
				w.request = id
			}
		}
	}
	return nil
}

// encodeValue contains panics: of GobEncode methods, and of gob itself, which
// panics for a nil pointer.
func encodeValue(enc *gob.Encoder, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoding panicked: %v", p)
		}
	}()
	return enc.Encode(v)
}

func (w *gobWire) header(resp *rpc.Response) error {
	if err := w.in.value(); err != nil {
		return err
	}
	if r, ok := w.in.header(); ok {
		resp.Seq = r.Seq
		if len(r.Error) > 0 {
			resp.Error = string(r.Error)
		}
		if r.Seq == rpcwire.NoticeSeq { // of other responses, nothing reads the method
			resp.ServiceMethod = string(r.Method)
		}
		return nil
	}
	if err := w.in.check(resp); err != nil {
		return err
	}
	return w.dec.Decode(resp)
}

func (w *gobWire) whole() error { return w.in.value() }

// body decodes the value that whole has read. When it does not fit the reply, the
// rest is left out, if it is known to end with its message. Else it is read once more
// into nothing: that leaves the stream in order, and meets the definitions within it
// that were not reached before. If that fails, too, nobody knows where the value ends.
// It happens for interface values whose types are seen for the first time: when the
// first reading had come past their definition, for gob takes none twice; and when one
// stands within another, or beside a nil one, which gob cannot skip. A value that
// encoding/gob would not survive ends the connection.
func (w *gobWire) body(reply any) (spent bool, err, fatal error) {
	if w.in.decode(reply) {
		return false, nil, nil
	}
	w.in.cut()
	if err := w.in.check(reply); err != nil {
		return true, err, err
	}
	err = decodeValue(w.dec, reply)
	switch {
	case err == nil:
		w.in.guard.Keep()
		return false, nil, nil
	case w.in.skip():
		if reply == nil {
			err = nil
		}
		return false, err, nil
	case reply == nil: // the call has its answer, which nobody wants; the stream ends here
		return true, nil, err
	}
	w.in.rewind()
	if w.in.check(nil) != nil || decodeValue(w.dec, nil) != nil {
		return true, err, err
	}
	w.in.guard.Keep()
	return false, err, nil
}

// direct is false for a reply that can hold interface values, and for a body that
// may: see frames.
func (w *gobWire) direct(reply any) bool {
	rt := reflect.TypeOf(reply)
	if rt != w.asked {
		w.asked, w.indirect = rt, gobwire.HoldsInterface(rt)
	}
	return !w.indirect && !w.in.cut()
}

func (w *gobWire) framed() bool { return true }

func (w *gobWire) close() {}

func (w *gobWire) loose(reply any) bool { return gobwire.HoldsInterface(reflect.TypeOf(reply)) }

func decodeValue(dec *gob.Decoder, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding panicked: %v", p)
		}
	}()
	return dec.Decode(v)
}
