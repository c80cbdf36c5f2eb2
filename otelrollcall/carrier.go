package otelrollcall

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.opentelemetry.io/otel/propagation"
)

// inject has the propagator write the trace into the metadata of the calls of ctx. What does
// not fit is left out. The shortest pairs come first, so that long baggage does not take the
// room of a traceparent.
func inject(ctx context.Context, p propagation.TextMapPropagator) context.Context {
	pairs := outgoing{}
	p.Inject(ctx, pairs)
	for _, key := range slices.SortedFunc(maps.Keys(pairs), pairs.compare) {
		if with := rpcclient.WithMeta(ctx, key, pairs[key]); rpcclient.CheckMeta(with) == nil {
			ctx = with
		}
	}
	return ctx
}

// outgoing is what a propagator has written. Its keys are in lower case, as those of metadata
// must be; many propagators write the names of HTTP headers.
type outgoing map[string]string

func (o outgoing) Get(key string) string { return o[strings.ToLower(key)] }

func (o outgoing) Set(key, value string) { o[strings.ToLower(key)] = value }

func (o outgoing) Keys() []string { return slices.Collect(maps.Keys(o)) }

// compare orders keys by the length of their pairs.
func (o outgoing) compare(a, b string) int {
	return cmp.Or(cmp.Compare(len(a)+len(o[a]), len(b)+len(o[b])), strings.Compare(a, b))
}

// incoming is the metadata of a request. A propagator only reads it.
type incoming struct{ meta rpcserver.Meta }

func (i incoming) Get(key string) string {
	value, _ := i.meta.Get(strings.ToLower(key))
	return value
}

func (incoming) Set(string, string) {}

func (i incoming) Keys() []string {
	keys := make([]string, 0, i.meta.Len())
	for key := range i.meta.All() {
		keys = append(keys, key)
	}
	return keys
}
