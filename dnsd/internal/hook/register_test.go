package hook_test

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/register"
)

// Package register with the real hook, over real sockets.

// dnsd is a registry with its hook.
type dnsd struct {
	*hook.Server
	registry *registry.Registry
	stop     func()
}

func startHook(t *testing.T, addr string) *dnsd {
	t.Helper()
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := hook.Listen(hook.Config{Addr: cmp.Or(addr, freeaddr.Take(1)[0].String()), Registry: r, Zone: "svc."})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	running.Go(func() { r.Run(ctx) })
	d := &dnsd{Server: s, registry: r}
	d.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		r.Close()
	})
	t.Cleanup(d.stop)
	return d
}

// instance is a listener with its registration.
func instance(t *testing.T) (net.Listener, uint16) {
	t.Helper()
	l, err := net.Listen("tcp", freeaddr.Take(1)[0].String()) // no other process gets it when it is closed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, uint16(l.Addr().(*net.TCPAddr).Port)
}

// states collects the states of a lease.
func states(cfg *register.Config) <-chan register.LeaseState {
	c := make(chan register.LeaseState, 100)
	cfg.OnChange = func(st register.Status) { c <- st.State }
	return c
}

func reach(t *testing.T, c <-chan register.LeaseState, want register.LeaseState) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case got := <-c:
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("never %v", want)
		}
	}
}

var key = registry.Key{Service: "_math._tcp", ID: "a1"}

func TestRealHookHoldsUpdatesAndDeregisters(t *testing.T) {
	d := startHook(t, "")
	_, port := instance(t)
	cfg := register.Config{
		Hooks: []string{d.URL()}, Service: "_math._tcp", ID: "a1",
		Registration: register.Registration{Port: port, Meta: map[string]string{"version": "1"}},
	}
	seen := states(&cfg)
	l, err := register.Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	in, ok := d.registry.Instance(key)
	if !ok || in.Port != port || in.Meta["version"] != "1" || in.Weight != 100 {
		t.Fatalf("published %v %+v", ok, in)
	}
	if p := l.Status().Published; p.RenewAfter != register.Duration(5*time.Second) || p.State != register.InstanceUp || p.Host != "127.0.0.1" {
		t.Errorf("answered %+v", p)
	}
	reach(t, seen, register.LeaseHeld)

	reg := l.Registration()
	reg.Weight = register.Uint16(7)
	if err := l.Update(t.Context(), reg); err != nil {
		t.Fatal(err)
	}
	if in, _ := d.registry.Instance(key); in.Weight != 7 {
		t.Errorf("weight %d", in.Weight)
	}
	reg.TTL = register.Duration(time.Hour)
	var p *register.Problem
	if err := l.Update(t.Context(), reg); !errors.As(err, &p) || p.Field != "ttl" {
		t.Errorf("a ttl above half the lease: %v", err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.registry.Instance(key); ok {
		t.Error("still registered")
	}
}

func TestRealHookIsFoundAgainAfterItLostEverything(t *testing.T) {
	d := startHook(t, "")
	_, port := instance(t)
	cfg := register.Config{Hooks: []string{d.URL()}, Service: "_math._tcp", ID: "a1", Registration: register.Registration{Port: port}}
	seen := states(&cfg)
	l, err := register.Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	reach(t, seen, register.LeaseHeld)
	addr := d.Addr().String()
	d.stop()
	reach(t, seen, register.LeaseRetrying)
	d = startHook(t, addr)
	reach(t, seen, register.LeaseHeld)
	if _, ok := d.registry.Instance(key); !ok {
		t.Error("not registered")
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRealHookTellsTheOldProcessThatItWasReplaced(t *testing.T) {
	d := startHook(t, "")
	_, port := instance(t)
	cfg := register.Config{Hooks: []string{d.URL()}, Service: "_math._tcp", ID: "a1", Registration: register.Registration{Port: port, Incarnation: 1}}
	seen := states(&cfg)
	old, err := register.Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	reach(t, seen, register.LeaseHeld)
	cfg.OnChange, cfg.Incarnation = nil, 2
	young, err := register.Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-old.Done() // because its hold ended: the next renewal is seconds away
	if !errors.Is(old.Err(), register.ErrReplaced) {
		t.Errorf("the old one: %v", old.Err())
	}
	if err := old.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if in, ok := d.registry.Instance(key); !ok || in.Incarnation != 2 {
		t.Error("the new one is not registered")
	}
	if err := young.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRealHookRemovesTheDeadAtOnce(t *testing.T) {
	d := startHook(t, "")
	listener, port := instance(t)
	w, err := d.registry.Watch("_math._tcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	// The process dies: its port refuses, its connections break.
	network := &mortal{}
	transport := &http.Transport{DialContext: network.dial}
	defer transport.CloseIdleConnections()
	cfg := register.Config{
		Hooks: []string{d.URL()}, Service: "_math._tcp", ID: "a1",
		Registration: register.Registration{Port: port, Lease: register.Duration(time.Hour)},
		HTTP:         &http.Client{Transport: transport},
	}
	seen := states(&cfg)
	l, err := register.Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	reach(t, seen, register.LeaseHeld)
	listener.Close()
	network.die()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	for {
		events, err := w.Next(ctx)
		if err != nil {
			t.Fatal("it is still there, with a lease of an hour:", err)
		}
		if last := events[len(events)-1]; last.New == nil {
			break
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(gone); err == nil {
		t.Error("a process without a network deregistered")
	}
}

// mortal has the connections of a process, which kill breaks.
type mortal struct {
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

func (m *mortal) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil, &net.OpError{Op: "dial", Err: errors.New("dead")}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		m.conns = append(m.conns, c)
	}
	return c, err
}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	for _, c := range m.conns {
		c.Close()
	}
}

// A process that starts with a clock that was set back is the newer one, whether
// the older is still registered or only remembered.
func TestRealHookTakesWhoStartsAfterTheClockWasSetBack(t *testing.T) {
	d := startHook(t, "")
	_, port := instance(t)
	ahead := uint64(time.Now().Add(time.Hour).UnixMilli())
	cfg := register.Config{Hooks: []string{d.URL()}, Service: "_math._tcp", ID: "a1", Registration: register.Registration{Port: port, Incarnation: ahead}}
	old, err := register.Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Incarnation = 0
	for i, before := range []*register.Lease{old, nil} {
		l, err := register.Keep(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if in, ok := d.registry.Instance(key); !ok || in.Incarnation != ahead+uint64(i)+1 {
			t.Fatalf("%d: registered %v %+v", i, ok, in.Instance)
		}
		if before != nil {
			<-before.Done()
			if !errors.Is(before.Err(), register.ErrReplaced) {
				t.Errorf("the one before: %v", before.Err())
			}
			if err := before.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := l.Close(t.Context()); err != nil { // fenced from here on
			t.Fatal(err)
		}
	}
}
