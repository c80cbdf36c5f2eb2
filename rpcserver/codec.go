package rpcserver

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// contained makes a panic of foreign code an error.
func contained(doing string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("rpcserver: %s panicked: %v", doing, rpcwire.Printable(r))
		}
	}()
	return f()
}

// codecWire speaks through a rpc.ServerCodec of the user.
type codecWire struct {
	codec rpc.ServerCodec
	in    *metered
	req   rpc.Request
	name  []byte
}

func (w *codecWire) request(h *rpcwire.Header) error {
	w.in.reset()
	w.req = rpc.Request{}
	if err := contained("decoding", func() error { return w.codec.ReadRequestHeader(&w.req) }); err != nil {
		return err
	}
	w.name = append(w.name[:0], w.req.ServiceMethod...)
	*h = rpcwire.Header{Method: w.name, Seq: w.req.Seq}
	return nil
}

func (w *codecWire) body(v any) (bad, broken error) {
	w.in.reset()
	err := contained("decoding", func() error { return w.codec.ReadRequestBody(v) })
	if err != nil && w.in.err != nil {
		return err, w.in.err
	}
	return err, nil
}

func (w *codecWire) respond(resp *rpcwire.Response, v any) error {
	if resp.Error != "" {
		v = struct{}{}
	}
	return contained("encoding", func() error {
		return w.codec.WriteResponse(&rpc.Response{ServiceMethod: resp.ServiceMethod, Seq: resp.Seq, Error: resp.Error}, v)
	})
}

// end closes the codec, which closes the connection.
func (w *codecWire) end() {
	_ = contained("closing", w.codec.Close)
}

// spent is false: the codec itself knows what to do.
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

// Tests: foreign_test.go, interop_test.go.
