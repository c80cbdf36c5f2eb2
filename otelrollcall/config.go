package otelrollcall

import (
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Config of an [Interceptor] or a [Middleware]. The zero value takes what is global.
type Config struct {
	// TracerProvider makes the spans. nil: that of otel.SetTracerProvider.
	TracerProvider trace.TracerProvider
	// Propagator writes the trace into the metadata of a call, and reads it. nil: that of
	// otel.SetTextMapPropagator. A program that has set none propagates nothing.
	Propagator propagation.TextMapPropagator
}

// scope is the name of this instrumentation in each span.
const scope = "github.com/rollcall-dns/rollcall/otelrollcall"

func (cfg Config) tracer() trace.Tracer {
	provider := cfg.TracerProvider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (cfg Config) propagator() propagation.TextMapPropagator {
	if cfg.Propagator == nil {
		return otel.GetTextMapPropagator()
	}
	return cfg.Propagator
}

// Tests: spans_test.go.
