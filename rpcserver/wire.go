package rpcserver

import "github.com/rollcall-dns/rollcall/internal/rpcwire"

// wire is one connection's encoding. Requests are read by one goroutine,
// responses written under the connection's output lock.
type wire interface {
	// request reads the next header; what it points to is valid until the next call of
	// any reading method. io.EOF: the client ended the stream between requests.
	request(*rpcwire.Header) error
	// body reads the argument into v; nil skips it. bad is an error of this call
	// only, broken one of the connection.
	body(v any) (bad, broken error)
	// respond writes a response. A failed call has an error and no body. It fails
	// when v cannot be encoded; nothing of the response has gone out then, and
	// respond may be called again with the error.
	respond(resp *rpcwire.Response, v any) error
	// spent reports whether after such a failure the connection should be replaced.
	spent() bool
	// drains reports whether a response that answers no request may be sent.
	drains() bool
	// end is called last.
	end()
}

// gobWire is the wire of net/rpc.
type gobWire struct {
	in   *rpcwire.Reader
	enc  *rpcwire.Writer
	out  *output
	size int // of a response, of late
}

func (w *gobWire) request(h *rpcwire.Header) error { return w.in.Request(h) }

func (w *gobWire) body(v any) (bad, broken error) {
	if err := w.in.Next(); err != nil {
		return err, err
	}
	return w.in.Body(v)
}

func (w *gobWire) respond(resp *rpcwire.Response, v any) error {
	out := w.out
	out.reserveLocked(w.size)
	mark := len(out.buf)
	b, err := w.enc.AppendResponse(out.buf, resp, v)
	out.buf = b
	// It falls soon, and no buffer is made for a guess.
	w.size = min(max(len(b)-mark, w.size/2), rpcwire.MaxPooled/2)
	return err
}

func (w *gobWire) spent() bool { return w.enc.Lost() }

func (w *gobWire) drains() bool { return true }

func (w *gobWire) end() { w.in.Close() }

// Tests: bodies_test.go, fuzz_test.go, interfaces_test.go, interop_test.go.
