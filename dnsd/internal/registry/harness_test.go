package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// published returns the instances that m would publish, as lines "_math._tcp/a1 up 10:100".
func published(m *registrytest.Mirror) string {
	var lines []string
	for k, in := range m.Instances() {
		if p, ok := in.Published(); ok {
			lines = append(lines, fmt.Sprintf("%s %v %d:%d", k, in.State, p, in.Weight))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

var errRefused = fmt.Errorf("dial: %w", syscall.ECONNREFUSED)

// math returns a registration for _math._tcp.
func math(id string) registry.Instance {
	return registry.Instance{
		Key:  registry.Key{Service: "_math._tcp", ID: id},
		Host: "10.0.0.7", Port: 8080, Priority: 10, Weight: 100,
	}
}

// start opens a registry and runs it until the test ends.
func start(t testing.TB, cfg registry.Config) (*registry.Registry, *registrytest.Mirror) {
	t.Helper()
	return startTuned(t, cfg, func(*registry.Tuning) {})
}

// startTuned is start with another tuning.
func startTuned(t testing.TB, cfg registry.Config, tune func(*registry.Tuning)) (*registry.Registry, *registrytest.Mirror) {
	t.Helper()
	if cfg.Probe == nil {
		cfg.Probe = func(context.Context, string) error { return errors.New("no route to host") }
	}
	r, err := registry.OpenTuned(cfg, func(_ *registry.Config, n *registry.Tuning) { tune(n) })
	if err != nil {
		t.Fatal(err)
	}
	m := &registrytest.Mirror{TB: t}
	r.Attach(m)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, registry.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r, m
}

func register(t testing.TB, r *registry.Registry, in registry.Instance) *registry.Instance {
	t.Helper()
	done, err := r.Register(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return done.Instance
}

func renew(t testing.TB, r *registry.Registry, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := r.Renew(t.Context(), math(id).Key, 0); err != nil {
			t.Fatalf("renew %s: %v", id, err)
		}
	}
}

const lease = 15 * time.Second

// keep renews ids every third of a lease, for the time d.
func keep(t *testing.T, r *registry.Registry, d time.Duration, ids ...string) {
	t.Helper()
	for range d / (lease / 3) {
		time.Sleep(lease / 3)
		renew(t, r, ids...)
	}
	synctest.Wait()
}

// fleet registers n instances a0, a1, ... and returns their ids.
func fleet(t *testing.T, r *registry.Registry, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, fmt.Sprintf("a%d", i))
		register(t, r, math(ids[i]))
	}
	return ids
}
