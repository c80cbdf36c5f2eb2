package rpcclient

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// benchOurs starts an rpcserver with a method that ends with its context, and a client of it.
func benchOurs(b *testing.B) (c *Client, begun, ended chan time.Time) {
	begun, ended = make(chan time.Time, 1000), make(chan time.Time, 1000)
	s := rpcserver.New(rpcserver.Config{})
	addr := serveBench(b, s)
	if err := s.Register(Echo{}); err != nil {
		b.Fatal(err)
	}
	err := rpcserver.Handle(s, "Waits.Wait", func(ctx context.Context, _ Args) (int, error) {
		begun <- time.Now()
		<-ctx.Done()
		ended <- time.Now()
		return 0, ctx.Err()
	})
	if err != nil {
		b.Fatal(err)
	}
	c, err = New("_echo._tcp.svc", &Config{Source: resolver.Static(addr)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	allUp(b, c, 1)
	return c, begun, ended
}

// BenchmarkCarried: what a deadline, and a traceparent, add to a call of 1 KiB. The ways take
// turns, so that whatever else the machine does hits all alike; x is the median turn as a
// multiple of that without, and allocs are those of both ends.
func BenchmarkCarried(b *testing.B) {
	deadline, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	ways := []struct {
		name string
		ctx  context.Context
	}{
		{"nothing", context.Background()},
		{"deadline", deadline},
		{"deadline+traceparent", callmeta.WithOutgoing(deadline, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
	}
	for _, conc := range []int{1, 64} {
		b.Run(fmt.Sprintf("size=%d/conc=%d", 1<<10, conc), func(b *testing.B) {
			c, _, _ := benchOurs(b)
			in := &Payload{make([]byte, 1<<10)}
			turn := func(ctx context.Context, calls int) time.Duration {
				begin := time.Now()
				var wg sync.WaitGroup
				for range conc {
					wg.Go(func() {
						for range calls / conc {
							var out Payload
							if err := c.Call(ctx, "Echo.Echo", in, &out); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				return time.Since(begin)
			}
			const calls = 1024
			took, allocs := make([][]float64, len(ways)), make([]uint64, len(ways))
			var mem runtime.MemStats
			for _, w := range ways {
				turn(w.ctx, calls)
			}
			turns := 0
			for b.Loop() {
				turns++
				for _, i := range rand.Perm(len(ways)) {
					runtime.ReadMemStats(&mem)
					before := mem.Mallocs
					took[i] = append(took[i], float64(turn(ways[i].ctx, calls)))
					runtime.ReadMemStats(&mem)
					allocs[i] += mem.Mallocs - before
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, w := range ways {
				b.ReportMetric(float64(allocs[i])/float64(turns*calls), w.name+"-allocs")
				if i > 0 {
					b.ReportMetric(median(took[i])/median(took[0]), w.name+"-x")
				} else {
					b.ReportMetric(median(took[i])/calls, w.name+"-ns")
				}
			}
		})
	}
}

func median(x []float64) float64 { return quantile(x, 0.5) }

func quantile(x []float64, q float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[min(len(x)-1, int(q*float64(len(x))))]
}

// BenchmarkCancel: how long it takes on loopback until a method knows that its caller has
// given up.
func BenchmarkCancel(b *testing.B) {
	c, begun, ended := benchOurs(b)
	var took []float64
	for b.Loop() {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Call(ctx, "Waits.Wait", Args{}, nil) }()
		<-begun
		begin := time.Now()
		cancel()
		took = append(took, float64((<-ended).Sub(begin)))
		<-done
	}
	b.ReportMetric(median(took)/1e3, "median-us")
	b.ReportMetric(quantile(took, 0.99)/1e3, "p99-us")
}

// BenchmarkBesideCancels: calls on the same connections as 1,000 calls a second that are
// given up, beside calls that have the connections to themselves. The two take turns.
func BenchmarkBesideCancels(b *testing.B) {
	c, begun, ended := benchOurs(b)
	in := &Payload{make([]byte, 1<<10)}
	calls := func(stop <-chan struct{}) (took []float64) {
		for {
			select {
			case <-stop:
				return took
			default:
			}
			var out Payload
			begin := time.Now()
			if err := c.Call(context.Background(), "Echo.Echo", in, &out); err != nil {
				b.Error(err)
			}
			took = append(took, float64(time.Since(begin)))
		}
	}
	turn := func(cancels bool) (took []float64) {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { took = calls(stop) })
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range 20 { // 200 ms
			<-tick.C
			if !cancels {
				continue
			}
			ctx, cancel := context.WithCancel(context.Background())
			for range 10 {
				wg.Go(func() { c.Call(ctx, "Waits.Wait", Args{}, nil) })
			}
			for range 10 {
				<-begun
			}
			cancel()
			for range 10 {
				<-ended
			}
		}
		close(stop)
		wg.Wait()
		return took
	}
	var alone, beside []float64
	for b.Loop() {
		alone = append(alone, turn(false)...)
		beside = append(beside, turn(true)...)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(alone)/1e3, "alone-median-us")
	b.ReportMetric(median(beside)/1e3, "beside-median-us")
	b.ReportMetric(quantile(alone, 0.99)/1e3, "alone-p99-us")
	b.ReportMetric(quantile(beside, 0.99)/1e3, "beside-p99-us")
}

// BenchmarkNewcomer: how long it takes from a state with a new endpoint until the first call
// to it has its answer, while a client calls all the time, and what part of that each step is.
func BenchmarkNewcomer(b *testing.B) {
	var addrs []string
	for range 3 {
		s := rpcserver.New(rpcserver.Config{})
		if err := s.Register(Echo{}); err != nil {
			b.Fatal(err)
		}
		addrs = append(addrs, serveBench(b, s))
	}
	comes := addrs[2]
	steps := []string{"plan", "dial", "greet", "pick", "call"}
	var at [5]atomic.Int64 // the end of each step; 0: not yet
	begin := time.Now()
	mark := func(step int, node string) {
		if node == comes {
			at[step].CompareAndSwap(0, int64(time.Since(begin)))
		}
	}
	src := announce(addrs[:2]...)
	c, err := New("_echo._tcp.svc", &Config{
		Source: src,
		Policy: balancer.WeightedRoundRobin,
		Health: balancer.Health{SlowStart: -1},
		Conn: ConnConfig{Dial: func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
			mark(0, ep.Addr)
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", ep.Addr)
			mark(1, ep.Addr)
			return nc, err
		}},
		Trace: &Trace{
			Connected: func(node string) { mark(2, node) },
			Picked:    func(_, node string, _ int) { mark(3, node) },
			Answered:  func(_, node string, _ time.Duration, _ error) { mark(4, node) },
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	allUp(b, c, 2)
	in := &Payload{make([]byte, 8)}
	callUntil := func(done func() bool) {
		for !done() {
			var out Payload
			if err := c.Call(context.Background(), "Echo.Echo", in, &out); err != nil {
				b.Fatal(err)
			}
		}
	}
	took := make([][]float64, len(steps)+1)
	for b.Loop() {
		for i := range at {
			at[i].Store(0)
		}
		start := int64(time.Since(begin))
		src.say(addrs...)
		callUntil(func() bool { return at[4].Load() != 0 })
		last := start
		for i := range at {
			end := at[i].Load()
			took[i] = append(took[i], float64(max(end-last, 0)))
			last = max(end, last)
		}
		took[len(steps)] = append(took[len(steps)], float64(last-start))
		src.say(addrs[:2]...)
		callUntil(func() bool { return c.member(comes) == nil })
	}
	b.ReportMetric(0, "ns/op")
	for i, step := range append(steps, "all") {
		b.ReportMetric(median(took[i])/1e3, step+"-us")
	}
	b.ReportMetric(quantile(took[len(steps)], 0.99)/1e3, "p99-us")
}

func serveBench(b *testing.B, s *rpcserver.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.Cleanup(func() {
		s.Close()
		<-served
	})
	return l.Addr().String()
}
