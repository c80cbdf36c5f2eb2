package rpcserver_test

import (
	"context"
	"fmt"
	"net"
	"net/rpc"
	"sync/atomic"
	"testing"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Echo replies with its argument.
type Echo struct{}

// Payload is a body of any length.
type Payload struct{ Data []byte }

func (Echo) Echo(args Payload, reply *Payload) error {
	reply.Data = args.Data
	return nil
}

// BenchmarkCall: net/rpc or Rollcall at either end, in one process.
func BenchmarkCall(b *testing.B) {
	for _, ends := range []struct{ client, server string }{
		{"stock", "stock"}, {"stock", "rollcall"}, {"rollcall", "stock"}, {"rollcall", "rollcall"},
	} {
		for _, conc := range []int{1, 64, 1000} {
			for _, size := range []int{1 << 10, 64 << 10} {
				b.Run(fmt.Sprintf("client=%s/server=%s/concurrency=%d/bytes=%d", ends.client, ends.server, conc, size), func(b *testing.B) {
					addr := benchServer(b, ends.server)
					call := benchClient(b, ends.client, addr)
					args := Payload{Data: make([]byte, size)}
					b.ReportAllocs()
					inParallel(b, conc, func() error {
						var reply Payload
						return call("Echo.Echo", args, &reply)
					})
				})
			}
		}
	}
}

func benchServer(b *testing.B, kind string) string {
	if kind == "rollcall" {
		_, addr := serve(b, rpcserver.Config{}, Echo{})
		return addr
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
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
	return l.Addr().String()
}

func benchClient(b *testing.B, kind, addr string) func(string, any, any) error {
	if kind == "stock" {
		return dial(b, addr).Call
	}
	c, err := rpcclient.New("_echo._tcp.svc", &rpcclient.Config{Source: resolver.Static(addr)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	if err := c.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	return func(method string, args, reply any) error { return c.Call(context.Background(), method, args, reply) }
}

// inParallel makes b.N calls from conc goroutines.
func inParallel(b *testing.B, conc int, call func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, conc)
	b.ResetTimer()
	cpu := cpuTime()
	defer func() { b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op") }()
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
