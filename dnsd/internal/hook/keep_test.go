package hook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// pair are the hooks of two dnsd that share a registry, in memory.
type pair struct {
	*hook
	other  *Server
	writer *remote // of both
	client *http.Client
}

// fakePair is fake with two hooks.
func fakePair(t *testing.T, f func(t *testing.T, p *pair)) {
	fake(t, func(_ *Config, r *registry.Config) {
		r.Probe = func(context.Context, string) error { return nil }
	}, func(t *testing.T, h *hook) {
		p := &pair{hook: h, writer: h.follows(&remote{})}
		second := newPipes()
		var err error
		if p.other, err = newServer(second, h.cfg); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- p.other.Run(context.Background()) }()
		first := h.client.Transport.(*http.Transport).DialContext
		transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "127.0.0.2:8053" {
				return second.dial(ctx, network, addr)
			}
			return first(ctx, network, addr)
		}}
		p.client = &http.Client{Transport: transport}
		defer func() {
			transport.CloseIdleConnections()
			p.other.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		f(t, p)
	})
}

// keep keeps a1 registered at both hooks, and notes what its program is told.
func (p *pair) keep(t *testing.T, noHold bool) (lease *register.Lease, told func() []register.LeaseState) {
	t.Helper()
	var mu sync.Mutex
	var states []register.LeaseState
	lease, err := register.Keep(t.Context(), register.Config{
		Hooks: []string{p.hook.URL(), "http://127.0.0.2:8053"}, Service: "_math._tcp", ID: "a1",
		Registration: register.Registration{Port: 1, Host: "127.0.0.1"},
		HTTP:         p.client, NoHold: noHold,
		OnChange: func(st register.Status) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, st.State)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return lease, func() []register.LeaseState {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(states)
	}
}

// The writer dies, and after the session of 5 s and the election there is another one: the
// lease stays, and so does the hold.
func TestKeepHardlyNoticesAChangeOfWriter(t *testing.T) {
	for name, w := range noWriters() {
		t.Run(name, func(t *testing.T) {
			fakePair(t, func(t *testing.T, p *pair) {
				lease, told := p.keep(t, false)
				time.Sleep(time.Minute)
				p.writer.mu.Lock()
				p.writer.hangs = w.hangs
				p.writer.mu.Unlock()
				p.writer.fails(w.err)
				time.Sleep(7 * time.Second)
				p.writer.fails(nil)
				time.Sleep(5 * time.Second)
				if in, ok := p.registry.Instance(keyA1); !ok || in.State != registry.Up || in.ExpiresIn < 10*time.Second {
					t.Errorf("registered %v, %v, for %v", ok, in.State, in.ExpiresIn)
				}
				time.Sleep(time.Minute)
				st := lease.Status()
				if st.State != register.LeaseHeld || st.Registrations > 2 || slices.Contains(told(), register.LeaseRetrying) {
					t.Errorf("%+v; told of %v", st, told())
				}
				if err := lease.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// One of two dnsd stops, or does not reach the writer: the lease goes to the other before it
// ends.
func TestKeepGoesToTheOtherDnsd(t *testing.T) {
	for _, noHold := range []bool{false, true} {
		for name, w := range noWriters() {
			t.Run(fmt.Sprintf("%s, no hold: %v", name, noHold), func(t *testing.T) {
				fakePair(t, func(t *testing.T, p *pair) {
					lease, told := p.keep(t, noHold)
					time.Sleep(time.Minute)
					cut := &remote{Registry: p.registry, hangs: w.hangs, err: w.err}
					cfg := p.cfg
					cfg.Writer = cut
					if err := p.Update(cfg); err != nil {
						t.Fatal(err)
					}
					for range 60 {
						time.Sleep(time.Second)
						if in, ok := p.registry.Instance(keyA1); !ok || in.State != registry.Up {
							t.Fatalf("registered %v, %v", ok, in.State)
						}
					}
					if st := lease.Status(); st.Hook != "http://127.0.0.2:8053" || st.Err != nil || slices.Contains(told(), register.LeaseRetrying) {
						t.Errorf("%+v; told of %v", st, told())
					}
					if n := p.holds.count(); n != 0 {
						t.Errorf("%d holds at the first dnsd", n)
					}
					if err := lease.Close(context.Background()); err != nil {
						t.Error(err)
					}
					if _, ok := p.registry.Instance(keyA1); ok {
						t.Error("still registered")
					}
				})
			})
		}
	}
}

// A receipt of another dnsd may lack the instance.
func TestHoldNeedsNoInstanceInTheReceiptOfARenewal(t *testing.T) {
	fake(t, nil, func(t *testing.T, h *hook) {
		h.follows(&remote{bare: true})
		s := h.stream("POST", a1+"/hold", `{"port":1}`)
		s.next()
		for range 3 {
			if e, ok := s.block(); !ok || e.comment != "renewed" {
				t.Fatalf("%+v", e)
			}
		}
	})
}
