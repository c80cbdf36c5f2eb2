package otelrollcall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// recorder has the spans of a test.
type recorder struct {
	*tracetest.InMemoryExporter
	cfg Config
}

func record(opts ...sdktrace.TracerProviderOption) *recorder {
	r := &recorder{InMemoryExporter: tracetest.NewInMemoryExporter()}
	opts = append(opts, sdktrace.WithSyncer(r.InMemoryExporter))
	r.cfg = Config{TracerProvider: sdktrace.NewTracerProvider(opts...), Propagator: propagation.TraceContext{}}
	return r
}

// span is the one of this kind and method. A span of a server is there when its client has
// the answer.
func (r *recorder) span(t *testing.T, kind trace.SpanKind, method string) tracetest.SpanStub {
	t.Helper()
	var found []tracetest.SpanStub
	for _, s := range r.GetSpans() {
		if s.SpanKind == kind && s.Name == method {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans of kind %s for %s, want 1", len(found), kind, method)
	}
	return found[0]
}

// attributes are those of a span or an event, as text.
func attributes(all []attribute.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		m[string(a.Key)] = a.Value.String()
	}
	return m
}

// serve serves with these middleware what register adds, and returns the address.
func serve(t *testing.T, register func(*rpcserver.Server) error, middleware ...rpcserver.Middleware) string {
	t.Helper()
	s := rpcserver.New(rpcserver.Config{Middleware: middleware})
	if err := register(s); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
	return l.Addr().String()
}

// method registers a function.
func method[A, R any](name string, f func(context.Context, A) (R, error)) func(*rpcserver.Server) error {
	return func(s *rpcserver.Server) error { return rpcserver.Handle(s, name, f) }
}

func connect(t *testing.T, cfg rpcclient.Config, addrs ...string) *rpcclient.Client {
	t.Helper()
	cfg.Source = resolver.Static(addrs...)
	c, err := rpcclient.New("_math._tcp.svc", &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// traced is a client with spans.
func traced(t *testing.T, cfg Config, addr string) *rpcclient.Client {
	t.Helper()
	return connect(t, rpcclient.Config{Interceptors: []rpcclient.Interceptor{Interceptor(cfg)}}, addr)
}

func double(_ context.Context, n int) (int, error) { return 2 * n, nil }

// TestOneTraceOverTwoHops: a client calls a server, which calls another one. Each span is the
// child of the one before, and the trace that the program has begun goes all the way.
func TestOneTraceOverTwoHops(t *testing.T) {
	r := record()
	back := serve(t, method("Back.Double", double), Middleware(r.cfg))
	toBack := traced(t, r.cfg, back)
	front := serve(t, method("Front.Double", func(ctx context.Context, n int) (int, error) {
		return rpcclient.Invoke[int](ctx, toBack, "Back.Double", n)
	}), Middleware(r.cfg))
	c := traced(t, r.cfg, front)

	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	root := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state,
	})
	n, err := rpcclient.Invoke[int](trace.ContextWithSpanContext(t.Context(), root), c, "Front.Double", 21)
	if err != nil || n != 42 {
		t.Fatal(n, err)
	}
	before := root
	for _, want := range []struct {
		kind   trace.SpanKind
		method string
		server string // what it says of server.address
		peer   string // and of the port of the other end; empty: any
	}{
		{trace.SpanKindClient, "Front.Double", "_math._tcp.svc", front},
		{trace.SpanKindServer, "Front.Double", "", ""},
		{trace.SpanKindClient, "Back.Double", "_math._tcp.svc", back},
		{trace.SpanKindServer, "Back.Double", "", ""},
	} {
		s := r.span(t, want.kind, want.method)
		name := fmt.Sprint(want.kind, " ", want.method)
		if s.SpanContext.TraceID() != root.TraceID() || s.Parent.SpanID() != before.SpanID() {
			t.Errorf("%s: trace %s, parent %s; want %s, %s", name, s.SpanContext.TraceID(), s.Parent.SpanID(), root.TraceID(), before.SpanID())
		}
		if got := s.SpanContext.TraceState().Get("vendor"); got != "1" {
			t.Errorf("%s: trace state %q", name, got)
		}
		if s.Status.Code != codes.Unset || s.InstrumentationScope.Name != scope || s.InstrumentationScope.SchemaURL == "" {
			t.Errorf("%s: status %v, scope %v", name, s.Status, s.InstrumentationScope)
		}
		got := attributes(s.Attributes)
		port := got["network.peer.port"]
		if want.peer != "" && want.peer != net.JoinHostPort(got["network.peer.address"], port) || port == "" {
			t.Errorf("%s: the peer is %s:%s, want %s", name, got["network.peer.address"], port, want.peer)
		}
		delete(got, "network.peer.port")
		all := map[string]string{"rpc.system.name": "net/rpc", "rpc.method": want.method, "network.peer.address": "127.0.0.1"}
		if want.server != "" {
			all["server.address"] = want.server
		}
		if fmt.Sprint(got) != fmt.Sprint(all) {
			t.Errorf("%s: %v, want %v", name, got, all)
		}
		before = s.SpanContext
	}
	if n := len(r.GetSpans()); n != 4 {
		t.Errorf("%d spans, want 4", n)
	}
}

// TestAClientOfNetRPCGivesARootSpan: it sends no metadata.
func TestAClientOfNetRPCGivesARootSpan(t *testing.T) {
	r := record()
	c, err := rpc.Dial("tcp", serve(t, method("Back.Double", double), Middleware(r.cfg)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var n int
	if err := c.Call("Back.Double", 21, &n); err != nil || n != 42 {
		t.Fatal(n, err)
	}
	if s := r.span(t, trace.SpanKindServer, "Back.Double"); s.Parent.IsValid() || !s.SpanContext.IsValid() {
		t.Errorf("parent %v of %v", s.Parent, s.SpanContext)
	}
}

// quick is an error that names its own type.
type quick struct{}

func (quick) Error() string     { return "\xffno" }
func (quick) ErrorType() string { return "quick" }

// TestFailures: what the spans of both ends say of a call that failed.
func TestFailures(t *testing.T) {
	refuse := func(context.Context, *rpcserver.Call, rpcserver.Handler) error { return rpcserver.Refuse("busy", 0) }
	returns := func(err error) func(*rpcserver.Server) error {
		return method("A.B", func(context.Context, int) (int, error) { return 0, err })
	}
	for name, tt := range map[string]struct {
		register   func(*rpcserver.Server) error
		middleware rpcserver.Middleware
		method     string // empty: A.B
		server     string // error.type; empty: there is no span
		client     string // the same
		executed   string
		text       string // on the server
	}{
		"an error of the method": {
			register: returns(errors.New("divide by zero")),
			server:   "*errors.errorString", client: "server_error", executed: "yes", text: "divide by zero",
		},
		"one with a type of its own": {
			register: returns(quick{}),
			server:   "quick", client: "server_error", executed: "yes", text: "?no",
		},
		"a time-out of the method": {
			register: returns(fmt.Errorf("store: %w", context.DeadlineExceeded)),
			server:   "timeout", client: "server_error", executed: "yes", text: "store: context deadline exceeded",
		},
		"a refusal": {
			register: returns(nil), middleware: refuse,
			server: "refused", client: "refused", executed: "never", text: "busy",
		},
		"a refusal by the method, which is none": {
			register: returns(rpcserver.Refuse("busy", 0)),
			server:   "*rpcserver.refusal", client: "server_error", executed: "yes", text: "busy",
		},
		"a panic": {
			register: method("A.B", func(context.Context, int) (int, error) { panic("oops") }),
			server:   "panic", client: "server_error", executed: "yes", text: "a panic, or the end of the goroutine",
		},
		"an unknown method": {
			register: returns(nil), method: "A.Nope",
			client: "server_error", executed: "yes",
		},
	} {
		r := record()
		all := []rpcserver.Middleware{Middleware(r.cfg)}
		if tt.middleware != nil {
			all = append(all, tt.middleware)
		}
		if tt.method == "" {
			tt.method = "A.B"
		}
		err := traced(t, r.cfg, serve(t, tt.register, all...)).Call(t.Context(), tt.method, 1, nil)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		s := r.span(t, trace.SpanKindClient, tt.method)
		got := attributes(s.Attributes)
		if s.Status.Code != codes.Error || got["error.type"] != tt.client || got["rollcall.executed"] != tt.executed {
			t.Errorf("%s: the client has %v, %v", name, s.Status, got)
		}
		if s.Status.Description != strings.ToValidUTF8(err.Error(), "?") {
			t.Errorf("%s: the client has %q, want %q", name, s.Status.Description, err)
		}
		if tt.server == "" {
			if n := len(r.GetSpans()); n != 1 {
				t.Errorf("%s: %d spans", name, n)
			}
			continue
		}
		s = r.span(t, trace.SpanKindServer, tt.method)
		got = attributes(s.Attributes)
		if s.Status != (sdktrace.Status{Code: codes.Error, Description: tt.text}) || got["error.type"] != tt.server {
			t.Errorf("%s: the server has %v, %v", name, s.Status, got)
		}
	}
}

// TestAMethodThatIsGivenUp: both spans say so.
func TestAMethodThatIsGivenUp(t *testing.T) {
	r := record()
	ended := make(chan struct{})
	begun := make(chan struct{})
	told := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		defer close(ended)
		return Middleware(r.cfg)(ctx, call, next)
	}
	c := traced(t, r.cfg, serve(t, method("A.Wait", func(ctx context.Context, _ int) (int, error) {
		close(begun)
		<-ctx.Done()
		return 0, ctx.Err()
	}), told))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if err := c.Call(ctx, "A.Wait", 1, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	<-ended
	for _, kind := range []trace.SpanKind{trace.SpanKindClient, trace.SpanKindServer} {
		if got := attributes(r.span(t, kind, "A.Wait").Attributes)["error.type"]; got != "canceled" {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// TestAPanicOfAnotherInterceptor ends the span.
func TestAPanicOfAnotherInterceptor(t *testing.T) {
	r := record()
	c := connect(t, rpcclient.Config{Interceptors: []rpcclient.Interceptor{
		Interceptor(r.cfg),
		func(context.Context, *rpcclient.Invocation, func(context.Context, *rpcclient.Invocation) error) error {
			panic("oops")
		},
	}}, "127.0.0.1:1")
	func() {
		defer func() {
			if recover() != "oops" {
				t.Error("the panic is not that of the interceptor")
			}
		}()
		c.Call(t.Context(), "A.B", 1, nil)
	}()
	if s := r.span(t, trace.SpanKindClient, "A.B"); attributes(s.Attributes)["error.type"] != "panic" {
		t.Errorf("%v", s.Attributes)
	}
}

// TestATraceThatIsNotSampled travels all the same, so that the server does not sample it
// either.
func TestATraceThatIsNotSampled(t *testing.T) {
	client, server := record(sdktrace.WithSampler(sdktrace.NeverSample())), record()
	var parent trace.SpanContext
	addr := serve(t, method("A.B", func(ctx context.Context, n int) (int, error) {
		parent = trace.SpanContextFromContext(ctx)
		return n, nil
	}), Middleware(server.cfg))
	if err := traced(t, client.cfg, addr).Call(t.Context(), "A.B", 1, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(client.GetSpans()) + len(server.GetSpans()); n != 0 || !parent.IsValid() || parent.IsSampled() {
		t.Errorf("%d spans; the method has %v", n, parent)
	}
}

// TestTheDefaultsAreGlobal.
func TestTheDefaultsAreGlobal(t *testing.T) {
	provider, propagator := otel.GetTracerProvider(), otel.GetTextMapPropagator()
	t.Cleanup(func() {
		otel.SetTracerProvider(provider)
		otel.SetTextMapPropagator(propagator)
	})
	r := record()
	otel.SetTracerProvider(r.cfg.TracerProvider)
	otel.SetTextMapPropagator(r.cfg.Propagator)
	c := traced(t, Config{}, serve(t, method("A.B", double), Middleware(Config{})))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Call(ctx, "A.B", 1, nil); err != nil {
		t.Fatal(err)
	}
	client, server := r.span(t, trace.SpanKindClient, "A.B"), r.span(t, trace.SpanKindServer, "A.B")
	if server.Parent.SpanID() != client.SpanContext.SpanID() {
		t.Errorf("parent %s, want %s", server.Parent.SpanID(), client.SpanContext.SpanID())
	}
}
