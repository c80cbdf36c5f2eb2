package dnsd

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestDroppedChangeIsLogged: of the last change only the meta page was on the disk when
// the machine lost its power.
func TestDroppedChangeIsLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.db")
	z := Zone{Store: Store{Kind: "bolt", Path: path}}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	open := func(want int) *registry.Registry {
		t.Helper()
		r, err := openRegistry(z, registry.Config{}, 1, log)
		if err != nil {
			t.Fatal(err)
		}
		if n := r.Stats().Instances; n != want {
			t.Errorf("%d instances, want %d", n, want)
		}
		return r
	}
	put := func(r *registry.Registry, id string) []byte {
		t.Helper()
		in := registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: id}, Host: "10.0.0.7", Port: 1}
		if _, err := r.Register(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	r := open(0)
	before := put(r, "a")
	after := put(r, "b")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	metas := 2 * os.Getpagesize()
	if err := os.WriteFile(path, append(after[:metas:metas], before[metas:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is logged once
		if err := open(1).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(text.String(), "level=WARN") != 1 || !strings.Contains(text.String(), "had not been acknowledged") || !strings.Contains(text.String(), path) {
		t.Errorf("log:\n%s", &text)
	}
}

// TestMendedMetaPageIsLogged: after a crash, a meta page that is damaged may have been that
// of the last change.
func TestMendedMetaPageIsLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.db")
	z := Zone{Store: Store{Kind: "bolt", Path: path}}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	for range 3 { // it is logged once
		r, err := openRegistry(z, registry.Config{}, 1, log)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if text.Len() > 0 {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		clear(data[:os.Getpagesize()])
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(text.String(), "level=WARN") != 1 || !strings.Contains(text.String(), "meta pages was damaged") || !strings.Contains(text.String(), path) {
		t.Errorf("log:\n%s", &text)
	}
}
