package rpcclient

import (
	"context"
	"fmt"
	"io"
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

func (nobody) connRetired(*conn, error) {}
func (nobody) connDead(*conn, error)    {}

func testSettings() *settings {
	return &settings{epoch: time.Now(), pingEvery: 10 * time.Second, pingWait: 2 * time.Second, writeWait: 5 * time.Second, maxQueue: 256 << 10}
}

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

func dialTest(tb testing.TB, l net.Listener) *conn {
	tb.Helper()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	c := newConn(nc, testSettings(), nobody{}, func(r io.ReadWriteCloser) wire { return newGobWire(r, 1<<30, newGobTypes()) })
	tb.Cleanup(func() { c.fail(errClosed); c.wait() })
	return c
}

func BenchmarkConn(b *testing.B) {
	l := stockServer(b)
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, conc := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("peer=stock/size=%d/conc=%d", size, conc), func(b *testing.B) {
				cl, err := rpc.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				defer cl.Close()
				in := &Payload{make([]byte, size)}
				b.ReportAllocs()
				run(b, conc, func() error { var out Payload; return cl.Call("Echo.Echo", in, &out) })
			})
			b.Run(fmt.Sprintf("peer=ours/size=%d/conc=%d", size, conc), func(b *testing.B) {
				c := dialTest(b, l)
				in := &Payload{make([]byte, size)}
				pool := sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}
				b.ReportAllocs()
				run(b, conc, func() error {
					var out Payload
					cl := pool.Get().(*call)
					defer pool.Put(cl)
					cl.method, cl.args, cl.reply = "Echo.Echo", in, &out
					cl.start = c.now()
					cl.deadline = cl.start + 10*time.Second
					if err := c.send(context.Background(), cl); err != nil {
						return err
					}
					<-cl.done
					return cl.err
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
