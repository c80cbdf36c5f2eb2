package rpcclient

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// hookLog is a log handler that runs a function for each record.
type hookLog func(slog.Record)

func (h hookLog) Enabled(context.Context, slog.Level) bool { return true }
func (h hookLog) Handle(_ context.Context, r slog.Record) error {
	h(r)
	return nil
}
func (h hookLog) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h hookLog) WithGroup(string) slog.Handler      { return h }

// userCode is a client whose hooks, Logger, Dial, Policy and Source call f.
func userCode(t *testing.T, f func(where string, c *Client)) *Client {
	fn := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Arith{}), "b:1": stock(&Arith{})})
	ready := make(chan struct{})
	var c *Client
	do := func(where string) {
		<-ready
		f(where, c)
	}
	cfg := Config{
		Trace: &Trace{
			Resolved:     func(resolver.State) { do("Resolved") },
			Connected:    func(string) { do("Connected") },
			Disconnected: func(string, error) { do("Disconnected") },
		},
		Logger: slog.New(hookLog(func(slog.Record) { do("Logger") })),
		Conn: ConnConfig{Dial: func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
			do("Dial")
			return fn.dial(ctx, ep)
		}},
		Source: sourceFunc(func(yield func(resolver.State) bool, ctx context.Context) {
			do("Source")
			if yield(resolver.State{Endpoints: []resolver.Endpoint{{Addr: "a:1"}, {Addr: "b:1"}, {Addr: "dead:1"}}, Confirmed: time.Now(), TTL: time.Second}) {
				<-ctx.Done()
			}
		}),
	}
	var err error
	if c, err = New("_math._tcp.svc", &cfg); err != nil {
		t.Fatal(err)
	}
	close(ready)
	return c
}

func TestUserCodeMayCallBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := map[string]bool{}
		c := userCode(t, func(where string, c *Client) {
			mu.Lock()
			seen[where] = true
			mu.Unlock()
			c.Stats()
			c.page(time.Now())
			if where != "Dial" && where != "Source" { // a call within them would wait for them
				c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
			}
		})
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		c.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, where := range []string{"Resolved", "Connected", "Disconnected", "Logger", "Dial", "Source"} {
			if !seen[where] {
				t.Error(where, "was not called")
			}
		}
	})
}

func TestUserCodeMayClose(t *testing.T) {
	for _, place := range []string{"Resolved", "Connected", "Disconnected", "Logger", "Dial", "Source"} {
		synctest.Test(t, func(t *testing.T) {
			closed := make(chan struct{})
			var once sync.Once
			userCode(t, func(where string, c *Client) {
				if where == place {
					c.Close()
					once.Do(func() { close(closed) })
				}
			})
			select {
			case <-closed:
			case <-time.After(time.Minute):
				t.Errorf("Close within %s does not return", place)
			}
		})
	}
}

func TestUserCodeMayPanic(t *testing.T) {
	for _, place := range []string{"Resolved", "Connected", "Disconnected", "Logger"} {
		synctest.Test(t, func(t *testing.T) {
			c := userCode(t, func(where string, _ *Client) {
				if where == place {
					panic(where)
				}
			})
			defer c.Close()
			if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
				t.Error(place, err)
			}
			time.Sleep(10 * time.Second)
		})
	}
}

// TestUserCodeMayEndItsGoroutine: what comes after it is heard.
func TestUserCodeMayEndItsGoroutine(t *testing.T) {
	e := events{log: slog.New(slog.DiscardHandler)}
	e.tell(runtime.Goexit)
	e.tell(func() { e.guard("Logger", runtime.Goexit) })
	heard := make(chan struct{})
	e.tell(func() { close(heard) })
	<-heard
}

func TestPanicInDialIsAFailedDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New("_math._tcp.svc", &Config{
			Source: announce("a:1"), WaitForNode: time.Second,
			Conn: ConnConfig{Dial: func(context.Context, resolver.Endpoint) (net.Conn, error) { panic("no") }},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
		mustContain(t, err, "a:1", "panic in Config.Conn.Dial: no")
	})
}

func TestDialThatForgetsItsContextHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := make(chan struct{})
		var closed atomic.Bool
		c, err := New("_math._tcp.svc", &Config{
			Source: announce("a:1"), WaitForNode: time.Second,
			Conn: ConnConfig{Dial: func(context.Context, resolver.Endpoint) (net.Conn, error) {
				<-late
				ours, _ := net.Pipe()
				return closeNote{ours, &closed}, nil
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int))
		begin := time.Now()
		c.Close()
		if took := time.Since(begin); took > userGrace {
			t.Errorf("Close took %v", took)
		}
		close(late)
		synctest.Wait()
		if !closed.Load() {
			t.Error("the late connection was not closed")
		}
	})
}

type closeNote struct {
	net.Conn
	closed *atomic.Bool
}

func (c closeNote) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func TestPanicInThePolicyLeavesTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Arith{})})
		c := fakeClient(t, f, Config{Policy: func([]*balancer.Node) balancer.Picker { panic("no") }}, "a:1")
		defer c.Close()
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
			t.Error(err)
		}
	})
}

func TestHookThatBlocksCostsBoundedMemoryAndNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){"a:1": stock(&Arith{})})
		block := make(chan struct{})
		const states = 3 * maxEvents
		sent := 0
		c := fakeClient(t, f, Config{
			Trace: &Trace{Resolved: func(resolver.State) { <-block }},
			Source: sourceFunc(func(yield func(resolver.State) bool, ctx context.Context) {
				for sent < states && yield(resolver.State{Endpoints: []resolver.Endpoint{{Addr: "a:1"}}, Confirmed: time.Now(), TTL: time.Second}) {
					sent++
				}
				<-ctx.Done()
			}),
		})
		synctest.Wait()
		if sent != states {
			t.Errorf("the Source could tell %d of %d states", sent, states)
		}
		c.events.mu.Lock()
		if n := len(c.events.queue); n == 0 || n > maxEvents {
			t.Errorf("%d events are queued, not 1 to %d", n, maxEvents)
		}
		c.events.mu.Unlock()
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int)); err != nil {
			t.Error(err)
		}
		c.Close()
		close(block)
	})
}
