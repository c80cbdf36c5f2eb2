package rpcclient

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// TestTimeoutsSayWhichOneItWas, always in the same words: they have to be counted.
func TestTimeoutsSayWhichOneItWas(t *testing.T) {
	none := func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	ends := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 3*time.Second)
	}
	idempotent := []CallOption{Idempotent()}
	for name, tt := range map[string]struct {
		cfg  Config
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		opts []CallOption
		node func(net.Conn)
		want string
		took time.Duration
		is   error
	}{
		"Timeout":        {node: silent, ctx: none, want: "no answer within Config.Timeout", took: 10 * time.Second, is: context.DeadlineExceeded},
		"AttemptTimeout": {cfg: Config{Retry: RetryConfig{AttemptTimeout: time.Second, Max: -1}}, node: silent, ctx: none, want: "no answer within Config.Retry.AttemptTimeout", took: time.Second, is: context.DeadlineExceeded},
		"half":           {cfg: Config{Retry: RetryConfig{Max: -1}}, node: silent, ctx: none, opts: idempotent, want: "no answer within Config.Retry.AttemptTimeout", took: 5 * time.Second, is: context.DeadlineExceeded},
		"context":        {node: silent, ctx: ends, want: "context deadline exceeded", took: 3 * time.Second, is: context.DeadlineExceeded},
		"not written": {cfg: Config{Conn: ConnConfig{WriteTimeout: time.Hour, PingInterval: -1}, Timeout: 7 * time.Second}, ctx: none, node: func(nc net.Conn) {
			nc.Read(make([]byte, 1))
			<-time.After(time.Hour)
		}, want: "no answer within Config.Timeout", took: 7 * time.Second, is: context.DeadlineExceeded},
		"WaitForNode":        {ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connection refused", took: 5 * time.Second, is: ErrNoNodes},
		"Timeout, no node":   {cfg: Config{Timeout: time.Second}, ctx: none, want: "nothing within Config.Timeout: no usable node of 1 announced; a:1: connection refused", took: time.Second, is: context.DeadlineExceeded},
		"context, no node":   {ctx: ends, want: "context deadline exceeded: no usable node of 1 announced; a:1: connection refused", took: 3 * time.Second, is: context.DeadlineExceeded},
		"first ping":         {node: func(nc net.Conn) { io.Copy(io.Discard, nc) }, ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connected, but the first ping failed: no answer within Config.Conn.PingTimeout", took: 5 * time.Second, is: ErrNoNodes},
		"first ping goes on": {cfg: Config{Timeout: time.Second}, node: func(nc net.Conn) { io.Copy(io.Discard, nc) }, ctx: none, want: "nothing within Config.Timeout: no usable node of 1 announced; a:1: the first dial and its ping have not ended yet", took: time.Second, is: context.DeadlineExceeded},
		"first ping closed":  {node: func(nc net.Conn) { nc.Read(make([]byte, 4096)); nc.Close() }, ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connected, but the first ping failed: connection closed by the server", took: 5 * time.Second, is: ErrNoNodes},
	} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(2 * time.Hour) // the node ends what it is at
			f := newFakeNet(map[string]func(net.Conn){"a:1": tt.node})
			if tt.node == nil {
				delete(f.nodes, "a:1")
			}
			tt.cfg.Conn.PerNode = 1
			c := fakeClient(t, f, tt.cfg, "a:1")
			defer c.Close()
			ctx, cancel := tt.ctx(t.Context())
			defer cancel()
			begin := time.Now()
			err := c.Call(ctx, "Arith.Multiply", &Args{2, 3}, new(int), tt.opts...)
			if took := time.Since(begin); took != tt.took {
				t.Errorf("%s: took %v, want %v", name, took, tt.took)
			}
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, tt.is) {
				t.Fatalf("%s: %#v", name, err)
			}
			if !strings.HasPrefix(e.Err.Error(), tt.want) {
				t.Errorf("%s: error is %q, want %q", name, e.Err, tt.want)
			}
			if text := err.Error(); strings.Contains(text, "0s") || strings.Contains(text, "ms") {
				t.Errorf("%s: numbers: %v", name, text)
			}
		})
	}
}

// Dial's user gave no context, so that the setting is named that ended the wait.
func TestDialNamesTheLimitThatEndedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := Dial("_math._tcp.svc", &Config{
			Source: resolver.Static("a:1"), Timeout: 2 * time.Second,
			Conn: ConnConfig{Dial: func(context.Context, resolver.Endpoint) (net.Conn, error) { return nil, syscall.ECONNREFUSED }},
		})
		mustContain(t, err, "rpcclient: wait for _math._tcp.svc: nothing within Config.Timeout: no usable node of 1 announced; a:1: connection refused")
		if took := time.Since(began); took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoNodes) {
			t.Errorf("%v after %v", err, took)
		}
	})
}
