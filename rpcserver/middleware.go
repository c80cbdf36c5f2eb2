package rpcserver

import (
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"net"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
)

// Call is what is known of a call beside its argument.
type Call struct {
	Method string // "Arith.Multiply"
	Peer   Peer
	Meta   Meta
	of     *callContext
}

// Peer is the other end of the connection.
type Peer struct {
	Addr net.Addr
	// TLS is nil without TLS. All calls of a connection share it: do not change it.
	TLS *tls.ConnectionState
}

func peerOf(nc net.Conn) Peer {
	p := Peer{Addr: nc.RemoteAddr()}
	if e, ok := nc.(*eager); ok {
		nc = e.Conn
	}
	if t, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := t.ConnectionState()
		p.TLS = &state
	}
	return p
}

// Meta is the metadata of a call: strings with names that the caller has sent along. The
// zero value is empty. The values come from the client, and may be any bytes.
type Meta struct{ pairs callmeta.Meta }

// Get is the value of a key.
func (m Meta) Get(key string) (value string, ok bool) { return m.pairs.Get(key) }

// All gives keys and values, in ascending order of the keys.
func (m Meta) All() iter.Seq2[string, string] { return m.pairs.All() }

// Len is how many keys there are.
func (m Meta) Len() int { return m.pairs.Len() }

// String has the keys only: values may be secret.
func (m Meta) String() string { return m.pairs.String() }

// CallFrom is the call that a method's context belongs to. For another context it is an
// empty Call, so that a method can be tested without a server.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return new(Call)
}

// Args points to the argument, for middleware: a method that takes a T or a *T has a *T
// here. Without middleware it is nil.
func (c *Call) Args() any {
	if c.of == nil {
		return nil
	}
	return c.of.args
}

// Reply points to the reply, as Args to the argument. It is empty until the method has
// returned.
func (c *Call) Reply() any {
	if c.of == nil {
		return nil
	}
	return c.of.reply
}

// Refused tells whether err, which next has returned to middleware, refuses the call: it is
// one of Refuse, and the method was not called.
func (c *Call) Refused(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (c.of == nil || !c.of.entered())
}

// Handler executes a call.
type Handler func(ctx context.Context, call *Call) error

// Middleware is called in place of the method, and calls next to go on. It may do so with
// another context, change what Args and Reply point to, return another error, or refuse
// the call: see Refuse. A panic in it is one of the method's.
//
// It must not return before next has, unless it returns an error. The method may then still
// be running, and counts no more among the calls that Limits allow.
type Middleware func(ctx context.Context, call *Call, next Handler) error

// Refuse is the error by which middleware refuses a call: it returns it instead of calling
// next. The client is told that the call was not executed, so that rpcclient sends it
// elsewhere at once, whatever its method, and sends nothing more to this server for
// stayAway, if that is not 0 (a minute at most). Other clients get text as the error.
//
// Returned after the method was called, or by a method, it is an error like any other.
func Refuse(text string, stayAway time.Duration) error {
	if text == "" {
		text = "refused"
	}
	return &refusal{text, max(stayAway, 0)}
}

type refusal struct {
	text     string
	stayAway time.Duration
}

func (r *refusal) Error() string { return r.text }

// chain makes one Handler of all middleware, the first outermost. It is nil if there is
// none.
func chain(all []Middleware) Handler {
	if len(all) == 0 {
		return nil
	}
	h := Handler(invokeMethod)
	for i := len(all) - 1; i >= 0; i-- {
		middleware, next := all[i], h
		h = func(ctx context.Context, call *Call) error { return middleware(ctx, call, next) }
	}
	return h
}

// invokeMethod is the innermost Handler.
func invokeMethod(ctx context.Context, call *Call) error {
	of := call.of
	if of == nil || of.k == nil {
		return errors.New("rpcserver: middleware passed on a Call that it made itself: pass on the one that it got")
	}
	if !of.enter() {
		return errors.New("rpcserver: middleware called next after it had returned")
	}
	return of.k.callMethod(ctx)
}

// Tests: context_test.go, middleware_test.go.
