package limit

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// script is a listener that fails or takes a connection as its script says, and is
// closed at the end of it.
type script struct{ steps []error }

func (s *script) Accept() (net.Conn, error) {
	if len(s.steps) == 0 {
		return nil, net.ErrClosed
	}
	err := s.steps[0]
	s.steps = s.steps[1:]
	if err != nil {
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	c, _ := net.Pipe()
	return c, nil
}
func (s *script) Close() error   { return nil }
func (s *script) Addr() net.Addr { return &net.TCPAddr{} }

// TestAcceptWaitsLongerAfterEachFailure until a connection is taken.
func TestAcceptWaitsLongerAfterEachFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := error(syscall.EMFILE)
		var at []time.Duration
		begin, taken := time.Now(), 0
		err := Accept(t.Context(), &script{[]error{full, full, full, nil, full, full}},
			func(c net.Conn) { taken++; c.Close() },
			func(err error) {
				if !errors.Is(err, full) {
					t.Errorf("failed with %v", err)
				}
				at = append(at, time.Since(begin).Round(time.Millisecond))
			})
		if !errors.Is(err, net.ErrClosed) || taken != 1 {
			t.Errorf("%d connections, then %v; want 1 and %v", taken, err, net.ErrClosed)
		}
		want := []time.Duration{0, 5, 15, 35, 40} // milliseconds
		for i := range want {
			want[i] *= time.Millisecond
		}
		if len(at) != len(want) {
			t.Fatalf("failures at %v, want at %v", at, want)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Fatalf("failures at %v, want at %v", at, want)
			}
		}
	})
}

// TestAcceptEndsWithItsContext, also during a pause, and pauses for a second at most.
func TestAcceptEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		failures := 0
		steps := make([]error, 10_000)
		for i := range steps {
			steps[i] = syscall.EMFILE
		}
		if err := Accept(ctx, &script{steps}, func(net.Conn) {}, func(error) { failures++ }); err != nil {
			t.Errorf("Accept after the end of its context: %v", err)
		}
		if failures < 3600 || failures > 3700 {
			t.Errorf("%d failures in an hour", failures)
		}
	})
}
