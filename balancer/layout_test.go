package balancer

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/rollcall-dns/rollcall/resolver"
)

// TestNodesShareNoCacheLine: otherwise calls to one node slow down calls to another.
func TestNodesShareNoCacheLine(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the padding is for 64 bits")
	}
	const line = 64
	var n Node
	for name, at := range map[string]uintptr{
		"meter": unsafe.Offsetof(n.meter), "g": unsafe.Offsetof(n.g), "the next node": unsafe.Sizeof(n),
	} {
		if at%line != 0 {
			t.Errorf("%s begins at %d, within a cache line", name, at)
		}
	}
	if end := unsafe.Offsetof(n.timed) + unsafe.Sizeof(n.timed); end > line {
		t.Errorf("what each call writes takes %d bytes", end)
	}
	g := NewGroup(Config{})
	defer g.Close()
	var eps []resolver.Endpoint
	for i := range 20 {
		eps = append(eps, resolver.Endpoint{Addr: fmt.Sprint(i)})
	}
	g.Update(eps)
	for _, n := range g.order {
		if at := uintptr(unsafe.Pointer(n)); at%line != 0 {
			t.Fatalf("a node begins at %#x, within a cache line", at)
		}
	}
}
