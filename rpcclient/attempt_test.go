package rpcclient

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// Odd is a service with values that are hard to encode, to decode or to skip.
type Odd struct{}

// Any carries an interface value.
type Any struct{ V any }

func (Odd) Any(in *Any, out *Any) error { out.V = in.V; return nil }

// Text answers with a string where the caller expects another type.
func (Odd) Text(_ *Args, out *string) error { *out = "text"; return nil }

// Inner and Outer are sent in interface values, one within the other.
type (
	Inner struct{ N int }
	Outer struct{ V any }
)

// Nils answers with a value of which encoding/gob skips too much.
func (Odd) Nils(_ *Args, out *[]any) error { *out = []any{nil}; return nil }

func (Odd) Nested(_ *Args, out *Any) error { out.V = Outer{Inner{7}}; return nil }

func TestArgumentThatCannotBeEncodedFailsThatCallOnly(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{Conn: ConnConfig{PerNode: 1}}, s.addr)
	block := c.Go(t.Context(), "Arith.Block", &Args{A: 9}, new(int), nil)
	<-s.arith.entered
	var nilArgs *Args
	for name, bad := range map[string]any{
		"no exported fields":    struct{ f func() }{},
		"channel":               make(chan int),
		"nil pointer":           nilArgs,
		"nil":                   nil,
		"unregistered":          &Any{struct{ X int }{1}},
		"unregistered within":   &Any{Outer{struct{ Y int }{1}}},
		"nil in a slice":        []*Args{{1, 2}, nil},
		"GobEncode that panics": &Panicky{Encode: true},
		"GobEncode that fails":  &Panicky{Fail: true},
	} {
		for range 2 {
			err := c.Call(t.Context(), "Arith.Multiply", bad, new(int))
			var e *Error
			if !errors.As(err, &e) || e.Executed != ExecutedNever || len(e.Attempts) != 1 || e.Attempts[0].Phase != PhaseEncode {
				t.Errorf("%s: %v", name, err)
			}
			var product int
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{3, 4}, &product); err != nil || product != 12 {
				t.Errorf("good call after %s: %d, %v", name, product, err)
			}
		}
	}
	close(s.arith.block)
	if <-block.Done; block.Error != nil {
		t.Errorf("call in flight all along: %v", block.Error)
	}
	// Each value with interfaces within it costs one connection; all others cost none.
	if dials := c.Stats().Dials; dials > 3 {
		t.Errorf("%d dials", dials)
	}
}

// Panicky has gob methods that panic or fail as it says.
type Panicky struct{ Encode, Decode, Fail bool }

func (p *Panicky) GobEncode() ([]byte, error) {
	switch {
	case p.Encode:
		panic("GobEncode")
	case p.Fail:
		return nil, errors.New("no")
	case p.Decode:
		return []byte{1}, nil
	}
	return []byte{0}, nil
}

func (p *Panicky) GobDecode(b []byte) error {
	if b[0] == 1 && p.Fail {
		panic("GobDecode")
	}
	p.Decode = b[0] == 1
	return nil
}

func (Odd) Panicky(in *Panicky, out *Panicky) error { *out = *in; return nil }

func TestReplyThatDoesNotFitFailsThatCallOnly(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{Conn: ConnConfig{PerNode: 1}}, s.addr)
	block := c.Go(t.Context(), "Arith.Block", &Args{A: 9}, new(int), nil)
	<-s.arith.entered
	for name, call := range map[string]func() error{
		"text as a struct": func() error { return c.Call(t.Context(), "Odd.Text", &Args{}, new(Quotient)) },
		"overflow":         func() error { return c.Call(t.Context(), "Arith.Multiply", &Args{1000, 1000}, new(int8)) },
		"GobDecode that panics": func() error {
			return c.Call(t.Context(), "Odd.Panicky", &Panicky{Decode: true}, &Panicky{Fail: true})
		},
	} {
		err := call()
		var e *Error
		if !errors.As(err, &e) || e.Executed != ExecutedYes || len(e.Attempts) != 1 || e.Attempts[0].Phase != PhaseDecode {
			t.Errorf("%s: %v", name, err)
		}
		var any Any
		if err := c.Call(t.Context(), "Odd.Nested", &Args{}, &any); err != nil || any.V != (Outer{Inner{7}}) {
			t.Errorf("good call after %s: %v, %v", name, any, err)
		}
	}
	close(s.arith.block)
	if <-block.Done; block.Error != nil || *block.Reply.(*int) != 9 {
		t.Errorf("call in flight all along: %v", block.Error)
	}
	if dials := c.Stats().Dials; dials != 1 {
		t.Errorf("%d dials, want 1", dials)
	}
}

func TestReplyThatIsTooLargeFailsItsCallAndIsNotAskedForAgain(t *testing.T) {
	s := startStock(t, "")
	c := newClient(t, Config{Conn: ConnConfig{MaxReply: 10_000}}, s.addr)
	err := c.Call(t.Context(), "Echo.Echo", &Payload{make([]byte, 20_000)}, new(Payload), Idempotent())
	var e *Error
	if !errors.As(err, &e) || e.Executed != ExecutedYes || len(e.Attempts) != 1 || !strings.Contains(err.Error(), "bytes is larger than 10000") {
		t.Fatal(err)
	}
	if got, err := Invoke[Payload](t.Context(), c, "Echo.Echo", &Payload{make([]byte, 5_000)}); err != nil || len(got.Data) != 5_000 {
		t.Error(err)
	}
}

// TestCallsThatWaitGoToAllNodesAndNotToTheFirst: the nodes come up within milliseconds of each
// other. A few calls go out in the moment in which the first one is there.
func TestCallsThatWaitGoToAllNodesAndNotToTheFirst(t *testing.T) {
	comes := map[string]time.Duration{"a:1": 100 * time.Millisecond, "b:1": 103 * time.Millisecond, "c:1": 106 * time.Millisecond}
	for name, of := range map[string]struct {
		calls  int
		cfg    Config
		each   uint64 // node gets so many at least
		before time.Duration
	}{
		"a few":         {calls: herd, before: comes["a:1"]},
		"a herd":        {calls: 1000, each: 200, before: comes["a:1"] + 1000*herdPace},
		"a large one":   {calls: 6000, each: 1200, before: comes["a:1"] + retryCap},
		"short of time": {calls: 1000, cfg: Config{Timeout: 110 * time.Millisecond}, before: comes["a:1"] + 5*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Arith{}), "b:1": stock(&Arith{}), "c:1": stock(&Arith{})})
				cfg := of.cfg
				cfg.Source = announce("a:1", "b:1", "c:1")
				cfg.Conn = ConnConfig{PerNode: 1, Dial: func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
					select {
					case <-time.After(comes[ep.Addr]):
						return f.dial(ctx, ep)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}}
				c, err := New("_math._tcp.svc", &cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				begin := time.Now()
				var calls sync.WaitGroup
				for range of.calls {
					calls.Go(func() {
						if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
							t.Error(err)
						}
					})
				}
				calls.Wait()
				if took := time.Since(begin); took > of.before {
					t.Errorf("it took %v, want %v", took, of.before)
				}
				for _, n := range c.Stats().Nodes {
					if n.Attempts < of.each {
						t.Errorf("%s got %d of %d calls", n.Addr, n.Attempts, of.calls)
					}
				}
				if n := c.waiting.Load(); n != 0 {
					t.Errorf("%d calls wait", n)
				}
			})
		})
	}
}
