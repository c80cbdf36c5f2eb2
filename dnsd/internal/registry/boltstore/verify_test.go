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

// TestBucketInAnInlineBucketIsRefused: bbolt writes none. A file of such buckets, two in
// each, could make a walk take for ever.
func TestBucketInAnInlineBucketIsRefused(t *testing.T) {
	inner := make([]byte, bucketHeader+pageHeader)
	binary.NativeEndian.PutUint16(inner[bucketHeader+8:], flagLeaf)
	v := &verifier{}
	if err := v.bucket(inner, 0, 0); err != nil {
		t.Errorf("an empty bucket: %v", err)
	}
	const element = bucketHeader + pageHeader
	outer := append(make([]byte, element+pageElement), 'k')
	binary.NativeEndian.PutUint16(outer[bucketHeader+8:], flagLeaf)
	binary.NativeEndian.PutUint16(outer[bucketHeader+10:], 1)
	for i, word := range []int{elementBucket, pageElement, 1, len(inner)} {
		binary.NativeEndian.PutUint32(outer[element+4*i:], uint32(word))
	}
	if err := v.bucket(append(outer, inner...), 0, 0); err == nil || !strings.Contains(err.Error(), `bucket "k"`) {
		t.Errorf("a bucket in it: %v", err)
	}
	binary.NativeEndian.PutUint32(outer[element:], 0)
	if err := v.bucket(append(outer, inner...), 0, 0); err != nil {
		t.Errorf("a record in it: %v", err)
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
