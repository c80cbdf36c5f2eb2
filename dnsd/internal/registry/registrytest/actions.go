package registrytest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// actions are the steps of a history, by name. Each one does the same to the registry
// and to the model.
func (h *history) actions() map[string]func(*rapid.T) {
	acts := map[string]func(*rapid.T){"": h.check}
	maps.Copy(acts, h.requests())
	maps.Copy(acts, h.faults())
	maps.Copy(acts, h.times())
	return acts
}

// requests are the writes of clients and operators.
func (h *history) requests() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"register": func(rt *rapid.T) {
			in := drawRegistration(rt)
			h.write(rt, "register "+in.String(), h.model.register(in), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Register(ctx, in)
			})
		},
		"renew": func(rt *rapid.T) {
			k, inc := drawKey(rt), drawIncarnation(rt)
			h.write(rt, "renew "+k.String(), h.model.renew(k, inc), func(ctx context.Context) (registry.Receipt, error) {
				return h.r.Renew(ctx, k, inc)
			})
		},
		"renewAll": h.renewAll,
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
		"release": func(rt *rapid.T) {
			service := rapid.SampledFrom([]string{"", "_math._tcp", "_math-2._tcp"}).Draw(rt, "service")
			n := h.model.release(service)
			if done, err := h.r.ReleaseGuard(context.Background(), service); err != nil || done.Count != n || (done.Did == registry.Released) != (n > 0) || done.Revision != h.model.revision {
				rt.Fatalf("ReleaseGuard(%q) = %+v, %v; want %d released at revision %d", service, done, err, n, h.model.revision)
			}
		},
	}
}

func (h *history) renewAll(rt *rapid.T) {
	all := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) registry.Renewal {
		return registry.Renewal{Key: drawKey(rt), Incarnation: drawIncarnation(rt)}
	}), 0, 12).Draw(rt, "renewals")
	done, err := h.r.RenewAll(context.Background(), all)
	var unknown, replaced []registry.Key
	for _, n := range all {
		switch h.model.renew(n.Key, n.Incarnation) {
		case notFound:
			unknown = append(unknown, n.Key)
		case fenced:
			replaced = append(replaced, n.Key)
		}
	}
	// The registry renews suspects after all others.
	for _, keys := range [][]registry.Key{done.Unknown, done.Replaced, unknown, replaced} {
		slices.SortFunc(keys, registry.Key.Compare)
	}
	if err != nil || !slices.Equal(done.Unknown, unknown) || !slices.Equal(done.Replaced, replaced) {
		rt.Fatalf("RenewAll(%v) = %+v, %v; want %v, %v", all, done, err, unknown, replaced)
	}
	if n := len(all) - len(unknown) - len(replaced); done.Count != n || (done.Did == registry.Nothing) != (n == 0) || done.Revision != h.model.revision {
		rt.Fatalf("RenewAll(%v) = %+v; want %d renewed, at revision %d", all, done, n, h.model.revision)
	}
}

// faults are what happens to instances, to the disk and to the process.
func (h *history) faults() map[string]func(*rapid.T) {
	acts := map[string]func(*rapid.T){
		"connectionLost": func(rt *rapid.T) {
			k, inc := drawKey(rt), drawIncarnation(rt)
			// The registry probes again for half a second, and serves other requests.
			go h.r.ConnectionLost(context.Background(), k, inc)
			synctest.Wait() // for the first verdict
			h.model.connectionLost(k, inc)
			h.wait(int(time.Second / tick)) // for the last verdict
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
				rt.Skip("it has space")
			}
			h.disk.set(nil)
			h.wait(int(31 * time.Second / tick)) // the longest pause before the registry tries again
			h.model.heal()
			if err := h.r.Sick(); err != nil || h.r.Stats().Unstored != 0 {
				rt.Fatalf("there is space, and the registry is sick: %v, %d changes unstored", err, h.r.Stats().Unstored)
			}
		},
	}
	if h.suite.Volatile {
		return acts
	}
	acts["restart"] = func(rt *rapid.T) {
		h.stop()
		h.model.heal() // Close stores what is owed
		time.Sleep(time.Duration(rapid.IntRange(0, 3600).Draw(rt, "seconds")) * time.Second)
		h.open()
		if h.model.revision > 0 && h.r.Revision() <= h.model.revision {
			rt.Fatalf("begins at revision %d, %d was given out", h.r.Revision(), h.model.revision)
		}
		h.model.restart(h.r.Revision())
	}
	return acts
}

// times let time pass.
func (h *history) times() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
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
			h.wait(1) // the clock leaves out the time of the stall
		},
	}
}

func (h *history) wait(ticks int) {
	for range ticks {
		time.Sleep(tick)
		synctest.Wait()
		h.model.tick()
	}
}

func drawIncarnation(rt *rapid.T) uint64 {
	return rapid.Uint64Range(0, 3).Draw(rt, "incarnation")
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
		Incarnation: drawIncarnation(rt),
		Drain:       rapid.IntRange(0, 3).Draw(rt, "drain") == 0,
	}
}

// Tests: suite_test.go.
