package registry_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// life opens a registry and does not close it, as if the process were killed.
func life(t *testing.T, cfg registry.Config) *registry.Registry {
	t.Helper()
	r, err := registry.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCeilingCoversWhatAKilledLifeGaveOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "svc.ceiling")
	last := uint64(0)
	for i := range 4 {
		r := life(t, registry.Config{Ceiling: path, Revision: 1000}) // the clock stands still
		if r.Revision() <= last {
			t.Fatalf("life %d begins at %d, %d was given out", i, r.Revision(), last)
		}
		for n := range 12_000 * (i % 2) { // more than one write reserves
			in := math("a1")
			in.Weight = uint16(n)
			register(t, r, in)
		}
		last = r.Revision()
	}
}

// On a full disk no new file can be made beside the old one. Here its name is too long.
func TestCeilingIsKeptWhereNoFileCanBeMade(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "svc.ceiling")
	last := life(t, registry.Config{Ceiling: made, Revision: 1_000_000}).Revision()
	path := filepath.Join(dir, strings.Repeat("c", 250)) // the name of the new file would be too long
	if err := os.Rename(made, path); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		var said strings.Builder
		r := life(t, registry.Config{Ceiling: path, Revision: 1_000_000, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if r.Revision() <= last {
			t.Errorf("life %d begins at %d, %d was given out", i, r.Revision(), last)
		}
		for n := range 12_000 {
			in := math("a1")
			in.Weight = uint16(n)
			register(t, r, in)
		}
		if last = r.Revision(); said.Len() > 0 {
			t.Errorf("life %d: %s", i, said.String())
		}
	}
}

// remembers is a backend that was replaced by a copy.
type remembers struct {
	registry.Backend
	revision uint64
}

func (b remembers) Load() (*registry.Snapshot, error) {
	s, err := b.Backend.Load()
	s.Revision = b.revision
	return s, err
}

// A copy of the whole directory replaces the ceiling, too.
func TestLifeBeginsAMillionAboveACopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.ceiling")
	const copied, since = 5_000_000, 1_000_000
	if err := os.WriteFile(path, []byte(registry.FormatCeiling(copied+9999)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := life(t, registry.Config{Backend: remembers{registry.Memory(), copied}, Ceiling: path, Revision: 1000})
	if first := r.Revision(); first <= copied+since || first-copied > 1<<22 {
		t.Errorf("begins at %d; the copy has %d, and %d changes were made since", first, copied, since)
	}
}

// Lives that cannot write the file begin above its number by the clock.
func TestCeilingThatCannotBeWrittenIsFollowedByTheClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("c", 250)) // the name of a new file would be too long
	const high = 99_999_999_999                                  // the next number is longer, so the old file cannot be written over
	if err := os.WriteFile(path, []byte(registry.FormatCeiling(high)), 0o600); err != nil {
		t.Fatal(err)
	}
	written := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
	last := uint64(high)
	for i := range 4 {
		r := life(t, registry.Config{Ceiling: path, Revision: registry.ByClock(written.Add(time.Duration(i) * time.Minute))})
		if r.Revision() <= last {
			t.Errorf("life %d begins at %d, %d was given out", i, r.Revision(), last)
		}
		for n := range 900 { // 15 a second
			in := math("a1")
			in.Weight = uint16(n)
			register(t, r, in)
		}
		last = r.Revision()
	}
}

func TestClockBackAndFarAhead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.ceiling")
	at := func(when time.Time) uint64 {
		r := life(t, registry.Config{Ceiling: path, Revision: registry.ByClock(when)})
		register(t, r, math("a1"))
		return r.Revision()
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	last := at(now)
	for _, when := range []time.Time{
		now.Add(-time.Hour),
		{},
		now.AddDate(-30, 0, 0), now.Add(time.Hour), now.AddDate(1, 0, 0), now,
		now.AddDate(50, 0, 0), // serials so far apart cannot be compared
		now.Add(2 * time.Hour),
	} {
		next := at(when)
		if int32(uint32(next)-uint32(last)) <= 0 || next <= last {
			t.Errorf("at %v: %d follows %d", when, next, last)
		}
		last = next
	}
}

// Without a file lives begin by the clock, which is ahead of 15 changes a second for
// years.
func TestClockAloneKeepsSerialsGrowing(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, up := range []time.Duration{time.Second, time.Hour, 4 * 365 * 24 * time.Hour} {
		for _, perSecond := range []uint64{0, 15} {
			last := uint32(registry.ByClock(start) + perSecond*uint64(up/time.Second))
			next := uint32(registry.ByClock(start.Add(up + time.Second)))
			if int32(next-last) <= 0 { // RFC 1982
				t.Errorf("after %v with %d changes a second: serial %d follows %d", up, perSecond, next, last)
			}
		}
	}
}

// A file that cannot be read or written is logged once, and the registry works.
func TestCeilingThatCannotBeKeptIsTold(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, word := range map[string]string{
		filepath.Join(file, "svc.ceiling"): "cannot keep",
		file:                               "cannot read",
	} {
		var said strings.Builder
		r := life(t, registry.Config{Ceiling: path, Revision: 1000, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		for i := range 100 {
			register(t, r, math(fmt.Sprint("a", i)))
		}
		if r.Revision() != 1100 {
			t.Errorf("revision %d, want 1100", r.Revision())
		}
		if strings.Count(said.String(), word) != 1 || !strings.Contains(said.String(), path) {
			t.Errorf("%s: said %q, want %q once", path, said.String(), word)
		}
	}
}

func TestCeilingThatIsDamagedIsNotBelieved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.ceiling")
	life(t, registry.Config{Ceiling: path, Revision: 123_456_789})
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1
		for _, text := range [][]byte{bad, whole[:i]} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := life(t, registry.Config{Ceiling: path, Revision: 7}); r.Revision() != 7 {
				t.Errorf("%q was believed: begins at %d", text, r.Revision())
			}
		}
	}
}
