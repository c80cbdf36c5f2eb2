package push

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
	"unsafe"
)

// TestIdleTLSHasNoBuffers: if this fails with a new version of Go, package tls has other
// buffers, and trim has to learn of them.
func TestIdleTLSHasNoBuffers(t *testing.T) {
	if n := len(readBuffers); n != 2 {
		t.Fatalf("%d buffers of tls.Conn are known, want 2", n)
	}
	ours, theirs := socket(t)
	client, server := shake(t, ours, theirs, &tls.Config{DynamicRecordSizingDisabled: true})
	held := func() (octets int) {
		for _, offset := range readBuffers {
			octets += (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(server.Conn.(*tls.Conn)), offset)).Cap()
		}
		return octets
	}
	long := bytes.Repeat([]byte("abcde"), 3<<10) // nearly a longest record
	got := make([]byte, len(long))
	read := func(part []byte) {
		t.Helper()
		if _, err := io.ReadFull(server.Conn, part); err != nil {
			t.Fatal(err)
		}
	}
	go client.Write(long)
	read(got)
	if held() < len(long) {
		t.Fatalf("%d octets are held after a record of %d", held(), len(long))
	}
	trim(server.Conn)
	if n := held(); n != 0 {
		t.Errorf("%d octets are held", n)
	}
	go client.Write(long)
	read(got[:100])
	trim(server.Conn) // the rest of the record is still to be read
	read(got[100:])
	if !bytes.Equal(got, long) {
		t.Error("what came is not what was written")
	}
}
