package boltstore

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzDamagedFile changes octets of a file, and may make the checksums of its meta pages
// right again. Open must come to an end, and must not change a file that it refuses.
//
// An edit is 6 octets: the page, the offset in it, and what is written there.
func FuzzDamagedFile(f *testing.F) {
	data, size := aFile(f, nil)
	f.Add([]byte{}, false)
	f.Add([]byte{0, 0, metaVersion + 4, 0, 0x20, 0}, true)
	f.Add([]byte{1, 0, metaRoot, 2, 0, 0, 1, 0, metaFree, 3, 0, 0}, true)
	f.Fuzz(func(t *testing.T, edits []byte, checksums bool) {
		file := bytes.Clone(data)
		for ; len(edits) >= 6; edits = edits[6:] {
			at := int(edits[0])%(len(file)/size)*size + int(binary.BigEndian.Uint16(edits[1:]))%size
			copy(file[at:], edits[3:6])
		}
		if checksums {
			metas, err := readMetas(bytes.NewReader(file), size)
			if err != nil {
				t.Fatal(err)
			}
			for i := range metas {
				resealed(&metas[i])
				copy(page(file, size, uint64(i)), metas[i][:])
			}
		}
		path := filepath.Join(t.TempDir(), "svc.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err == nil {
			s.Close()
			return
		}
		if now, readErr := os.ReadFile(path); readErr != nil || !bytes.Equal(now, file) {
			t.Errorf("refused (%v), and changed (%v)", err, readErr)
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("the error names no file: %v", err)
		}
	})
}
