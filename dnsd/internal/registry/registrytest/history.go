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
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// model: random histories, judged at every step.
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

// start runs the registry. What comes next happens after its clock began.
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

func (h *history) actions() map[string]func(*rapid.T) {
	acts := map[string]func(*rapid.T){
		"": h.check,
		"register": func(rt *rapid.T) {
			in := drawRegistration(rt)
			h.write(rt, "register "+in.String(), h.model.register(in), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Register(ctx, in)
			})
		},
		"renew": func(rt *rapid.T) {
			k, inc := drawKey(rt), rapid.Uint64Range(0, 3).Draw(rt, "incarnation")
			h.write(rt, "renew "+k.String(), h.model.renew(k, inc), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Renew(ctx, k, inc)
			})
		},
		"renewAll": func(rt *rapid.T) {
			all := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) registry.Renewal {
				return registry.Renewal{Key: drawKey(rt), Incarnation: rapid.Uint64Range(0, 3).Draw(rt, "incarnation")}
			}), 0, 12).Draw(rt, "renewals")
			done, err := h.r.RenewAll(context.Background(), all)
			var wantUnknown, wantReplaced []registry.Key
			for _, n := range all {
				switch h.model.renew(n.Key, n.Incarnation) {
				case notFound:
					wantUnknown = append(wantUnknown, n.Key)
				case fenced:
					wantReplaced = append(wantReplaced, n.Key)
				}
			}
			// Suspects among them have their turn after those that are quick.
			for _, keys := range [][]registry.Key{done.Unknown, done.Replaced, wantUnknown, wantReplaced} {
				slices.SortFunc(keys, registry.Key.Compare)
			}
			if err != nil || !slices.Equal(done.Unknown, wantUnknown) || !slices.Equal(done.Replaced, wantReplaced) {
				rt.Fatalf("RenewAll(%v) = %+v, %v; want %v, %v", all, done, err, wantUnknown, wantReplaced)
			}
			if n := len(all) - len(wantUnknown) - len(wantReplaced); done.Count != n || (done.Did == registry.Nothing) != (n == 0) || done.Revision != h.model.revision {
				rt.Fatalf("RenewAll(%v) = %+v; want %d renewed, at revision %d", all, done, n, h.model.revision)
			}
		},
		"deregister": func(rt *rapid.T) {
			k := drawKey(rt)
			inc := rapid.Ptr(rapid.Uint64Range(0, 3), true).Draw(rt, "incarnation")
			h.write(rt, "deregister "+k.String(), h.model.deregister(k, inc), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Deregister(ctx, k, inc)
			})
		},
		"drain": func(rt *rapid.T) {
			k, sticky := drawKey(rt), rapid.Bool().Draw(rt, "sticky")
			h.write(rt, "drain "+k.String(), h.model.drain(k, sticky), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Drain(ctx, k, sticky)
			})
		},
		"undrain": func(rt *rapid.T) {
			k := drawKey(rt)
			h.write(rt, "undrain "+k.String(), h.model.undrain(k), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Undrain(ctx, k)
			})
		},
		"unfence": func(rt *rapid.T) {
			k := drawKey(rt)
			h.write(rt, "unfence "+k.String(), h.model.unfence(k), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Unfence(ctx, k)
			})
		},
		"connectionLost": func(rt *rapid.T) {
			k, inc := drawKey(rt), rapid.Uint64Range(0, 3).Draw(rt, "incarnation")
			// It asks again and again for half a second, while all else goes on.
			go h.r.ConnectionLost(context.Background(), k, inc)
			synctest.Wait() // the first verdict is there
			h.model.connectionLost(k, inc)
			h.wait(int(time.Second / tick)) // so is the last
		},
		"refuse": func(rt *rapid.T) {
			in := drawRegistration(rt)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refusing[in.HostPort()] = !h.refusing[in.HostPort()]
		},
		"diskFull": func(rt *rapid.T) {
			h.disk.set(registry.ErrNoSpace)
			h.model.diskFull = true
		},
		"diskHasSpace": func(rt *rapid.T) {
			if !h.model.diskFull {
				rt.Skip("it has")
			}
			h.disk.set(nil)
			h.wait(int(31 * time.Second / tick)) // the longest pause of trying again
			h.model.heal()
			if err := h.r.Sick(); err != nil || h.r.Stats().Unstored != 0 {
				rt.Fatalf("there is space, and it is still sick: %v, %d changes unstored", err, h.r.Stats().Unstored)
			}
		},
		"release": func(rt *rapid.T) {
			service := rapid.SampledFrom([]string{"", "_math._tcp", "_math-2._tcp"}).Draw(rt, "service")
			n := h.model.release(service)
			if done := h.r.ReleaseGuard(service); done.Count != n || (done.Did == registry.Released) != (n > 0) || done.Revision != h.model.revision {
				rt.Fatalf("ReleaseGuard(%q) = %+v; want %d released at revision %d", service, done, n, h.model.revision)
			}
		},
		"wait": func(rt *rapid.T) {
			h.wait(rapid.IntRange(1, 100).Draw(rt, "ticks"))
		},
		"waitLong": func(rt *rapid.T) {
			h.wait(rapid.IntRange(100, 1000).Draw(rt, "ticks"))
		},
		"stall": func(rt *rapid.T) {
			h.pause()
			time.Sleep(time.Duration(rapid.IntRange(1, 3600).Draw(rt, "seconds")) * time.Second)
			h.start()
			h.wait(1) // the clock finds out, and goes on as if nothing had been
		},
	}
	if !h.suite.Volatile {
		acts["restart"] = func(rt *rapid.T) {
			h.stop()
			h.model.heal() // at the latest when it is closed
			time.Sleep(time.Duration(rapid.IntRange(0, 3600).Draw(rt, "seconds")) * time.Second)
			h.open()
			if h.model.revision > 0 && h.r.Revision() <= h.model.revision {
				rt.Fatalf("begins at revision %d, %d was given out", h.r.Revision(), h.model.revision)
			}
			h.model.restart(h.r.Revision())
		}
	}
	return acts
}

func (h *history) wait(ticks int) {
	for range ticks {
		time.Sleep(tick)
		synctest.Wait()
		h.model.tick()
	}
}

// check compares everything that can be seen.
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
			states[l.State]++
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

func drawRegistration(rt *rapid.T) registry.Instance {
	k := drawKey(rt)
	return registry.Instance{
		Key:      k,
		Host:     fmt.Sprintf("10.0.%d.%d", len(k.Service), k.ID[0]),
		Port:     rapid.Uint16Range(8080, 8081).Draw(rt, "port"),
		Priority: 10, Weight: rapid.Uint16Range(100, 101).Draw(rt, "weight"),
		TTL:         time.Second,
		Lease:       rapid.SampledFrom([]time.Duration{3 * time.Second, 10 * time.Second, 15 * time.Second}).Draw(rt, "lease"),
		Incarnation: rapid.Uint64Range(0, 3).Draw(rt, "incarnation"),
	}
}

// write does something to the registry, and holds the answer and the receipt to what
// the model says and to what changed.
func (h *history) write(rt *rapid.T, what string, want answer, do func(context.Context) (registry.Receipt, error)) {
	before := h.r.Revision()
	done, err := do(context.Background())
	got := answerOf(rt, err)
	if got == ok && done.Did == registry.Created {
		got = created
	}
	if got != want {
		rt.Fatalf("%s: answer %d, want %d", what, got, want)
	}
	after := h.r.Revision()
	fits := false
	switch done.Did {
	case registry.Created, registry.Changed:
		fits = before < done.Revision && done.Revision <= after && done.Revision == done.Instance.Revision
	case registry.Removed:
		fits = before < done.Revision && done.Revision <= after && done.Instance.Revision <= before
	case registry.Renewed:
		fits = before == after && done.Revision == done.Instance.Revision && done.ExpiresIn == done.Instance.Lease
	case registry.Forgotten:
		fits = before == after && done.Revision == after && done.Instance == nil
	case registry.Nothing:
		fits = before == after && (err != nil || done.Revision == done.Instance.Revision)
	}
	if !fits {
		rt.Fatalf("%s: receipt %+v, %v; the registry was at revision %d and is at %d", what, done, err, before, after)
	}
	if standing, ok := h.r.Instance(keyOf(done)); ok && done.Did != registry.Removed && standing.ExpiresIn != done.ExpiresIn {
		rt.Fatalf("%s: the receipt says %v are left of the lease, the registry %v", what, done.ExpiresIn, standing.ExpiresIn)
	}
}

func keyOf(done registry.Receipt) registry.Key {
	if done.Instance == nil {
		return registry.Key{}
	}
	return done.Instance.Key
}

func answerOf(rt *rapid.T, err error) answer {
	var f *registry.FencedError
	switch {
	case err == nil:
		return ok
	case errors.Is(err, registry.ErrNotFound):
		return notFound
	case errors.As(err, &f):
		return fenced
	case errors.Is(err, registry.ErrFull):
		return full
	case errors.Is(err, registry.ErrNoSpace):
		return noSpace
	}
	rt.Fatal(err)
	return ok
}
