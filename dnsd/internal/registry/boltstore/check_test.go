package boltstore_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
)

func TestCheckLooksAtTheKindOfFileOnly(t *testing.T) {
	path := filepath.Join(tempDir(t), "svc.db")
	r := open(t, path)
	if err := boltstore.Check(path); err != nil {
		t.Errorf("a store that is open: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := boltstore.Check(path); err != nil {
		t.Errorf("a store: %v", err)
	}
	text := filepath.Join(filepath.Dir(path), "text")
	write(t, text, []byte(strings.Repeat("not a store\n", 10_000)))
	if err := boltstore.Check(text); err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "not a bbolt file") {
		t.Errorf("a text: %v", err)
	}
	if err := boltstore.Check(filepath.Join(text, "svc.db")); err == nil {
		t.Error("a path below a file passed")
	}
}
