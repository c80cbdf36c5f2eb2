package registrytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// model runs random histories, and compares the registry with the model at every step.
func (s Suite) model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store := s.Fresh(t)
		rapid.SyncTest(rt, func(rt *rapid.T) {
			h := newHistory(s, rt, store)
			defer h.stop()
			rt.Repeat(h.actions())
		})
	})
}

// history drives a registry and the model with the same steps.
type history struct {
	suite  Suite
	rt     *rapid.T
	store  Store
	disk   *failing
	model  *model
	r      *registry.Registry
	mirror *Mirror
	halt   context.CancelFunc
	run    sync.WaitGroup

	mu       sync.Mutex
	refusing map[string]bool // guarded by mu
}

func newHistory(s Suite, rt *rapid.T, store Store) *history {
	h := &history{suite: s, rt: rt, store: store, refusing: map[string]bool{}}
	h.model = newModel(h.refuses)
	h.open()
	return h
}

func (h *history) open() {
	cfg := modelConfig()
	h.disk = &failing{Backend: h.suite.open(h.rt, h.store)}
	cfg.Backend = h.disk
	cfg.Probe = func(_ context.Context, hostport string) error {
		if h.refuses(hostport) {
			return fmt.Errorf("dial %s: %w", hostport, syscall.ECONNREFUSED)
		}
		return errors.New("no route to host")
	}
	r, err := registry.Open(cfg)
	if err != nil {
		h.rt.Fatal(err)
	}
	h.r, h.mirror = r, &Mirror{TB: h.rt}
	r.Attach(h.mirror)
	h.start()
}

// start runs the registry, and returns when its clock has begun.
func (h *history) start() {
	ctx, halt := context.WithCancel(context.Background())
	h.halt = halt
	r := h.r
	h.run.Go(func() {
		if err := r.Run(ctx); err != nil {
			h.rt.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
}

func (h *history) pause() {
	h.halt()
	h.run.Wait()
}

func (h *history) stop() {
	h.pause()
	h.disk.set(nil)
	if err := h.r.Close(); err != nil {
		h.rt.Errorf("Close: %v", err)
	}
}

func (h *history) refuses(hostport string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refusing[hostport]
}

// check compares everything that the registry shows with the model.
func (h *history) check(rt *rapid.T) {
	m := h.model
	if h.r.Revision() != m.revision || h.mirror.Revision() != m.revision {
		rt.Fatalf("revision %d, sinks at %d, want %d", h.r.Revision(), h.mirror.Revision(), m.revision)
	}
	revision, views := h.r.Services()
	if revision != m.revision {
		rt.Fatalf("Services at %d, want %d", revision, m.revision)
	}
	told := h.mirror.Instances()
	seen, last := 0, ""
	states := map[registry.State]int{}
	for v := range views {
		if v.Service <= last || len(v.Instances) == 0 {
			rt.Fatalf("Services: %q with %d instances after %q", v.Service, len(v.Instances), last)
		}
		last = v.Service
		for _, l := range v.Instances {
			want := m.leases[l.Key]
			if want == nil {
				rt.Fatalf("%v is registered and should not be", l.Key)
			}
			if !sameInstance(*l.Instance, want.Instance) {
				rt.Fatalf("is   %#v\nwant %#v", *l.Instance, want.Instance)
			}
			if left := min(max(want.deadline-m.now, 0), want.Lease); l.ExpiresIn != left {
				rt.Fatalf("%v expires in %v, want %v", l.Key, l.ExpiresIn, left)
			}
			t := told[l.Key]
			if t == nil || t.Revision != l.Revision {
				rt.Fatalf("sinks were told %+v, it is %+v", t, l)
			}
			tp, tok := t.Published()
			if p, ok := l.Published(); p != tp || ok != tok {
				rt.Fatalf("sinks were told to publish %v at %d, it is at %d", l.Key, tp, p)
			}
			states[l.Shown()]++
			seen++
		}
	}
	st := h.r.Stats()
	if seen != len(m.leases) || len(told) != seen || st.Instances != seen ||
		st.Up != states[registry.Up] || st.Unconfirmed != states[registry.Unconfirmed] ||
		st.Suspect != states[registry.Suspect] || st.Drained != states[registry.Drained] {
		rt.Fatalf("%d of %d instances seen, %d in sinks, stats %+v, states %v, want %v",
			seen, len(m.leases), len(told), st, states, slices.Collect(maps.Keys(m.leases)))
	}
}

// Tests: suite_test.go.
