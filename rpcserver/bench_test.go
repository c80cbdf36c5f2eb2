package rpcserver_test

import (
	"fmt"
	"net"
	"net/rpc"
	"sync/atomic"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Echo answers what it was asked.
type Echo struct{}

// Payload is a body of any length.
type Payload struct{ Data []byte }

func (Echo) Echo(args Payload, reply *Payload) error {
	reply.Data = args.Data
	return nil
}

// BenchmarkStockClient: net/rpc's client at one end, its own server or this one
// at the other.
func BenchmarkStockClient(b *testing.B) {
	for _, server := range []string{"net-rpc", "rpcserver"} {
		for _, conc := range []int{1, 64, 1000} {
			for _, size := range []int{1 << 10, 64 << 10} {
				b.Run(fmt.Sprintf("server=%s/concurrency=%d/bytes=%d", server, conc, size), func(b *testing.B) {
					l, err := net.Listen("tcp", "127.0.0.1:0")
					if err != nil {
						b.Fatal(err)
					}
					if server == "net-rpc" {
						defer l.Close()
						s := rpc.NewServer()
						s.Register(Echo{})
						go func() {
							for {
								nc, err := l.Accept()
								if err != nil {
									return
								}
								go s.ServeConn(nc)
							}
						}()
					} else {
						s := rpcserver.New(rpcserver.Config{})
						s.Register(Echo{})
						go s.Serve(l)
						defer s.Close()
					}
					client, err := rpc.Dial("tcp", l.Addr().String())
					if err != nil {
						b.Fatal(err)
					}
					defer client.Close()
					args := Payload{Data: make([]byte, size)}
					b.ReportAllocs()
					inParallel(b, conc, func() error {
						var reply Payload
						return client.Call("Echo.Echo", args, &reply)
					})
				})
			}
		}
	}
}

// inParallel makes b.N calls from conc goroutines.
func inParallel(b *testing.B, conc int, call func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, conc)
	b.ResetTimer()
	for range conc {
		go func() {
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range conc {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
