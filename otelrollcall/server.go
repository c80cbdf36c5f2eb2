package otelrollcall

import (
	"context"

	"github.com/rollcall-dns/rollcall/rpcserver"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Middleware makes a span of kind server for each call, a child of the caller's if that has
// sent its trace along. The method finds it in its context. Calls that do not reach middleware
// have no span: those of unknown methods, and those that are late before their turn.
func Middleware(cfg Config) rpcserver.Middleware {
	tracer, propagator := cfg.tracer(), cfg.propagator()
	return func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		ctx = propagator.Extract(ctx, incoming{call.Meta})
		about := append(peerOf(call.Peer.Addr), system, semconv.RPCMethod(call.Method))
		ctx, span := tracer.Start(ctx, call.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(about...))
		returned := false
		defer func() { end(span, returned) }()
		err := next(ctx, call)
		returned = true
		if err != nil {
			fail(span, serverErrorType(call, err), err.Error())
		}
		return err
	}
}

// Tests: spans_test.go.
