package boltstore

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// otherVersion is a file whose meta pages name another format version.
type otherVersion struct{ io.ReaderAt }

func (f otherVersion) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(b, off)
	if len(b) > metaVersion+4 {
		binary.NativeEndian.PutUint32(b[metaVersion:], formatVersion+1)
	}
	return n, err
}

func TestAnotherFormatVersionIsRefused(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "svc.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.db.View(func(tx *bolt.Tx) error {
		if err := verify(s.file, tx); err != nil {
			t.Errorf("a fresh store: %v", err)
		}
		if err := verify(otherVersion{s.file}, tx); err == nil || !strings.Contains(err.Error(), "format version 3 of bbolt") {
			t.Errorf("another version: %v", err)
		}
		return nil
	})
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
