package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

func TestMetadataBeyondTheBoundsFailsTheCall(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	many := t.Context()
	for i := range 33 {
		many = WithMeta(many, fmt.Sprintf("key-%d", i), "")
	}
	for name, tt := range map[string]struct {
		ctx  context.Context
		want []string
	}{
		"an upper-case key": {WithMeta(t.Context(), "Token", "x"), []string{"Token", "a-z"}},
		"an empty key":      {WithMeta(t.Context(), "", "x"), []string{`""`}},
		"a long key":        {WithMeta(t.Context(), strings.Repeat("k", 65), "x"), []string{"kkk", "64"}},
		"a reserved key":    {WithMeta(t.Context(), "_rollcall", "x"), []string{"_rollcall", "reserved"}},
		"a long value":      {WithMeta(t.Context(), "token", strings.Repeat("x", 9000)), []string{"token", "8192"}},
		"too many keys":     {many, []string{"key-32", "32"}},
		"a good one later":  {WithMeta(WithMeta(t.Context(), "Token", "x"), "token", "x"), []string{"Token"}},
	} {
		if err := CheckMeta(tt.ctx); err == nil || !strings.Contains(err.Error(), tt.want[0]) {
			t.Errorf("%s: CheckMeta says %v", name, err)
		}
		err := c.Call(tt.ctx, "Arith.Multiply", &Args{6, 7}, nil)
		var e *Error
		if !errors.As(err, &e) || e.Executed != ExecutedNever || len(e.Attempts) != 1 || e.Attempts[0].Phase != PhaseEncode {
			t.Errorf("%s: %#v", name, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %s", name, err, want)
			}
		}
	}
	if n := s.arith.executed.Load(); n != 0 {
		t.Errorf("executed %d times", n)
	}
	for name, ctx := range map[string]context.Context{"none": t.Context(), "a good one": WithMeta(t.Context(), "token", "x")} {
		if err := CheckMeta(ctx); err != nil {
			t.Errorf("%s: CheckMeta says %v", name, err)
		}
	}
}

// TestWhatTravels: the time that is left of an attempt if the caller's context has a
// deadline, and the metadata. Neither is in a call without them, whatever its other limits.
func TestWhatTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &speaker{reply: multiplies}
		f := newFakeNet(map[string]func(net.Conn){"a:1": s.serve})
		f.room = true
		c := fakeClient(t, f, Config{}, "a:1")
		defer c.Close()
		ready(t, c)
		timed, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for name, tt := range map[string]struct {
			ctx  context.Context
			opts []CallOption
			want told
		}{
			"plain":                  {t.Context(), nil, told{}},
			"limits of the client":   {t.Context(), []CallOption{Settings(Method{Timeout: time.Second, AttemptTimeout: time.Second})}, told{}},
			"a deadline":             {timed, nil, told{Timeout: 60_000_000}},
			"half of it":             {timed, []CallOption{Idempotent()}, told{Timeout: 30_000_000}},
			"that of the attempt":    {timed, []CallOption{Settings(Method{AttemptTimeout: time.Second})}, told{Timeout: 1_000_000}},
			"metadata":               {WithMeta(WithMeta(t.Context(), "b", "2"), "a", ""), nil, told{Meta: []string{"a", "", "b", "2"}}},
			"both":                   {WithMeta(timed, "a", "1"), nil, told{Timeout: 60_000_000, Meta: []string{"a", "1"}}},
			"metadata that came":     {callmeta.WithIncoming(t.Context(), metaOf(t, "a", "1")), nil, told{}},
			"a context of no caller": {context.WithoutCancel(timed), nil, told{}},
		} {
			if product, err := Invoke[int](tt.ctx, c, "Arith.Multiply", &Args{6, 7}, tt.opts...); err != nil || product != 42 {
				t.Error(name, product, err)
			}
			all := s.heard()
			got := all[len(all)-1]
			got.ServiceMethod, got.Seq = "", 0
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %+v, want %+v", name, got, tt.want)
			}
		}
	})
}

func metaOf(t *testing.T, pairs ...string) callmeta.Meta {
	m, err := callmeta.Of(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestForwardCopiesWhatItNames(t *testing.T) {
	came := callmeta.WithIncoming(t.Context(), metaOf(t, "secret", "x", "traceparent", "1", "tracestate", "2"))
	for name, tt := range map[string]struct {
		ctx  context.Context
		keys []string
		want map[string]string
	}{
		"both":              {came, []string{"traceparent", "tracestate"}, map[string]string{"traceparent": "1", "tracestate": "2"}},
		"one":               {came, []string{"tracestate", "other"}, map[string]string{"tracestate": "2"}},
		"none":              {came, nil, map[string]string{}},
		"nothing has come":  {t.Context(), []string{"traceparent"}, map[string]string{}},
		"set by the caller": {WithMeta(came, "traceparent", "mine"), []string{"traceparent"}, map[string]string{"traceparent": "mine"}},
	} {
		var got map[string]string
		err := Forward(tt.keys...)(tt.ctx, &Invocation{}, func(ctx context.Context, _ *Invocation) error {
			m, err := callmeta.Outgoing(ctx)
			got = maps.Collect(m.All())
			return err
		})
		if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
}

// TestServerHearsOfCallsThatAreGivenUp: by the context, by a time-out, and when a hedge has
// won.
func TestServerHearsOfCallsThatAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := &speaker{pong: answer{Knows: []string{"cancel"}}, reply: func(told, Args) []answer { return nil }}
		f := newFakeNet(map[string]func(net.Conn){"a:1": hang.serve})
		f.room = true
		c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}}, "a:1")
		defer c.Close()
		ready(t, c)
		for name, tt := range map[string]struct {
			quits bool // the caller gives up
			opts  []CallOption
		}{
			"context":        {true, nil},
			"Timeout":        {false, []CallOption{Settings(Method{Timeout: time.Second})}},
			"AttemptTimeout": {false, []CallOption{Settings(Method{AttemptTimeout: time.Second, Retries: -1})}},
		} {
			before := len(hang.heard())
			ctx, cancel := context.WithCancel(t.Context())
			if tt.quits {
				time.AfterFunc(time.Second, cancel)
			}
			if err := c.Call(ctx, "Arith.Multiply", &Args{6, 7}, nil, tt.opts...); err == nil {
				t.Fatal(name, "got an answer")
			}
			cancel()
			synctest.Wait()
			heard := hang.heard()[before:]
			want := []told{{ServiceMethod: "Arith.Multiply"}, {ServiceMethod: rpcwire.CancelMethod}}
			if len(heard) > 0 {
				want[0].Seq, want[1].Seq = heard[0].Seq, heard[0].Seq
			}
			if !reflect.DeepEqual(heard, want) {
				t.Errorf("%s: the server heard %+v", name, heard)
			}
		}
	})
}

func TestServerHearsOfTheRequestThatLostAgainstItsHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		var first atomic.Value // the name of the node that hangs
		node := func(name string) *speaker {
			return &speaker{pong: answer{Knows: []string{"cancel"}}, reply: func(told, Args) []answer {
				if hang.Load() && first.CompareAndSwap(nil, name) {
					return nil
				}
				time.Sleep(10 * time.Millisecond)
				return []answer{{}}
			}}
		}
		a, b := node("a"), node("b")
		f := newFakeNet(map[string]func(net.Conn){"a:1": a.serve, "b:1": b.serve})
		f.room = true
		c := fakeClient(t, f, Config{}, "a:1", "b:1")
		defer c.Close()
		allUp(t, c, 2)
		for range 100 { // so that the client knows how long a call takes
			if _, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}, Hedge(0.1)); err != nil {
				t.Fatal(err)
			}
		}
		hang.Store(true)
		if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{2, 3}, Hedge(0.1)); err != nil || product != 6 {
			t.Fatal(product, err)
		}
		synctest.Wait()
		loser, winner := a, b
		if first.Load() == "b" {
			loser, winner = b, a
		}
		heard := loser.heard()
		if n := len(heard); n < 2 || heard[n-1].ServiceMethod != rpcwire.CancelMethod || heard[n-1].Seq != heard[n-2].Seq {
			t.Errorf("the server that lost heard %+v", heard[max(0, n-3):])
		}
		for _, req := range winner.heard() {
			if req.ServiceMethod == rpcwire.CancelMethod {
				t.Error("a request that was answered is given up")
			}
		}
	})
}
