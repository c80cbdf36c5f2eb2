package otelrollcall

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// The names of events, and of attributes that the conventions have none for.
const (
	eventAttempt = "attempt"
	eventFailed  = "attempt failed"
	eventHedge   = "hedge"

	keyAttempt  = attribute.Key("rollcall.attempt")
	keyPhase    = attribute.Key("rollcall.phase")
	keyExecuted = attribute.Key("rollcall.executed")
	keyHedge    = attribute.Key("rollcall.hedge")
	keyError    = attribute.Key("rollcall.error")
)

// Interceptor makes a span of kind client for each call, and sends the trace along.
func Interceptor(cfg Config) rpcclient.Interceptor {
	tracer, propagator := cfg.tracer(), cfg.propagator()
	return func(ctx context.Context, in *rpcclient.Invocation, next func(context.Context, *rpcclient.Invocation) error) error {
		ctx, span := tracer.Start(ctx, in.Method, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(system, semconv.RPCMethod(in.Method), semconv.ServerAddress(in.Service)))
		returned := false
		defer func() { end(span, returned) }()
		a := &attempts{span: span}
		if span.IsRecording() {
			ctx = rpcclient.WithTrace(ctx, a.trace())
		}
		err := next(inject(ctx, propagator), in)
		returned = true
		if node := a.last.Load(); node != nil {
			span.SetAttributes(peer(*node)...)
		}
		if err != nil {
			fail(span, clientErrorType(err), err.Error())
			var e *rpcclient.Error
			if errors.As(err, &e) {
				span.SetAttributes(keyExecuted.String(e.Executed.String()))
			}
		}
		return err
	}
}

// attempts are those of one call. Hedged attempts overlap, and so do the calls of an
// interceptor that calls next twice.
type attempts struct {
	span trace.Span
	last atomic.Pointer[string] // the node that answered, or was chosen, last
}

// trace makes events of what the client does.
func (a *attempts) trace() *rpcclient.Trace {
	return &rpcclient.Trace{
		Picked: func(_, node string, attempt int) {
			a.last.Store(&node)
			a.span.AddEvent(eventAttempt, trace.WithAttributes(append(peer(node), keyAttempt.Int(attempt))...))
		},
		Answered: func(_, node string, _ time.Duration, _ error) { a.last.Store(&node) },
		Failed: func(_ string, f rpcclient.Attempt) {
			a.span.AddEvent(eventFailed, trace.WithAttributes(append(peer(f.Node),
				keyPhase.String(f.Phase.String()), keyExecuted.String(f.Executed.String()),
				keyHedge.Bool(f.Hedge), keyError.String(printable(f.Err.Error())))...))
		},
		Hedging: func(string, time.Duration) { a.span.AddEvent(eventHedge) },
	}
}

// Tests: spans_test.go, attempts_test.go.
