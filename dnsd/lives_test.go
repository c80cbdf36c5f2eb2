package dnsd

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// burst registers faster than the clock counts revisions.
func burst(t *testing.T, r *registry.Registry, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 50 { // share a commit
		wg.Go(func() {
			for i := w; i < n; i += 50 {
				in := registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: fmt.Sprint("a", i)}, Host: "192.0.2.1", Port: 1, Weight: uint16(r.Revision())}
				if _, err := r.Register(t.Context(), in); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestNoLifeRepeatsARevision: whatever happens to the store between two lives, the
// second begins above the revisions of the first, and not so far above that serials
// could not be compared (RFC 1982).
func TestNoLifeRepeatsARevision(t *testing.T) {
	dir := t.TempDir()
	whole, err := Config{StateDir: filepath.Join(dir, "state"), Zones: []Zone{
		{Origins: []string{"a.example."}, Hook: Hook{Addr: "127.0.0.1:0"}},
		{Origins: []string{"b.example."}, Hook: Hook{Addr: "127.0.0.1:0"}, Store: Store{Kind: "bolt", Path: filepath.Join(dir, "svc.db")}},
	}}.checked()
	if err != nil {
		t.Fatal(err)
	}
	db, ceiling := whole.Zones[1].Store.Path, whole.Zones[1].Store.Ceiling
	for _, c := range []struct {
		name    string
		zone    Zone
		between func() error
	}{
		{"memory is forgotten", whole.Zones[0], func() error { return nil }},
		{"a restart", whole.Zones[1], func() error { return nil }},
		{"the file is lost", whole.Zones[1], func() error { return os.Remove(db) }},
		{"an old copy is put back with its ceiling", whole.Zones[1], func() error {
			return errors.Join(os.Rename(db+".copy", db), os.Rename(ceiling+".copy", ceiling))
		}},
		{"an old copy is put back", whole.Zones[1], func() error { return os.Rename(db+".copy", db) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			last := uint64(0)
			for life := range 3 {
				r, err := openRegistry(c.zone, registry.Config{}, registry.ByClock(time.Now()), slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				if first := r.Revision(); life > 0 && (first <= last || first > last+1<<24) {
					t.Errorf("life %d begins at %d, %d was given out", life, first, last)
				}
				if life == 0 {
					burst(t, r, 10)
					for _, path := range []string{db, ceiling} {
						if data, err := os.ReadFile(path); err == nil {
							if err := os.WriteFile(path+".copy", data, 0o600); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				burst(t, r, 2000)
				last = r.Revision()
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				if life == 0 {
					if err := c.between(); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}
