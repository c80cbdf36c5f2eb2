package push

import (
	"bytes"
	"crypto/tls"
	"net"
	"reflect"
	"unsafe"
)

// readBuffers are where a tls.Conn has its buffers of what it reads: records, and messages of
// the handshake. One that a later package tls does not have is left out: it then needs more
// memory, and nothing else changes.
var readBuffers = func() (offsets []uintptr) {
	for _, name := range []string{"rawInput", "hand"} {
		f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
		if ok && f.Type == reflect.TypeFor[bytes.Buffer]() {
			offsets = append(offsets, f.Offset)
		}
	}
	return offsets
}()

// trim gives back the empty buffers of an idle connection. Package tls keeps them as large as
// the longest record and the longest message have made them: 3.5 KiB after a handshake with
// today's keys, a third of all that an idle session has, and up to 50 KiB if the client wants.
// It has no way to let go of them. An empty bytes.Buffer with memory and one without are the
// same to it. Only the goroutine that reads may call trim. partial tells whether one of them has
// a part of a record or of a message that package tls has not finished.
func trim(c net.Conn) (partial bool) {
	t, ok := c.(*tls.Conn)
	if !ok {
		return false
	}
	for _, offset := range readBuffers {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(t), offset)); b.Len() == 0 {
			*b = bytes.Buffer{}
		} else {
			partial = true
		}
	}
	return partial
}
