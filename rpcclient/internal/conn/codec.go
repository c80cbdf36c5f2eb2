package conn

import (
	"fmt"
	"net/rpc"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// codecWire lets a connection speak through any rpc.ClientCodec. What the codec
// writes is collected as gob's is. What it reads comes straight from the socket, so
// reading a body may block.
type codecWire struct {
	codec  rpc.ClientCodec
	stream *connStream
	req    rpc.Request
	resp   rpc.Response
}

// encode is called with the connection's turn, and b is the stream's own buffer.
func (w *codecWire) encode(b []byte, req *rpcwire.Request, args any) (out []byte, spent bool, err error) {
	w.stream.enc = b
	w.req = rpc.Request{ServiceMethod: req.ServiceMethod, Seq: req.Seq}
	mark := len(b)
	defer func() {
		if p := recover(); p != nil {
			out, spent, err = w.stream.enc[:mark], true, fmt.Errorf("encoding panicked: %v", p)
		}
	}()
	if err := w.codec.WriteRequest(&w.req, args); err != nil {
		// It is not known what the codec remembers of it.
		return w.stream.enc[:mark], true, err
	}
	return w.stream.enc, false, nil
}

func (w *codecWire) header(resp *rpcwire.Response) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding panicked: %v", p)
		}
	}()
	w.resp = rpc.Response{}
	if err := w.codec.ReadResponseHeader(&w.resp); err != nil {
		return err
	}
	*resp = rpcwire.Response{ServiceMethod: w.resp.ServiceMethod, Seq: w.resp.Seq, Error: w.resp.Error}
	return nil
}

func (w *codecWire) whole() error { return nil }

// body takes an error for one of this request only, and has the connection replaced. If
// the stream is broken, the next header tells.
func (w *codecWire) body(reply any) (spent bool, err, fatal error) {
	defer func() {
		if p := recover(); p != nil {
			spent, err = true, fmt.Errorf("decoding panicked: %v", p)
		}
	}()
	err = w.codec.ReadResponseBody(reply)
	if err != nil && reply == nil {
		return true, err, err
	}
	return err != nil, err, nil
}

func (w *codecWire) direct() bool { return false }

// framed: JSON is whole without the newline at its end, and nothing is known of others.
func (w *codecWire) framed() bool { return false }

func (w *codecWire) close() {
	defer func() { recover() }() // the connection has ended, so the error matters to nothing
	w.codec.Close()
}
