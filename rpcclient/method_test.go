package rpcclient

import (
	"context"
	"errors"
	"math"
	"net"
	"net/rpc"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestEachSettingComesFromTheNearestThatHasIt: the call, MethodOf, Config.Methods.
func TestEachSettingComesFromTheNearestThatHasIt(t *testing.T) {
	for name, tt := range map[string]struct {
		config, typed Method
		opts          []CallOption
		want          Method
	}{
		"none":             {},
		"config":           {config: Method{Idempotent: true, Hedge: 0.1, Timeout: 1, AttemptTimeout: 2, Retries: 3}, want: Method{Idempotent: true, Hedge: 0.1, Timeout: 1, AttemptTimeout: 2, Retries: 3}},
		"MethodOf":         {config: Method{Timeout: 1, Retries: 3}, typed: Method{Timeout: 5, AttemptTimeout: 2}, want: Method{Timeout: 5, AttemptTimeout: 2, Retries: 3}},
		"the call":         {config: Method{Timeout: 1}, typed: Method{Timeout: 2}, opts: []CallOption{Settings(Method{Timeout: 3})}, want: Method{Timeout: 3}},
		"none of either":   {config: Method{Timeout: 1, Retries: 4}, typed: Method{Retries: -1}, opts: []CallOption{Settings(Method{Timeout: -1})}, want: Method{Timeout: -1, Retries: -1}},
		"idempotent stays": {config: Method{Idempotent: true, Hedge: 0.1}, typed: Method{Timeout: 1}, opts: []CallOption{Settings(Method{Retries: 1})}, want: Method{Idempotent: true, Hedge: 0.1, Timeout: 1, Retries: 1}},
		"Hedge(0)":         {typed: Method{Idempotent: true, Hedge: 0.1, Timeout: 1}, opts: []CallOption{Hedge(0)}, want: Method{Idempotent: true, Timeout: 1}},
		"two Settings":     {opts: []CallOption{Settings(Method{Timeout: 1, Retries: 1}), Settings(Method{Timeout: 2})}, want: Method{Timeout: 2, Retries: 1}},
		"for ever":         {opts: []CallOption{Settings(Method{Timeout: math.MaxInt64})}, want: Method{Timeout: forever}},
	} {
		var got Method
		c := newClient(t, Config{Source: announce(), Methods: map[string]Method{"A.B": tt.config}})
		cl := c.newCall("A.B", nil, nil, nil)
		cl.options.Method = MethodOf[int, int]("A.B", tt.typed).settings.over(cl.options.Method)
		cl.apply(tt.opts)
		if got = cl.options.Method; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	sure := func(rpc.ServerError) bool { return true }
	if m := (Method{}).over(Method{RetryErrors: sure}); m.RetryErrors == nil {
		t.Error("RetryErrors of the base is lost")
	}
	if m := (Method{RetryErrors: sure}).over(Method{}); m.RetryErrors == nil {
		t.Error("RetryErrors is not taken")
	}
}

func TestSettingsWithoutAMeaningFailTheCall(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{}, s.addr)
	for want, m := range map[string]Method{
		"Hedge: only an Idempotent method": {Hedge: 0.1},
		"Hedge 0.7: want a share":          {Idempotent: true, Hedge: 0.7},
		"AttemptTimeout is negative":       {AttemptTimeout: -1},
	} {
		err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, nil, Settings(m))
		var e *Error
		if !errors.As(err, &e) || e.Executed != ExecutedNever || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if n := s.arith.executed.Load(); n != 0 {
		t.Errorf("executed %d times", n)
	}
}

// TestTimesOfAMethod: its limits hold instead of those of Config, and the error names them.
func TestTimesOfAMethod(t *testing.T) {
	for name, tt := range map[string]struct {
		m        Method
		deadline time.Duration // of the context; 0: none
		took     time.Duration
		want     string
	}{
		"Timeout":             {m: Method{Timeout: time.Second}, took: time.Second, want: "no answer within Method.Timeout"},
		"none of the method":  {m: Method{Timeout: -1}, deadline: time.Hour, took: time.Hour, want: "deadline exceeded"},
		"the context is over": {m: Method{Timeout: time.Hour}, deadline: time.Second, took: time.Second, want: "deadline exceeded"},
		"AttemptTimeout":      {m: Method{Idempotent: true, AttemptTimeout: time.Second, Retries: -1}, took: time.Second, want: "no answer within Method.AttemptTimeout"},
		"half of the Timeout": {m: Method{Idempotent: true, Timeout: 4 * time.Second, Retries: -1}, took: 2 * time.Second, want: "no answer within Config.Retry.AttemptTimeout"},
		"Config":              {took: 10 * time.Second, want: "no answer within Config.Timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(map[string]func(net.Conn){"a:1": silent})
				c := fakeClient(t, f, Config{Methods: map[string]Method{"Arith.Multiply": tt.m}}, "a:1")
				defer c.Close()
				ready(t, c)
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				begin := time.Now()
				err := c.Call(ctx, "Arith.Multiply", &Args{1, 2}, nil)
				if took := time.Since(begin); took != tt.took || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// says answers every call with an error.
func says(text string, asked *[]string) func(net.Conn) {
	return func(nc net.Conn) {
		p := newPeer(nc)
		for {
			req, _, err := p.next()
			if err != nil {
				return
			}
			*asked = append(*asked, text)
			p.answer(req.Seq, text, struct{}{})
		}
	}
}

// TestOnlyErrorsThatRetryErrorsNamesAreTriedAgain, on another node if there is one, within
// Retries and the budget.
func TestOnlyErrorsThatRetryErrorsNamesAreTriedAgain(t *testing.T) {
	again := func(err rpc.ServerError) bool { return strings.HasPrefix(string(err), "again") }
	no := balancer.Budget{Share: -1, Floor: -1}
	for name, tt := range map[string]struct {
		nodes []string
		retry RetryConfig
		m     Method
		asked int
		want  string
	}{
		"two nodes say it":       {nodes: []string{"again", "again too"}, m: Method{RetryErrors: again}, asked: 3, want: "again"},
		"one node says it":       {nodes: []string{"again"}, m: Method{RetryErrors: again, Retries: 1}, asked: 2, want: "again"},
		"the next says no":       {nodes: []string{"again", "no"}, m: Method{RetryErrors: again}, asked: 2, want: "no"},
		"another error":          {nodes: []string{"no", "no"}, m: Method{RetryErrors: again}, asked: 1, want: "no"},
		"no RetryErrors":         {nodes: []string{"again", "again"}, m: Method{Idempotent: true}, asked: 1, want: "again"},
		"no retries":             {nodes: []string{"again", "again"}, m: Method{RetryErrors: again, Retries: -1}, asked: 1, want: "again"},
		"none by Config":         {nodes: []string{"again", "again"}, retry: RetryConfig{Max: -1}, m: Method{RetryErrors: again}, asked: 1, want: "again"},
		"more than Config":       {nodes: []string{"again", "again"}, retry: RetryConfig{Max: -1}, m: Method{RetryErrors: again, Retries: 4}, asked: 5, want: "again"},
		"the budget is exceeded": {nodes: []string{"again", "again"}, retry: RetryConfig{Budget: no}, m: Method{RetryErrors: again}, asked: 1, want: ErrOverBudget.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(map[string]func(net.Conn){})
				var asked []string
				var nodes eps // each has another priority, so that the first attempt goes to the first one
				for i, text := range tt.nodes {
					addr := string(rune('a'+i)) + ":1"
					f.nodes[addr] = says(text, &asked)
					nodes = append(nodes, resolver.Endpoint{Addr: addr, Target: addr, Priority: uint16(i), Weight: 1})
				}
				c := fakeClient(t, f, Config{Source: nodes, Retry: tt.retry, Conn: ConnConfig{PerNode: 1}})
				defer c.Close()
				allUp(t, c, len(nodes))
				err := c.Call(t.Context(), "A.B", &Args{}, nil, Settings(tt.m))
				var e *Error
				if !errors.As(err, &e) || e.Executed != ExecutedYes || !is[rpc.ServerError](err) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %s", err, tt.want)
				}
				if len(asked) != tt.asked || asked[0] != tt.nodes[0] {
					t.Errorf("the nodes were asked for %q, want %d requests", asked, tt.asked)
				}
			})
		})
	}
}

// TestErrorThatIsTriedAgainDoesNotHideTheHedgesAnswer: the second request is out already.
func TestErrorThatIsTriedAgainDoesNotHideTheHedgesAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Second) // the requests that were given up end
		var late atomic.Bool
		node := func(nc net.Conn) {
			p := newPeer(nc)
			for {
				req, args, err := p.next()
				switch {
				case err != nil:
					return
				case late.CompareAndSwap(true, false): // the first request of the call that is looked at
					time.Sleep(20 * time.Millisecond)
					p.answer(req.Seq, "again", struct{}{})
				default:
					time.Sleep(10 * time.Millisecond)
					p.answer(req.Seq, "", args.A*args.B)
				}
			}
		}
		f := newFakeNet(map[string]func(net.Conn){"a:1": node, "b:1": node})
		c := fakeClient(t, f, Config{}, "a:1", "b:1")
		defer c.Close()
		allUp(t, c, 2)
		hedged := Settings(Method{Idempotent: true, Hedge: 0.1, Retries: -1, RetryErrors: func(rpc.ServerError) bool { return true }})
		var product int
		for range 100 { // so that the client knows how long a call takes
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, &product, hedged); err != nil {
				t.Fatal(err)
			}
		}
		late.Store(true)
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{2, 3}, &product, hedged); err != nil || product != 6 {
			t.Error(product, err)
		}
		if s := c.Stats(); s.HedgesWon != 1 || s.Retries != 0 {
			t.Errorf("%d hedges won, %d retries", s.HedgesWon, s.Retries)
		}
	})
}
