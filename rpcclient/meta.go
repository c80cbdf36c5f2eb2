package rpcclient

import (
	"context"
	"fmt"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
)

// WithMeta returns a context whose calls take a pair of metadata along, such as a token or
// a traceparent. A method of rpcserver finds it in its own context; servers of net/rpc, and
// those behind Config.Conn.Codec, do not get it. A key that the context has already gets
// the new value.
//
// A key has 1 to 64 bytes of a-z, 0-9, ".", "_" and "-", and does not begin with "_". A
// value is any bytes. A call takes at most 32 keys, and 8 KiB of keys and values together.
// A pair beyond these bounds fails the calls of the context before anything is sent.
//
// A secret needs Config.Conn.TLS: without it, whoever reads the network has it, and whoever
// can forge a DNS answer chooses the server that gets it.
func WithMeta(ctx context.Context, key, value string) context.Context {
	return callmeta.WithOutgoing(ctx, key, value)
}

// CheckMeta says why the calls of a context would fail: a pair that [WithMeta] has put into it
// is beyond the bounds. It is for an [Interceptor] that adds what a call can do without.
func CheckMeta(ctx context.Context) error {
	if _, err := callmeta.Outgoing(ctx); err != nil {
		return fmt.Errorf("rpcclient: %w", err)
	}
	return nil
}

// Forward returns an Interceptor for a server that calls other servers. If the context of a
// call comes from a method of rpcserver, the call takes the given keys along that came with
// the request of that method. It leaves a key alone that [WithMeta] has set. Other
// metadata of the request does not travel on.
//
//	Interceptors: []rpcclient.Interceptor{rpcclient.Forward("traceparent", "tracestate")}
func Forward(keys ...string) Interceptor {
	return func(ctx context.Context, in *Invocation, next func(context.Context, *Invocation) error) error {
		came := callmeta.Incoming(ctx)
		goes, _ := callmeta.Outgoing(ctx) // its error is the call's, later
		for _, key := range keys {
			value, ok := came.Get(key)
			if !ok {
				continue
			}
			if _, set := goes.Get(key); !set {
				ctx = callmeta.WithOutgoing(ctx, key, value)
			}
		}
		return next(ctx, in)
	}
}
