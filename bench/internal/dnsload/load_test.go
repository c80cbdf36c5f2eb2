//go:build linux

package dnsload

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// TestTheEchoIsAsked: every answer of the echo is counted, and the processor time is that
// of the process that is measured.
func TestTheEchoIsAsked(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two cores: one for the server, one for the generator")
	}
	addr := freeaddr.Take(1)[0]
	answer := make([]byte, 120)
	answer[2] = 0x84 // an answer, authoritative, without an error
	failed := make(chan error, 1)
	go func() { failed <- Echo(addr.String(), strings.NewReader(hex.EncodeToString(answer))) }()
	for {
		c, err := net.Dial("tcp", addr.String()) // it listens on TCP first
		if err == nil {
			c.Close()
			break
		}
		select {
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	l := New(10)
	for over, ask := range map[string]func(netip.AddrPort, time.Duration) (Result, error){"udp": l.UDP, "tcp": l.TCP} {
		var r Result
		var err error
		done := make(chan struct{})
		go func() { // its thread stays on the generator's core, and ends with it
			defer close(done)
			r, err = ask(addr, 100*time.Millisecond)
		}()
		<-done
		if err != nil || r.Answers == 0 || r.Bytes != len(answer) {
			t.Errorf("over %s: %+v, %v", over, r, err)
		}
	}
	if after, err := CPUTime(os.Getpid()); err != nil || after <= before {
		t.Errorf("the processor time is %v after %v, %v", after, before, err)
	}
}
