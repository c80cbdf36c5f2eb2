package rpcclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"net/rpc/jsonrpc"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// eps is a Source of endpoints that never change.
type eps []resolver.Endpoint

func (e eps) Watch(ctx context.Context, _ string) iter.Seq[resolver.State] {
	return func(yield func(resolver.State) bool) {
		if yield(resolver.State{Endpoints: e, Confirmed: time.Now(), TTL: time.Minute}) {
			<-ctx.Done()
		}
	}
}

// exercise makes the calls that a client must be able to make to any server.
func exercise(t *testing.T, c *Client) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				var product int
				if err := c.Call(t.Context(), "Arith.Multiply", &Args{i, j}, &product); err != nil || product != i*j {
					t.Errorf("%d*%d = %d, %v", i, j, product, err)
					return
				}
			}
		})
	}
	wg.Wait()
	var server rpc.ServerError
	if err := c.Call(t.Context(), "Arith.Divide", &Args{1, 0}, new(Quotient)); !errors.As(err, &server) || server != "divide by zero" {
		t.Error(err)
	}
	var e *Error
	if err := c.Call(t.Context(), "Arith.Nope", &Args{1, 0}, new(Quotient)); !errors.As(err, &e) || e.Executed != ExecutedYes {
		t.Error(err)
	}
	if err := c.Call(t.Context(), "Arith.Multiply", &Args{1, 2}, new(Quotient)); !errors.As(err, &e) || e.Executed != ExecutedYes || e.Attempts[0].Phase != PhaseDecode {
		t.Error(err)
	}
	if err := c.Call(t.Context(), "Arith.Multiply", make(chan int), new(int)); !errors.As(err, &e) || e.Executed != ExecutedNever {
		t.Error(err)
	}
	large := &Payload{make([]byte, 300_000)}
	large.Data[len(large.Data)-1] = 7
	if got, err := Invoke[Payload](t.Context(), c, "Echo.Echo", large); err != nil || len(got.Data) != len(large.Data) || got.Data[len(got.Data)-1] != 7 {
		t.Error(len(got.Data), err)
	}
}

// startOurs starts an rpcserver with arith, or an Arith of its own, and Echo.
func startOurs(t *testing.T, cfg rpcserver.Config, arith ...*Arith) (s *rpcserver.Server, addr string) {
	t.Helper()
	s = rpcserver.New(cfg)
	if arith == nil {
		arith = []*Arith{{block: make(chan struct{}), entered: make(chan struct{}, 100)}}
	}
	for _, r := range []any{arith[0], Echo{}} {
		if err := s.Register(r); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
	return s, l.Addr().String()
}

func TestPairings(t *testing.T) {
	var mu sync.Mutex // guards calls
	// Every second call has all that can travel.
	calls := 0
	loaded := func(ctx context.Context, in *Invocation, next func(context.Context, *Invocation) error) error {
		mu.Lock()
		calls++
		plain := calls%2 == 0
		mu.Unlock()
		if plain {
			return next(ctx, in)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		ctx = WithMeta(WithMeta(ctx, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), "empty", "")
		return next(ctx, in)
	}
	for name, cfg := range map[string]Config{"": {}, ", deadlines and metadata": {Interceptors: []Interceptor{loaded}}} {
		t.Run("stock server"+name, func(t *testing.T) { exercise(t, newClient(t, cfg, startStock(t, "").addr)) })
		t.Run("rpcserver"+name, func(t *testing.T) {
			_, addr := startOurs(t, rpcserver.Config{})
			exercise(t, newClient(t, cfg, addr))
		})
	}
	t.Run("stock server, JSON", func(t *testing.T) {
		s := startStock(t, "")
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { s.rpc.ServeCodec(jsonrpc.NewServerCodec(nc)) })
			}
		})
		t.Cleanup(func() { l.Close(); wg.Wait() }) // runs after the client is closed
		exercise(t, newClient(t, Config{Interceptors: []Interceptor{loaded}, Conn: ConnConfig{Codec: jsonrpc.NewClientCodec}}, l.Addr().String()))
	})
	t.Run("rpcserver, JSON", func(t *testing.T) {
		_, addr := startOurs(t, rpcserver.Config{Codec: jsonrpc.NewServerCodec})
		exercise(t, newClient(t, Config{Conn: ConnConfig{Codec: jsonrpc.NewClientCodec}}, addr))
	})
	t.Run("stock server, HTTP", func(t *testing.T) {
		s := startStock(t, "")
		mux := http.NewServeMux()
		mux.Handle(rpc.DefaultRPCPath, s.rpc)
		h := httptest.NewServer(mux)
		t.Cleanup(h.Close)
		exercise(t, newClient(t, Config{Conn: ConnConfig{Dial: HTTPPath("")}}, h.Listener.Addr().String()))
	})
	t.Run("rpcserver, TLS", func(t *testing.T) {
		cert, pool := peertest.Certificate(t, "a1.math.tcp.svc")
		_, addr := startOurs(t, rpcserver.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
		exercise(t, newClient(t, Config{
			Conn:   ConnConfig{TLS: &tls.Config{RootCAs: pool}},
			Source: eps{{Addr: addr, Target: "a1.math.tcp.svc.", Weight: 1}},
		}))
	})
}

func TestCertificateMustNameTheTarget(t *testing.T) {
	cert, pool := peertest.Certificate(t, "a1.math.tcp.svc")
	_, addr := startOurs(t, rpcserver.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	c := newClient(t, Config{
		Conn:        ConnConfig{TLS: &tls.Config{RootCAs: pool}},
		Source:      eps{{Addr: addr, Target: "b2.math.tcp.svc.", Weight: 1}},
		WaitForNode: -1,
	})
	dialFailed(t, c)
	err := c.Call(t.Context(), "Arith.Multiply", &Args{1, 2}, nil)
	var bad x509.HostnameError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "b2.math.tcp.svc") {
		t.Fatal(err)
	}
}

// All servers are restarted gracefully, one after the other, during calls that are not
// idempotent: no call fails, and each is executed once.
func TestRollingShutdownLosesNoCall(t *testing.T) {
	var arith [2]*Arith
	start := func(a *Arith) (*rpcserver.Server, string, chan error) {
		s := rpcserver.New(rpcserver.Config{Quiet: 50 * time.Millisecond})
		if err := s.Register(a); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		return s, l.Addr().String(), ended
	}
	type instance struct {
		s     *rpcserver.Server
		addr  string
		ended chan error
	}
	var live []instance
	for i := range arith {
		arith[i] = &Arith{}
		s, addr, ended := start(arith[i])
		live = append(live, instance{s, addr, ended})
	}
	a := announce(live[0].addr, live[1].addr)
	c := newClient(t, Config{Source: a})
	allUp(t, c, 2)

	var calls sync.WaitGroup
	stop := make(chan struct{})
	var mu sync.Mutex
	made := 0
	for range 8 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var product int
				if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, &product); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				made++
				mu.Unlock()
			}
		})
	}
	for range 6 {
		old := live[0]
		s, addr, ended := start(arith[0])
		live = []instance{live[1], {s, addr, ended}}
		a.say(old.addr, live[0].addr, live[1].addr)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := old.s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		<-old.ended
		a.say(live[0].addr, live[1].addr)
	}
	close(stop)
	calls.Wait()
	for _, i := range live {
		i.s.Close()
		<-i.ended
	}
	if executed := arith[0].executed.Load() + arith[1].executed.Load(); executed != int64(made) {
		t.Errorf("%d calls, executed %d times", made, executed)
	}
	if s := c.Stats(); made == 0 || s.FailedMaybe+s.FailedNever > 0 {
		t.Errorf("%d calls: %+v", made, s)
	}
}
