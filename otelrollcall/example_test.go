package otelrollcall_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/otelrollcall"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

type Args struct{ A, B int }

type Arith struct{}

func (Arith) Multiply(ctx context.Context, args *Args, reply *int) error {
	*reply = args.A * args.B
	return ctx.Err()
}

// A client and a server in one process, with spans that stay in memory.
func Example() {
	spans := tracetest.NewInMemoryExporter() // in place of an exporter to a collector
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	// Once in each program:
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})

	server := rpcserver.New(rpcserver.Config{
		Middleware: []rpcserver.Middleware{otelrollcall.Middleware(otelrollcall.Config{})},
	})
	server.Register(Arith{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go server.Serve(l)
	defer server.Close()

	client, err := rpcclient.New("_math._tcp.svc", &rpcclient.Config{
		Interceptors: []rpcclient.Interceptor{otelrollcall.Interceptor(otelrollcall.Config{})},
		Source:       resolver.Static(l.Addr().String()), // without DNS
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	product, err := rpcclient.Invoke[int](context.Background(), client, "Arith.Multiply", &Args{6, 7})
	fmt.Println(product, err)

	all := spans.GetSpans() // the server's ends first
	for _, s := range all {
		fmt.Println(s.SpanKind, s.Name)
	}
	fmt.Println("parent and child:", all[0].Parent.SpanID() == all[1].SpanContext.SpanID())
	// Output:
	// 42 <nil>
	// server Arith.Multiply
	// client Arith.Multiply
	// parent and child: true
}

// TestThePageHasTheLinesOfTheExample: what docs/integrations/opentelemetry.md shows is code that runs.
func TestThePageHasTheLinesOfTheExample(t *testing.T) {
	page, err := os.ReadFile("../docs/integrations/opentelemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "<!-- ci: otel.go -->\n```go\n")
	block, _, ok := strings.Cut(block, "```\n")
	if !ok {
		t.Fatal("docs/integrations/opentelemetry.md has no block otel.go")
	}
	var lines []string
	for line := range strings.Lines(string(example)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	shown := 0
	for line := range strings.Lines(block) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if shown++; !slices.Contains(lines, line) {
			t.Errorf("the page has %q, and the example has not", line)
		}
	}
	if shown < 8 {
		t.Errorf("the page shows %d lines", shown)
	}
}
