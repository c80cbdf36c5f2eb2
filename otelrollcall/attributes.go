package otelrollcall

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"strconv"
	"strings"

	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// system says which RPC it is. The conventions have no value for net/rpc and allow one's own.
var system = semconv.RPCSystemNameKey.String("net/rpc")

// peer is the other end of a connection.
func peer(addr string) []attribute.KeyValue {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil { // a socket of Unix, for example
		return []attribute.KeyValue{semconv.NetworkPeerAddress(printable(addr))}
	}
	about := []attribute.KeyValue{semconv.NetworkPeerAddress(printable(host))}
	if n, err := strconv.Atoi(port); err == nil {
		about = append(about, semconv.NetworkPeerPort(n))
	}
	return about
}

// peerOf is peer. A Call that a test has made has no address.
func peerOf(addr net.Addr) []attribute.KeyValue {
	if addr == nil {
		return nil
	}
	return peer(addr.String())
}

// end ends a span. returned is false if what it covers did not return.
func end(span trace.Span, returned bool) {
	if !returned {
		fail(span, "panic", "a panic, or the end of the goroutine")
	}
	span.End()
}

// fail says of a span why it failed.
func fail(span trace.Span, errorType, text string) {
	span.SetStatus(codes.Error, printable(text))
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType))
}

// maxText bounds texts, because the other end chooses how long its error is.
const maxText = 1 << 10

// printable is a text that exporters take: OTLP carries UTF-8 only, and an exporter loses all
// of its spans if one has a text that is not.
func printable(text string) string {
	if len(text) > maxText {
		text = text[:maxText-len("...")] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// What both ends say of a failed call, in error.type.
const (
	typeRefused  = "refused"
	typeTimeout  = "timeout"
	typeCanceled = "canceled"
)

// clientErrorType is the error.type of a call that has failed. Few values are possible, so
// that spans can be grouped by it.
func clientErrorType(err error) string {
	var e *rpcclient.Error
	if !errors.As(err, &e) { // of another interceptor
		return otherErrorType(err)
	}
	switch why := e.Err; { // not e, which has the errors of all attempts
	case is[*rpcclient.RefusedError](why):
		return typeRefused
	case errors.Is(why, rpcclient.ErrNoNodes): // before the time-out: the call has waited for a node
		return "no_node"
	case errors.Is(why, rpcclient.ErrClosed):
		return "closed"
	case is[rpc.ServerError](why):
		return "server_error"
	case errors.Is(why, context.DeadlineExceeded), errors.Is(why, context.Canceled):
		return otherErrorType(why)
	}
	if len(e.Attempts) > 0 {
		switch e.Attempts[len(e.Attempts)-1].Phase {
		case rpcclient.PhaseEncode:
			return "encode"
		case rpcclient.PhaseDecode:
			return "decode"
		case rpcclient.PhaseWrite, rpcclient.PhaseWait:
			return "connection"
		}
	}
	return otherErrorType(e.Err)
}

// serverErrorType is the error.type of a call that has failed on the server.
func serverErrorType(call *rpcserver.Call, err error) string {
	if call.Refused(err) {
		return typeRefused
	}
	return otherErrorType(err)
}

// otherErrorType is that of an error of any kind.
func otherErrorType(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return typeTimeout
	case errors.Is(err, context.Canceled):
		return typeCanceled
	}
	return printable(semconv.ErrorType(err).Value.AsString())
}

// is tells whether an error of type E is in err.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
