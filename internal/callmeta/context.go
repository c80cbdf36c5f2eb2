package callmeta

import "context"

// IncomingKey is the key under which the context of a server's method has a *Meta.
type IncomingKey struct{}

// OutgoingKey is the key under which a caller's context has what its calls take along.
type OutgoingKey struct{}

type outgoing struct {
	meta Meta
	err  error // of the first pair that could not be added
}

// WithIncoming is for a context that does not come from rpcserver.
func WithIncoming(ctx context.Context, m Meta) context.Context {
	return context.WithValue(ctx, IncomingKey{}, &m)
}

// Incoming is what came with the call that the context belongs to.
func Incoming(ctx context.Context) Meta {
	if m, ok := ctx.Value(IncomingKey{}).(*Meta); ok {
		return *m
	}
	return Meta{}
}

// WithOutgoing adds a pair to what the calls of the context take along. A key that is there
// already gets the new value. A pair that cannot travel is an error of each call of the
// context: see Outgoing.
func WithOutgoing(ctx context.Context, key, value string) context.Context {
	var next outgoing
	if before, ok := ctx.Value(OutgoingKey{}).(*outgoing); ok {
		next = *before
	}
	if next.err == nil {
		next.meta, next.err = next.meta.With(key, value)
	}
	return context.WithValue(ctx, OutgoingKey{}, &next)
}

// Outgoing is what the calls of the context take along, or why they cannot be made.
func Outgoing(ctx context.Context) (Meta, error) {
	if o, ok := ctx.Value(OutgoingKey{}).(*outgoing); ok {
		return o.meta, o.err
	}
	return Meta{}, nil
}

// Tests: meta_test.go.
