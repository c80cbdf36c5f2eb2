package freeaddr

import (
	"net"
	"runtime"
	"slices"
	"testing"
)

func TestAddressesAreFreeAndNoneIsGivenTwice(t *testing.T) {
	addrs := append(Take(50), Take(50)...)
	for i, a := range addrs {
		if slices.Contains(addrs[:i], a) {
			t.Errorf("%v is returned twice", a)
		}
		tcp, err1 := net.Listen("tcp", a.String())
		udp, err2 := net.ListenPacket("udp", a.String())
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		tcp.Close()
		udp.Close()
	}
}

// Processes that run at the same time, as those of several packages do, get other ports.
func TestABlockOfPortsBelongsToOneProcess(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("blocks are locked on Linux and macOS only")
	}
	for block := range blocks {
		f, ok := lockBlock(block)
		if !ok {
			continue
		}
		defer f.Close()
		if again, ok := lockBlock(block); ok {
			again.Close()
			t.Error("a block was locked twice")
		}
		return
	}
	t.Fatal("all blocks are locked")
}
