package rpcserver_test

import (
	"encoding/gob"
	"net"
	"net/rpc"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Large answers with as many bytes as it is asked for.
type Large struct{}

// Get replies with so many bytes.
func (Large) Get(n int, out *[]byte) error {
	*out = make([]byte, n)
	return nil
}

// TestAnswersToAClientThatIsGoneAreNotWaitedFor: many wait for room until another is
// written, and each must be woken when that fails.
func TestAnswersToAClientThatIsGoneAreNotWaitedFor(t *testing.T) {
	for name, leave := range map[string]func(nc *net.TCPConn){
		"reset": func(nc *net.TCPConn) {
			nc.SetLinger(0)
			nc.Close()
		},
		"reads no more": func(*net.TCPConn) {},
	} {
		t.Run(name, func(t *testing.T) {
			begun, ended := make(chan struct{}, 400), make(chan struct{})
			s, addr := serve(t, rpcserver.Config{Limits: rpcserver.Limits{WriteTimeout: 200 * time.Millisecond}, Trace: &rpcserver.Trace{
				CallBegin: func(rpcserver.CallInfo) { begun <- struct{}{} },
				ConnEnd:   func(string, error) { close(ended) },
			}}, Large{})
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			enc := gob.NewEncoder(nc)
			for i := range 400 {
				enc.Encode(rpc.Request{ServiceMethod: "Large.Get", Seq: uint64(i + 1)})
				enc.Encode(100 << 10)
			}
			for range 300 { // 30 MB of answers fit no socket
				select {
				case <-begun:
				case <-ended: // on a slow machine, the write has timed out before
					return
				}
			}
			leave(nc.(*net.TCPConn))
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatalf("%d calls are in flight, and no client", s.Stats().InFlight)
			}
		})
	}
}
