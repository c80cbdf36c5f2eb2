package otelrollcall

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// TestAttemptsAreEvents: the first node refuses the call, and the other one takes it. The span
// has no error then, and the program's own Trace hears of both attempts as well.
func TestAttemptsAreEvents(t *testing.T) {
	var refused atomic.Bool
	once := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		if !refused.Swap(true) {
			return rpcserver.Refuse("busy", 0)
		}
		return next(ctx, call)
	}
	r := record()
	up := make(chan string, 10)
	c := connect(t, rpcclient.Config{
		Interceptors: []rpcclient.Interceptor{Interceptor(r.cfg)},
		Trace:        &rpcclient.Trace{Connected: func(node string) { up <- node }},
	}, serve(t, method("A.B", double), once), serve(t, method("A.B", double), once))
	if first, second := <-up, <-up; first == second {
		t.Fatal(first, "is up twice")
	}
	var picked []string
	ctx := rpcclient.WithTrace(t.Context(), &rpcclient.Trace{
		Picked: func(_, node string, _ int) { picked = append(picked, node) },
	})
	if n, err := rpcclient.Invoke[int](ctx, c, "A.B", 21); err != nil || n != 42 || len(picked) != 2 {
		t.Fatal(n, err, picked)
	}
	s := r.span(t, trace.SpanKindClient, "A.B")
	var got []string
	for _, e := range s.Events {
		a := attributes(e.Attributes)
		got = append(got, fmt.Sprint(e.Name, " ", a["rollcall.attempt"], a["network.peer.address"], ":", a["network.peer.port"],
			a["rollcall.phase"], a["rollcall.executed"], a["rollcall.hedge"], a["rollcall.error"]))
	}
	want := []string{
		"attempt 1" + picked[0],
		"attempt failed " + picked[0] + "answerneverfalserefused by the server: busy",
		"attempt 2" + picked[1],
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	a := attributes(s.Attributes)
	if a["network.peer.address"]+":"+a["network.peer.port"] != picked[1] || a["error.type"] != "" || s.Status.Code != codes.Unset {
		t.Errorf("%v, %v; the second node is %s", a, s.Status, picked[1])
	}
}
