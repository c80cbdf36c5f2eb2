package rpcclient

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

func TestNoNodesSaysWhatWasAskedOfWhom(t *testing.T) {
	s := startStock(t, "")
	s.stop()
	c := newClient(t, Config{WaitForNode: 100 * time.Millisecond}, s.addr)
	dialFailed(t, c)
	err := c.Call(t.Context(), "Arith.Multiply", &Args{}, nil)
	var call *Error
	if !errors.Is(err, ErrNoNodes) || !errors.As(err, &call) || call.Executed != ExecutedNever {
		t.Fatal(err)
	}
	if !strings.Contains(err.Error(), s.addr) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error does not name the node and its failure: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), s.addr) {
		t.Errorf("Ready: %v", err)
	}
}

// TestAnErrorSaysItsCauseOnce: the attempts follow without their cause.
func TestAnErrorSaysItsCauseOnce(t *testing.T) {
	lost := errors.New("lost")
	for want, e := range map[string]*Error{
		"no usable node: no such name": {
			Err:      &noNodesError{source: errors.New("no such name")},
			Attempts: []Attempt{{Phase: PhasePick}},
		},
		"lost (maybe executed); attempt 1: a:1 wait maybe executed": {
			Executed: ExecutedMaybe, Err: lost,
			Attempts: []Attempt{{Node: "a:1", Phase: PhaseWait, Took: time.Second, Executed: ExecutedMaybe, Err: lost}},
		},
		"context deadline exceeded; attempt 1: write": { // the same words from another limit
			Err:      context.DeadlineExceeded,
			Attempts: []Attempt{{Phase: PhaseWrite, Err: conn.UnsentError{}}},
		},
		"lost (maybe executed); attempt 1: a:1 write: half; attempt 2: b:1 hedge wait maybe executed": {
			Executed: ExecutedMaybe, Err: lost,
			Attempts: []Attempt{
				{Node: "a:1", Phase: PhaseWrite, Err: errors.New("half")},
				{Node: "b:1", Phase: PhaseWait, Hedge: true, Took: time.Second, Executed: ExecutedMaybe, Err: lost},
			},
		},
	} {
		if e.Attempts[0].Err == nil {
			e.Attempts[0].Err = e.Err
		}
		e.Service, e.Method = "_math._tcp.svc", "Arith.Divide"
		if want = "rpcclient: call Arith.Divide of _math._tcp.svc: " + want; e.Error() != want {
			t.Errorf("error is %q\nwant     %q", e, want)
		}
	}
}

func mustContain(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestForgottenServerIsAskedAfter(t *testing.T) {
	server := freeaddr.Take(1)[0].String()
	heard := make(chan struct{}, 100)
	c := newClient(t, Config{Source: &resolver.Resolver{Servers: []string{server}}, WaitForNode: -1, Trace: &Trace{
		Resolved: func(resolver.State) { heard <- struct{}{} },
	}})
	<-heard
	err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
	mustContain(t, err, server, "is dnsd running there?")
}
