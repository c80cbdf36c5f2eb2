package boltstore

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnotherFormatVersionIsRefused(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "svc.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	size, meta := s.db.Info().PageSize, s.known[s.known.newest()]
	if got, err := verify(s.file, size, &meta); err != nil || got.format != format || got.leaked > 0 {
		t.Errorf("a fresh store: %+v, %v", got, err)
	}
	binary.NativeEndian.PutUint32(meta[metaVersion:], formatVersion+1)
	if _, err := verify(s.file, size, &meta); err == nil || !strings.Contains(err.Error(), "format version 3 of bbolt") {
		t.Errorf("another version: %v", err)
	}
}

// TestVerifyIsOfThisRelease: verify knows bbolt's pages by their offsets. With another
// release, compare the files that verify.go names, then change the comment there.
func TestVerifyIsOfThisRelease(t *testing.T) {
	mod, err := os.ReadFile("../../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("verify.go")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(mod), "go.etcd.io/bbolt ")
	release, _, _ := strings.Cut(after, "\n")
	if release == "" || !strings.Contains(string(source), "as bbolt "+release+" writes it") {
		t.Errorf("go.mod has bbolt %s, verify.go was compared with another release", release)
	}
}
