package rpcclient

import (
	"errors"
	"net"
	"net/rpc"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnAnswerIsNeverTriedAgainWhateverItSays: the error of a method may have the text that
// net/rpc has for a method that it does not know.
func TestAnAnswerIsNeverTriedAgainWhateverItSays(t *testing.T) {
	const method = "Upstream.Ask"
	for _, text := range []string{
		"rpc: can't find method " + method,
		"rpc: can't find service " + method,
		"rpc: service/method request ill-formed: " + method,
	} {
		first, second := passOn{text: text}, passOn{text: text}
		a, b := startStock(t, ""), startStock(t, "")
		a.rpc.RegisterName("Upstream", &first)
		b.rpc.RegisterName("Upstream", &second)
		c := newClient(t, Config{}, a.addr, b.addr)
		allUp(t, c, 2)
		err := c.Call(t.Context(), method, &Args{}, nil, Idempotent())
		var call *Error
		var server rpc.ServerError
		if !errors.As(err, &server) || string(server) != text || !errors.As(err, &call) || call.Executed != ExecutedYes || len(call.Attempts) != 1 {
			t.Errorf("%v (%#v)", err, err)
		}
		if n := first.executed.Load() + second.executed.Load(); n != 1 {
			t.Errorf("%s: executed %d times", text, n)
		}
	}
}

// passOn answers with the error of another server.
type passOn struct {
	text     string
	executed atomic.Int32
}

func (p *passOn) Ask(*Args, *int) error {
	p.executed.Add(1)
	return errors.New(p.text)
}

func TestRetriesStayWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"hung:1": silent, "hung:2": silent, "hung:3": silent})
		c := fakeClient(t, f, Config{Retry: RetryConfig{AttemptTimeout: 50 * time.Millisecond}}, "hung:1", "hung:2", "hung:3")
		defer c.Close()
		ready(t, c)
		const calls = 2000
		begin := time.Now()
		over := 0
		for range calls {
			err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), Idempotent())
			var e *Error
			if !errors.As(err, &e) || e.Executed != ExecutedMaybe {
				t.Fatal(err)
			}
			if errors.Is(err, ErrOverBudget) {
				over++
			}
		}
		s := c.Stats()
		// The floor is 3 a second, and 30 of them can be spent at once.
		limit := calls/10 + 3*uint64(time.Since(begin)/time.Second) + 30
		if extra := s.Attempts - calls; extra > limit || extra < limit/2 {
			t.Errorf("%d extra attempts for %d calls in %v, want up to %d", extra, calls, time.Since(begin), limit)
		}
		if over == 0 {
			t.Error("no call says ErrOverBudget")
		}
	})
}
