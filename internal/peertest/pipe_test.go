//go:build unix

package peertest

import (
	"io"
	"testing"
)

func TestMemoryPipeWritesWithoutAReader(t *testing.T) {
	a, b := MemoryPipe()
	for range 1000 {
		if _, err := a.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	a.Close()
	if got, err := io.ReadAll(b); err != nil || len(got) != 1_000_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("written to an end that is closed")
	}
}
