package boltstore_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReplacedWhileOpenIsRefused: the next start reads the file at the path, so nothing
// may be acknowledged that is stored elsewhere.
func TestReplacedWhileOpenIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		replace func(t *testing.T, path string, copied []byte) error
		heal    bool // the file can get its name back
	}{
		"removed": {func(_ *testing.T, path string, _ []byte) error { return os.Rename(path, path+".away") }, true},
		"another moved in": {func(_ *testing.T, path string, _ []byte) error {
			if err := os.Rename(path, path+".away"); err != nil {
				return err
			}
			return os.Rename(path+".copy", path)
		}, true},
		"written over": {func(_ *testing.T, path string, copied []byte) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.Write(copied)
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "svc.db")
			filled(t, path, 3)
			r := open(t, path)
			copied, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".copy", copied, 0o600); err != nil {
				t.Fatal(err)
			}
			kept := instance("kept")
			if _, err := r.Register(t.Context(), kept); err != nil {
				t.Fatal(err)
			}
			if err := c.replace(t, path, copied); err != nil {
				t.Fatal(err)
			}
			_, err = r.Register(t.Context(), instance("refused"))
			if err == nil || !strings.Contains(err.Error(), "while it is in use: stop dnsd") || !strings.Contains(err.Error(), path) {
				t.Errorf("a registration: %v, want it refused", err)
			}
			if _, ok := r.Instance(kept.Key); !ok || r.Sick() == nil {
				t.Errorf("the registry has what it had: %t, and is sick of %v", ok, r.Sick())
			}
			if !c.heal {
				return
			}
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Register(t.Context(), instance("later")); err != nil {
				t.Errorf("with the file in its place again: %v", err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			r = open(t, path)
			defer r.Close()
			if n := r.Stats().Instances; n != 4 {
				t.Errorf("%d instances after a restart, want 4", n)
			}
		})
	}
}
