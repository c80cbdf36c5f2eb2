package otelrollcall

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// talkative is a propagator that injects pairs of its own, and the trace.
type talkative struct {
	propagation.TraceContext
	pairs map[string]string
}

func (p talkative) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	for key, value := range p.pairs {
		carrier.Set(key, value)
	}
	p.TraceContext.Inject(ctx, carrier)
}

// TestWhatDoesNotFitIsLeftOut: the call goes on without it, with the trace if there is room.
func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	many := map[string]string{}
	for i := range 40 {
		many[fmt.Sprintf("key-%02d", i)] = ""
	}
	addr := serve(t, method("A.Keys", func(ctx context.Context, _ int) ([]string, error) {
		return incoming{rpcserver.CallFrom(ctx).Meta}.Keys(), nil
	}))
	for name, tt := range map[string]struct {
		pairs map[string]string
		own   map[string]string // metadata of the caller
		want  []string
	}{
		"the trace alone":             {nil, nil, []string{"traceparent"}},
		"what fits":                   {map[string]string{"baggage": "a=1"}, nil, []string{"baggage", "traceparent"}},
		"upper case":                  {map[string]string{"X-B3": "1"}, nil, []string{"traceparent", "x-b3"}},
		"baggage that is too long":    {map[string]string{"baggage": strings.Repeat("a", 9000)}, nil, []string{"traceparent"}},
		"baggage that takes the rest": {map[string]string{"baggage": strings.Repeat("a", 8185)}, nil, []string{"traceparent"}},
		"keys that cannot be":         {map[string]string{"a b": "1", "_x": "1", "": "1", strings.Repeat("k", 65): "1"}, nil, []string{"traceparent"}},
		"too many":                    {many, nil, slices.Sorted(maps.Keys(many))[:32]},
		"no room":                     {map[string]string{"baggage": "a=1"}, map[string]string{"own": strings.Repeat("a", 8180)}, []string{"own"}},
	} {
		r := record()
		r.cfg.Propagator = talkative{pairs: tt.pairs}
		ctx := t.Context()
		for key, value := range tt.own {
			ctx = rpcclient.WithMeta(ctx, key, value)
		}
		got, err := rpcclient.Invoke[[]string](ctx, traced(t, r.cfg, addr), "A.Keys", 1)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
		}
	}
}

// TestMetadataOfTheCallerThatIsBad fails the call, as without this package.
func TestMetadataOfTheCallerThatIsBad(t *testing.T) {
	r := record()
	c := traced(t, r.cfg, "127.0.0.1:1")
	err := c.Call(rpcclient.WithMeta(t.Context(), "Token", "x"), "A.B", 1, nil)
	if err == nil || !strings.Contains(err.Error(), "Token") {
		t.Error(err)
	}
	if got := attributes(r.span(t, trace.SpanKindClient, "A.B").Attributes)["error.type"]; got != "encode" {
		t.Errorf("%q", got)
	}
}

func TestCarriersAnswerInAnyCase(t *testing.T) {
	out := outgoing{}
	out.Set("X-Trace", "1")
	if out.Get("x-TRACE") != "1" || !slices.Equal(out.Keys(), []string{"x-trace"}) {
		t.Errorf("%v", out)
	}
	addr := serve(t, method("A.B", func(ctx context.Context, key string) (string, error) {
		in := incoming{rpcserver.CallFrom(ctx).Meta}
		in.Set("x-trace", "another")
		return in.Get(key), nil
	}))
	c := connect(t, rpcclient.Config{}, addr)
	got, err := rpcclient.Invoke[string](rpcclient.WithMeta(t.Context(), "x-trace", "1"), c, "A.B", "X-Trace")
	if err != nil || got != "1" {
		t.Error(got, err)
	}
}
