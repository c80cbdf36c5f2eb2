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

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/resolver"
)

// TestDeadlinesGiveTheEarliestFirst whatever came and went before.
func TestDeadlinesGiveTheEarliestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d deadlines
		in := make(map[*call]bool)
		var made []*call
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if len(in) == 0 || rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				cl := &call{deadline: time.Duration(rapid.IntRange(1, 50).Draw(t, "deadline"))}
				d.add(cl)
				in[cl], made = true, append(made, cl)
			} else if cl := made[rapid.IntRange(0, len(made)-1).Draw(t, "which")]; in[cl] {
				d.remove(cl)
				delete(in, cl)
			}
			if len(d) != len(in) {
				t.Fatalf("%d in the heap, want %d", len(d), len(in))
			}
			for i, cl := range d {
				if cl.slot != i+1 || !in[cl] {
					t.Fatalf("slot %d holds one of slot %d", i+1, cl.slot)
				}
			}
		}
		last := time.Duration(0)
		for len(d) > 0 {
			cl := d[0]
			if cl.deadline < last {
				t.Fatalf("%v after %v", cl.deadline, last)
			}
			last = cl.deadline
			d.remove(cl)
			if cl.slot != 0 {
				t.Fatal("it keeps its slot")
			}
		}
	})
}

// TestTimeoutsSayWhichOneItWas, always in the same words: they have to be counted.
func TestTimeoutsSayWhichOneItWas(t *testing.T) {
	none := func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	ends := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 3*time.Second)
	}
	idempotent := []CallOption{Idempotent(0)}
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
		"AttemptTimeout": {cfg: Config{AttemptTimeout: time.Second, Retries: -1}, node: silent, ctx: none, want: "no answer within Config.AttemptTimeout", took: time.Second, is: context.DeadlineExceeded},
		"half":           {cfg: Config{Retries: -1}, node: silent, ctx: none, opts: idempotent, want: "no answer within Config.AttemptTimeout", took: 5 * time.Second, is: context.DeadlineExceeded},
		"context":        {node: silent, ctx: ends, want: "context deadline exceeded", took: 3 * time.Second, is: context.DeadlineExceeded},
		"not written": {cfg: Config{WriteTimeout: time.Hour, PingInterval: -1, Timeout: 7 * time.Second}, ctx: none, node: func(nc net.Conn) {
			nc.Read(make([]byte, 1))
			<-time.After(time.Hour)
		}, want: "no answer within Config.Timeout", took: 7 * time.Second, is: context.DeadlineExceeded},
		"WaitForNode":        {ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connection refused", took: 5 * time.Second, is: ErrNoNodes},
		"Timeout, no node":   {cfg: Config{Timeout: time.Second}, ctx: none, want: "nothing within Config.Timeout: no usable node of 1 announced; a:1: connection refused", took: time.Second, is: context.DeadlineExceeded},
		"context, no node":   {ctx: ends, want: "context deadline exceeded: no usable node of 1 announced; a:1: connection refused", took: 3 * time.Second, is: context.DeadlineExceeded},
		"first ping":         {node: func(nc net.Conn) { io.Copy(io.Discard, nc) }, ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connected, but the first ping failed: no answer within Config.PingTimeout", took: 5 * time.Second, is: ErrNoNodes},
		"first ping goes on": {cfg: Config{Timeout: time.Second}, node: func(nc net.Conn) { io.Copy(io.Discard, nc) }, ctx: none, want: "nothing within Config.Timeout: no usable node of 1 announced; a:1: the first dial and its ping have not ended yet", took: time.Second, is: context.DeadlineExceeded},
		"first ping closed":  {node: func(nc net.Conn) { nc.Read(make([]byte, 4096)); nc.Close() }, ctx: none, want: "nothing within Config.WaitForNode: no usable node of 1 announced; a:1: connected, but the first ping failed: connection closed by the server", took: 5 * time.Second, is: ErrNoNodes},
	} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(2 * time.Hour) // the node ends what it is at
			f := newFakeNet(map[string]func(net.Conn){"a:1": tt.node})
			if tt.node == nil {
				delete(f.nodes, "a:1")
			}
			tt.cfg.ConnsPerNode = 1
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

// stuck is a connection whose writes do not come back, not even when it is closed.
type stuck struct {
	net.Conn
	free chan struct{}
}

func (s *stuck) Write([]byte) (int, error) {
	<-s.free
	return 0, net.ErrClosed
}

// TestDeadlinesHoldThoughAWriteDoesNotComeBack: the connection has ended, and nobody can
// say yet what was written; the calls do not wait for that.
func TestDeadlinesHoldThoughAWriteDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		s := &stuck{ours, make(chan struct{})}
		owner := &recorder{dead: make(chan struct{}, 1)}
		c := newConn(s, testSettings(), owner, func(r io.ReadWriteCloser) wire { return newGobWire(r, 1<<20, newGobTypes()) })
		timed := &call{method: "A.B", args: 1, done: make(chan struct{}, 1), start: c.now(), deadline: c.now() + time.Second}
		endless := &call{method: "A.B", args: 2, done: make(chan struct{}, 1), start: c.now()}
		for _, cl := range []*call{timed, endless} {
			if err := c.send(t.Context(), cl); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		c.fail(errPeerClosed)
		begin := time.Now()
		<-timed.done
		if took := time.Since(begin); took != time.Second || timed.exec != Maybe || !errors.Is(timed.err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v, %v", took, timed.exec, timed.err)
		}
		if len(endless.done) > 0 || len(owner.dead) > 0 {
			t.Error("settled before the write has come back")
		}
		close(s.free)
		<-endless.done
		if endless.exec != Never || !errors.Is(endless.err, errNotWritten) {
			t.Errorf("of what was not written: %v, %v", endless.exec, endless.err)
		}
		c.wait()
		<-owner.dead
	})
}

// Dial's user gave no context, so that the setting is named that ended the wait.
func TestDialNamesTheLimitThatEndedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := Dial("_math._tcp.svc", &Config{
			Source: resolver.Static("a:1"), Timeout: 2 * time.Second,
			Dial: func(context.Context, resolver.Endpoint) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
		})
		mustContain(t, err, "rpcclient: wait for _math._tcp.svc: nothing within Config.Timeout: no usable node of 1 announced; a:1: connection refused")
		if took := time.Since(began); took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoNodes) {
			t.Errorf("%v after %v", err, took)
		}
	})
}
