package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"sync"
	"testing"
	"time"
)

type Echo struct{}

type Payload struct{ Data []byte }

func (Echo) Echo(in *Payload, out *Payload) error { out.Data = in.Data; return nil }

type nobody struct{}

func (nobody) Retired(*Conn, error) {}
func (nobody) Dead(*Conn, error)    {}
func (nobody) Serving(*Conn, bool)  {}

func testConfig() Config {
	return Config{PingInterval: 10 * time.Second, PingTimeout: 2 * time.Second, WriteTimeout: 5 * time.Second, MaxReply: 1 << 20, MaxQueue: 256 << 10}
}

var errTest = errors.New("ended by the test")

func stockServer(tb testing.TB) net.Listener {
	tb.Helper()
	s := rpc.NewServer()
	s.Register(Echo{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	go s.Accept(l)
	tb.Cleanup(func() { l.Close() })
	return l
}

func dialTest(tb testing.TB, l net.Listener) *Conn {
	tb.Helper()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	c := NewSet(testConfig()).Start(nc, nobody{})
	tb.Cleanup(func() { c.Fail(errTest); c.Wait() })
	return c
}

func BenchmarkConn(b *testing.B) {
	l := stockServer(b)
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, conc := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("peer=stock/size=%d/conc=%d", size, conc), func(b *testing.B) {
				req, err := rpc.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				defer req.Close()
				in := &Payload{make([]byte, size)}
				b.ReportAllocs()
				run(b, conc, func() error { var out Payload; return req.Call("Echo.Echo", in, &out) })
			})
			b.Run(fmt.Sprintf("peer=ours/size=%d/conc=%d", size, conc), func(b *testing.B) {
				c := dialTest(b, l)
				in := &Payload{make([]byte, size)}
				pool := sync.Pool{New: func() any { return NewRequest() }}
				b.ReportAllocs()
				run(b, conc, func() error {
					var out Payload
					req := pool.Get().(*Request)
					defer pool.Put(req)
					req.Method, req.Args, req.Reply = "Echo.Echo", in, &out
					req.Start = c.Now()
					req.Deadline = req.Start + 10*time.Second
					if err := c.Send(context.Background(), req); err != nil {
						return err
					}
					<-req.Done
					return req.Err
				})
			})
		}
	}
}

func run(b *testing.B, conc int, f func() error) {
	var wg sync.WaitGroup
	per := b.N/conc + 1
	b.ResetTimer()
	for range conc {
		wg.Go(func() {
			for range per {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
