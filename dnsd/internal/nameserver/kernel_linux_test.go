package nameserver

import (
	"net"
	"testing"
)

// TestWhatTheKernelDropsIsCounted: a socket that no one reads is full at some time.
func TestWhatTheKernelDropsIsCounted(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := pc.(*net.UDPConn)
	defer c.Close()
	if err := c.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	before, known := kernelDrops([]*net.UDPConn{c})
	if !known {
		t.Skip("this kernel does not tell")
	}
	from, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	const sent = 1000
	for range sent {
		if _, err := from.Write(make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
	}
	// Loopback delivers within Write, and a buffer of 4 KiB takes a few dozen at most.
	after, _ := kernelDrops([]*net.UDPConn{c})
	if before != 0 || after < sent/2 || after > sent {
		t.Errorf("%d dropped of %d, and %d before", after, sent, before)
	}
	c.Close()
	if _, known := kernelDrops([]*net.UDPConn{c}); known {
		t.Error("a closed socket tells")
	}
}
