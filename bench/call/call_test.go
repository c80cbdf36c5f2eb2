package call

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/rpc"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Payload is what net/rpc carries; grpc-go carries the same bytes in a BytesValue.
type Payload struct{ Data []byte }

// Echo answers what it gets.
type Echo struct{}

func (Echo) Echo(in, out *Payload) error {
	out.Data = in.Data
	return nil
}

// caller is one way to call.
type caller struct {
	name string
	call func(data []byte) (int, error)
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// stock starts net/rpc's server.
func stock(tb testing.TB) string {
	l := listen(tb)
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

// ours starts an rpcserver.
func ours(tb testing.TB) string {
	l := listen(tb)
	s := rpcserver.New(rpcserver.Config{})
	if err := s.Register(Echo{}); err != nil {
		tb.Fatal(err)
	}
	go s.Serve(l)
	tb.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func bare(tb testing.TB, addr string) func([]byte) (int, error) {
	c, err := rpc.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return func(data []byte) (int, error) {
		var out Payload
		err := c.Call("Echo.Echo", &Payload{data}, &out)
		return len(out.Data), err
	}
}

func rollcall(tb testing.TB, addr string) func([]byte) (int, error) {
	c, err := rpcclient.New("_echo._tcp.svc", &rpcclient.Config{Source: resolver.Static(addr)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	if err := c.Ready(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	ctx := context.Background()
	return func(data []byte) (int, error) {
		var out Payload
		err := c.Call(ctx, "Echo.Echo", &Payload{data}, &out)
		return len(out.Data), err
	}
}

const grpcMethod = "/echo.Echo/Echo"

func grpcGo(tb testing.TB) func([]byte) (int, error) {
	l := listen(tb)
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "echo.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Echo",
			Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				in := new(wrapperspb.BytesValue)
				if err := dec(in); err != nil {
					return nil, err
				}
				return &wrapperspb.BytesValue{Value: in.Value}, nil
			},
		}},
	}, nil)
	go s.Serve(l)
	tb.Cleanup(s.Stop)
	c, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	ctx := context.Background()
	return func(data []byte) (int, error) {
		out := new(wrapperspb.BytesValue)
		err := c.Invoke(ctx, grpcMethod, &wrapperspb.BytesValue{Value: data}, out)
		return len(out.Value), err
	}
}

func callers(tb testing.TB) []caller {
	server := stock(tb)
	return []caller{
		{"net/rpc", bare(tb, server)},
		{"rollcall,stock-server", rollcall(tb, server)},
		{"rollcall,rpcserver", rollcall(tb, ours(tb))},
		{"grpc-go", grpcGo(tb)},
	}
}

// together makes n calls, conc at a time, and tells how long they took.
func together(tb testing.TB, c caller, conc, n int, data []byte) time.Duration {
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range conc {
		share := n / conc
		if i < n%conc {
			share++
		}
		wg.Go(func() {
			for range share {
				if got, err := c.call(data); err != nil || got != len(data) {
					tb.Errorf("%s: %d bytes of %d: %v", c.name, got, len(data), err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin)
}

func TestAllEcho(t *testing.T) {
	for _, c := range callers(t) {
		together(t, c, 4, 100, make([]byte, 1<<10))
	}
}

// BenchmarkCall is the plain measure: one after the other, with allocations of
// client and server together.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, conc := range []int{1, 64, 1000} {
			for _, c := range callers(b) {
				b.Run(fmt.Sprintf("size=%d/conc=%d/peer=%s", size, conc, c.name), func(b *testing.B) {
					data := make([]byte, size)
					together(b, c, conc, 2*conc, data)
					b.ReportAllocs()
					b.SetBytes(int64(2 * size))
					b.ResetTimer()
					before := cpuTime()
					together(b, c, conc, b.N, data)
					b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

func cpuTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkRatio takes turns, many short ones in random order, so that whatever
// else the machine does hits all alike. It reports the median turn of each, in time
// a call, as a multiple of bare net/rpc's (x), and the same of CPU time (cpu-x),
// which says more on a busy machine.
func BenchmarkRatio(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, conc := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("size=%d/conc=%d", size, conc), func(b *testing.B) {
				all := callers(b)
				data := make([]byte, size)
				for _, c := range all { // types, connections, buffers
					together(b, c, conc, 2*conc+100, data)
				}
				calls := max(500, 10*conc)
				if size > 1<<10 {
					calls = max(100, 3*conc)
				}
				took, cpu := make([][]float64, len(all)), make([][]float64, len(all))
				for b.Loop() {
					for _, i := range rand.Perm(len(all)) {
						before := cpuTime()
						took[i] = append(took[i], float64(together(b, all[i], conc, calls, data))/float64(calls))
						cpu[i] = append(cpu[i], float64(cpuTime()-before)/float64(calls))
					}
				}
				b.ReportMetric(0, "ns/op")
				for i, c := range all {
					b.ReportMetric(median(took[i]), c.name+"-ns")
					if i > 0 {
						b.ReportMetric(median(took[i])/median(took[0]), c.name+"-x")
						b.ReportMetric(median(cpu[i])/median(cpu[0]), c.name+"-cpu-x")
					}
				}
			})
		}
	}
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
