package conn

import "github.com/rollcall-dns/rollcall/internal/rpcwire"

// A wire is a codec as a connection needs it: requests are encoded into
// memory, so that writing is the connection's own business, and a response is
// decoded in steps, so that the connection can give a reply's value up to the
// moment its body is decoded.
type wire interface {
	// encode appends one request to b. On an error the result has nothing of the
	// request that the server would take for one. spent says that the codec must
	// encode no more.
	encode(b []byte, req *rpcwire.Request, args any) (out []byte, spent bool, err error)
	// header blocks until a response's header is read.
	header(*rpcwire.Response) error
	// whole blocks until the body is at hand, where the codec can tell.
	whole() error
	// body decodes into reply, or drops the body if reply is nil. err is an error of
	// this reply only. The connection takes no more requests if spent is true, and
	// ends if fatal is not nil.
	body(reply any) (spent bool, err, fatal error)
	// direct says that body does not block after whole, so that it may decode
	// into the caller's own value.
	direct() bool
	// framed says that no request can be decoded before its last byte is there.
	framed() bool
	// close is called once, at the end.
	close()
}

// gobWire speaks the gob stream of net/rpc, byte for byte what gobClientCodec
// of the standard library writes and reads.
type gobWire struct {
	in  *rpcwire.Reader
	out *rpcwire.Writer
}

func (w *gobWire) encode(b []byte, req *rpcwire.Request, args any) (out []byte, spent bool, err error) {
	out, err = w.out.AppendRequest(b, req, args)
	return out, err != nil && w.out.Lost(), err
}

func (w *gobWire) header(resp *rpcwire.Response) error { return w.in.Response(resp) }

func (w *gobWire) whole() error { return w.in.Next() }

func (w *gobWire) body(reply any) (spent bool, err, fatal error) {
	err, fatal = w.in.Body(reply)
	return fatal != nil, err, fatal
}

func (w *gobWire) direct() bool { return !w.in.Loose() }

func (w *gobWire) framed() bool { return true }

func (w *gobWire) close() {}

// Tests: codec_test.go, torture_test.go.
