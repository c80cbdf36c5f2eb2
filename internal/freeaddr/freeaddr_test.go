package freeaddr

import (
	"net"
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
