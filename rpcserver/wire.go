package rpcserver

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"reflect"

	"github.com/rollcall-dns/rollcall/internal/gobwire"
)

// wire is one connection's encoding. Requests are read by one goroutine,
// responses written under the connection's output lock.
type wire interface {
	// request reads the next header; name is valid until the next call of any
	// reading method. io.EOF: the peer ended the stream between requests.
	request() (name []byte, seq uint64, err error)
	// body reads the argument into v; nil skips it. bad is this call's problem
	// alone, broken the connection's.
	body(v any) (bad, broken error)
	// respond writes a response. A failed call has errText and no body. It fails
	// when v cannot be encoded; nothing of the response has gone out then, and
	// respond may be called again with the error.
	respond(method string, seq uint64, errText string, v any) error
	// spent reports whether such a failure has left the client behind: the
	// connection should be replaced.
	spent() bool
	// drains reports whether a response that answers no request may be sent.
	drains() bool
	// end is called last.
	end()
}

// nothing is the body of a response that has none.
var nothing = struct{}{}

// gobWire is the wire of net/rpc.
type gobWire struct {
	in       frames
	dec      *gob.Decoder
	req      rpc.Request
	nameBuf  []byte
	out      *output
	enc      *gob.Encoder
	response int64 // id of rpc.Response on this connection; 0: not sent yet
	byHand   bool  // AppendResponse gives what encoding/gob gives
	values   *gobwire.Encoder
	usual    int // bytes of a response, of late
	failed   *gobwire.FailedTypes
	lost     bool // a definition that encoding/gob will not write again
}

// errLost is for replies that may need a definition that was lost.
var errLost = errors.New("a type's definition was lost with a reply that could not be encoded: connect again")

// decoded is how many times Config.MaxFrame a decoded argument may take.
const decoded = 4

// requestType is what a header is decoded into.
var requestType = reflect.TypeFor[rpc.Request]()

// gobTypes are what the connections of a server know of types together.
type gobTypes struct {
	plans  gobwire.Plans
	failed gobwire.FailedTypes
	memory typeMemory
}

func newGobWire(r io.Reader, out *output, limit int, claim func(int) error, types *gobTypes) *gobWire {
	w := &gobWire{
		in: frames{
			r: bufio.NewReaderSize(r, readBuffer), limit: limit, pool: out.pool, claim: claim, types: &types.memory,
			values: gobwire.NewDecoder(&types.plans), guard: gobwire.NewGuard(&types.plans, decoded*limit),
		},
		out:    out,
		values: gobwire.NewEncoder(&types.plans),
		failed: &types.failed,
	}
	if claim != nil {
		w.in.guard.Claim = w.in.claimDecoded
	}
	w.in.values.Under(w.in.guard)
	w.dec = gob.NewDecoder(&w.in)
	w.enc = gob.NewEncoder(out)
	return w
}

func (w *gobWire) request() ([]byte, uint64, error) {
	name, seq, ok, err := w.in.header()
	if ok || err != nil {
		return name, seq, err
	}
	w.req = rpc.Request{}
	w.in.expect(requestType)
	if err := decode(w.dec, &w.req); err != nil {
		if w.in.err != nil {
			return nil, 0, w.in.err
		}
		return nil, 0, fmt.Errorf("request header: %v", err)
	}
	w.in.guard.Keep()
	w.nameBuf = append(w.nameBuf[:0], w.req.ServiceMethod...)
	return w.nameBuf, w.req.Seq, nil
}

func (w *gobWire) body(v any) (bad, broken error) {
	if ok, err := w.in.value(v); ok || err != nil {
		return err, err
	}
	w.in.expect(reflect.TypeOf(v))
	err := decode(w.dec, v)
	switch {
	case err == nil:
		w.in.guard.Keep()
		return nil, nil
	case w.in.err != nil:
		return err, w.in.err
	case w.in.broken():
		return err, fmt.Errorf("type definition: %v", err) // whose io.EOF is not ours
	case w.in.single && v == nil:
		return nil, nil
	case w.in.loose && !w.in.single:
		return err, errLoose
	}
	return err, nil
}

// errLoose is for an argument with interface values that did not fit, or that nobody
// wanted: nobody knows where it ends.
var errLoose = errors.New("an argument that holds interface values was not decoded to its end")

// decode contains panics: of the argument's own methods, such as GobDecode, and of
// encoding/gob itself, which some damaged streams bring to dereference nil.
func decode(dec *gob.Decoder, v any) error {
	return contained("decoding", func() error { return dec.Decode(v) })
}

func (w *gobWire) respond(method string, seq uint64, errText string, v any) error {
	if errText != "" {
		v = nothing
	}
	out := w.out
	if w.respondByHand(method, seq, errText, v) {
		return nil
	}
	mark, err := w.appendHeader(method, seq, errText)
	if err != nil {
		return err
	}
	body := len(out.buf)
	if err = w.encode(v); err != nil {
		// The header goes, for another will follow. Definitions of types stay: the
		// encoder will not send them again.
		out.buf = gobwire.AppendDefinitions(out.buf[:mark], out.buf[body:])
		return err
	}
	w.values.Wrote(v, out.buf[body:])
	return nil
}

// encode is for what is not written by hand.
func (w *gobWire) encode(v any) error {
	if (w.lost || w.failed.Has(v)) && gobwire.HoldsInterface(reflect.TypeOf(v)) {
		// It is tried elsewhere first: that costs no definition, and shows whether
		// the value brings any with it.
		var b bytes.Buffer
		if err := encode(gob.NewEncoder(&b), v); err != nil {
			return err
		}
		if w.lost && gobwire.Cut(b.Bytes()) {
			return errLost
		}
	}
	err := encode(w.enc, v)
	if err != nil {
		w.failed.Add(v)
		w.lost = w.lost || gobwire.HoldsInterface(reflect.TypeOf(v))
	}
	return err
}

func (w *gobWire) spent() bool { return w.lost }

// respondByHand writes a response without encoding/gob, if it can.
func (w *gobWire) respondByHand(method string, seq uint64, errText string, v any) bool {
	if !w.byHand {
		return false
	}
	out := w.out
	out.reserve(w.usual)
	mark := len(out.buf)
	b, ok := w.values.Append(gobwire.AppendResponse(out.buf, w.response, method, seq, errText), v)
	if ok {
		out.buf = b
		w.usual = min(max(len(b)-mark, w.usual/2), maxPooled/2) // it falls soon, and no buffer is made for a guess
	}
	return ok
}

// appendHeader writes a header and says where it begins, behind the definition of
// its type. The first is written by encoding/gob, which defines the type, and is
// the pattern for the others.
func (w *gobWire) appendHeader(method string, seq uint64, errText string) (mark int, err error) {
	out := w.out
	mark = len(out.buf)
	if w.byHand {
		out.buf = gobwire.AppendResponse(out.buf, w.response, method, seq, errText)
		return mark, nil
	}
	if err := w.enc.Encode(&rpc.Response{ServiceMethod: method, Seq: seq, Error: errText}); err != nil {
		out.buf = out.buf[:mark]
		return mark, err
	}
	if w.response != 0 {
		return mark, nil // it did not look as expected the first time
	}
	n, prefix := gobwire.ReadUint(out.buf[mark:])
	u, _ := gobwire.ReadUint(out.buf[mark+prefix:])
	w.response = -gobwire.ToInt(u)
	mark += prefix + int(n)
	w.byHand = w.response > 0 && string(out.buf[mark:]) == string(gobwire.AppendResponse(nil, w.response, method, seq, errText))
	return mark, nil
}

func (w *gobWire) drains() bool { return true }

// end has nothing to close.
func (w *gobWire) end() { w.in.end() }

// encode contains panics of the reply's own methods and of encoding/gob, which
// panics at a nil pointer.
func encode(enc *gob.Encoder, v any) error {
	return contained("encoding", func() error { return enc.Encode(v) })
}

// contained makes a panic of foreign code an error.
func contained(doing string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("rpcserver: %s panicked: %v", doing, printable(r))
		}
	}()
	return f()
}

// codecWire is somebody else's encoding.
type codecWire struct {
	codec rpc.ServerCodec
	in    *metered
	req   rpc.Request
	name  []byte
}

func (w *codecWire) request() ([]byte, uint64, error) {
	w.in.reset()
	w.req = rpc.Request{}
	if err := contained("decoding", func() error { return w.codec.ReadRequestHeader(&w.req) }); err != nil {
		return nil, 0, err
	}
	w.name = append(w.name[:0], w.req.ServiceMethod...)
	return w.name, w.req.Seq, nil
}

func (w *codecWire) body(v any) (bad, broken error) {
	w.in.reset()
	err := contained("decoding", func() error { return w.codec.ReadRequestBody(v) })
	if err != nil && w.in.err != nil {
		return err, w.in.err
	}
	return err, nil
}

func (w *codecWire) respond(method string, seq uint64, errText string, v any) error {
	if errText != "" {
		v = nothing
	}
	return contained("encoding", func() error {
		return w.codec.WriteResponse(&rpc.Response{ServiceMethod: method, Seq: seq, Error: errText}, v)
	})
}

// end closes the codec, and with it the connection.
func (w *codecWire) end() {
	_ = contained("closing", w.codec.Close)
}

// spent is false: what the codec does about it is its own matter.
func (w *codecWire) spent() bool { return false }

// drains is false: a codec such as JSON-RPC's knows which requests it has read,
// and refuses to answer others.
func (w *codecWire) drains() bool { return false }

// metered is the input of a foreign codec. It bounds what one request may read.
type metered struct {
	r     io.Reader
	limit int
	used  int
	err   error // the limit was passed
}

var errTooLong = errors.New("request is over the limit of bytes")

func (m *metered) reset() { m.used = 0 }

func (m *metered) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if m.used >= m.limit {
		m.err = errTooLong
		return 0, m.err
	}
	n, err := m.r.Read(p[:min(len(p), m.limit-m.used)])
	m.used += n
	return n, err
}
