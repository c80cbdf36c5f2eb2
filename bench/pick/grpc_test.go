package pick

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	_ "github.com/zeromicro/go-zero/zrpc" // registers p2c_ewma
	"google.golang.org/grpc/balancer"
	_ "google.golang.org/grpc/balancer/leastrequest"
	_ "google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// grpcPicker is the picker of the gRPC balancer called name, over n ready nodes.
func grpcPicker(b *testing.B, name string, n int) balancer.Picker {
	builder := balancer.Get(name)
	if builder == nil {
		b.Fatalf("no balancer %s is registered", name)
	}
	var config serviceconfig.LoadBalancingConfig
	if p, ok := builder.(balancer.ConfigParser); ok {
		var err error
		if config, err = p.ParseConfig(json.RawMessage(`{}`)); err != nil {
			b.Fatal(err)
		}
	}
	cc := &clientConn{}
	lb := builder.Build(cc, balancer.BuildOptions{})
	b.Cleanup(lb.Close)
	state := resolver.State{}
	for i := range n {
		addr := resolver.Address{Addr: fmt.Sprintf("10.0.%d.%d:80", i/256, i%256)}
		state.Addresses = append(state.Addresses, addr)
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{addr}})
	}
	if err := lb.UpdateClientConnState(balancer.ClientConnState{ResolverState: state, BalancerConfig: config}); err != nil {
		b.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		for cc.deliver() {
		}
		if picker := cc.picker(); picker != nil && reached(picker, n) == n {
			return picker
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s reaches %d of %d nodes", name, reached(cc.picker(), n), n)
		}
		time.Sleep(time.Millisecond)
	}
}

// reached counts the nodes that picks go to.
func reached(picker balancer.Picker, n int) int {
	if picker == nil {
		return 0
	}
	seen := map[balancer.SubConn]bool{}
	for range 20 * n {
		r, err := picker.Pick(balancer.PickInfo{Ctx: context.Background()})
		if err != nil {
			return 0
		}
		seen[r.SubConn] = true
		if r.Done != nil {
			r.Done(balancer.DoneInfo{})
		}
	}
	return len(seen)
}

// clientConn is what a gRPC balancer sees of a channel. What it asks for is done later,
// as gRPC does it, for the balancer holds its locks while asking.
type clientConn struct {
	balancer.ClientConn
	mu    sync.Mutex // guards below
	ready balancer.Picker
	todo  []func()
}

func (c *clientConn) NewSubConn(_ []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	return &subConn{cc: c, listen: opts.StateListener}, nil
}
func (c *clientConn) RemoveSubConn(balancer.SubConn)         {}
func (c *clientConn) ResolveNow(resolver.ResolveNowOptions)  {}
func (c *clientConn) Target() string                         { return "peers" }
func (c *clientConn) MetricsRecorder() stats.MetricsRecorder { return noMetrics{} }
func (c *clientConn) UpdateState(s balancer.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ConnectivityState == connectivity.Ready {
		c.ready = s.Picker
	}
}

func (c *clientConn) picker() balancer.Picker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

func (c *clientConn) later(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.todo = append(c.todo, f)
}

// deliver does one thing that was asked for.
func (c *clientConn) deliver() bool {
	c.mu.Lock()
	if len(c.todo) == 0 {
		c.mu.Unlock()
		return false
	}
	f := c.todo[0]
	c.todo = c.todo[1:]
	c.mu.Unlock()
	f()
	return true
}

// subConn is ready as soon as it is asked to connect.
type subConn struct {
	balancer.SubConn
	cc     *clientConn
	listen func(balancer.SubConnState)
}

func (s *subConn) Connect() {
	for _, state := range []connectivity.State{connectivity.Connecting, connectivity.Ready} {
		s.cc.later(func() { s.listen(balancer.SubConnState{ConnectivityState: state}) })
	}
}

func (s *subConn) RegisterHealthListener(listen func(balancer.SubConnState)) {
	if listen != nil {
		s.cc.later(func() { listen(balancer.SubConnState{ConnectivityState: connectivity.Ready}) })
	}
}
func (s *subConn) Shutdown()                          {}
func (s *subConn) UpdateAddresses([]resolver.Address) {}

type noMetrics struct {
	stats.UnimplementedMetricsRecorder
}
