package rpcserver_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"net/rpc/jsonrpc"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

func TestStockClientCalls(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{})
	client := dial(t, addr)
	var n int
	if err := client.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
		t.Errorf("Multiply: %d, %v", n, err)
	}
	var q Quotient
	if err := client.Call("Arith.Divide", &Args{7, 2}, &q); err != nil || q != (Quotient{3, 1}) {
		t.Errorf("Divide: %v, %v", q, err)
	}
	var m map[string]int
	if err := client.Call("Arith.Maps", 0, &m); err != nil || m == nil {
		t.Errorf("Maps: %v, %v: an empty map is not nil", m, err)
	}
}

// TestAnswersAreThoseOfNetRPC asks both servers the same questions.
func TestAnswersAreThoseOfNetRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stock := rpc.NewServer()
	stock.Register(newArith())
	var wg sync.WaitGroup
	wg.Go(func() {
		nc, err := l.Accept()
		if err == nil {
			stock.ServeConn(nc)
		}
	})
	defer wg.Wait()
	defer l.Close()
	_, addr := serve(t, rpcserver.Config{})
	theirs, ours := dial(t, l.Addr().String()), dial(t, addr)
	defer theirs.Close()
	for _, q := range []struct {
		method string
		args   any
	}{
		{"Arith.Multiply", Args{2, 3}},
		{"Arith.Divide", Args{1, 0}},
		{"Arith.Divide", Args{7, 2}},
		{"Arith.EmptyError", 1},
		{"Arith.Nope", 1},
		{"Nope.Nope", Args{}},
		{"nodot", 1},
		{"", 1},
		{"Arith.Multiply", "not a struct"},
		{"Arith.Multiply", struct{ A string }{"x"}},
		{"Arith.Multiply", struct{ C int }{1}},
		{"Arith.Multiply", struct{ A int8 }{1}},
		{"Arith.Multiply", map[string]int{"A": 1}},
		{"Arith.Multiply", Args{3, 3}},
	} {
		for range 2 { // the second time, types are known
			var a, b any
			var ra, rb Quotient
			var ia, ib int
			a, b = &ia, &ib
			if q.method == "Arith.Divide" {
				a, b = &ra, &rb
			}
			want := theirs.Call(q.method, q.args, a)
			got := ours.Call(q.method, q.args, b)
			if fmt.Sprint(got) != fmt.Sprint(want) || reflect.TypeOf(got) != reflect.TypeOf(want) || !reflect.DeepEqual(a, b) {
				t.Errorf("%s(%+v): got %v, %v; net/rpc says %v, %v", q.method, q.args, rb, got, ra, want)
			}
		}
	}
}

func TestSlowCallDoesNotHoldUpOthers(t *testing.T) {
	a := newArith()
	_, addr := serve(t, rpcserver.Config{}, a)
	client := dial(t, addr)
	slow := client.Go("Arith.Wait", 5, new(int), nil)
	<-a.begun
	for i := range 100 {
		var n int
		if err := client.Call("Arith.Multiply", Args{i, 2}, &n); err != nil || n != 2*i {
			t.Fatal(n, err)
		}
	}
	close(a.gate)
	if c := <-slow.Done; c.Error != nil || *c.Reply.(*int) != 5 {
		t.Fatal(c.Error)
	}
}

func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	s, addr := serve(t, rpcserver.Config{})
	client := dial(t, addr)
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 200 {
				var n int
				if err := client.Call("Arith.Multiply", Args{g, i}, &n); err != nil || n != g*i {
					t.Errorf("%d*%d: %d, %v", g, i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	if st.Requests != 6400 || st.InFlight != 0 || st.Conns != 1 {
		t.Errorf("stats %+v", st)
	}
	for _, m := range st.Methods {
		if m.Name == "Arith.Multiply" && m.Calls != 6400 {
			t.Errorf("%+v", m)
		}
	}
}

func TestPipelinedRequestsShareWrites(t *testing.T) {
	a := newArith()
	s, addr := serve(t, rpcserver.Config{}, a)
	c := raw(t, addr)
	const n = 500
	for i := range n {
		c.send(t, "Arith.Wait", i)
	}
	for range n {
		<-a.begun
	}
	close(a.gate)
	seen := map[uint64]bool{}
	for range n {
		var got int
		resp := c.recv(t, &got)
		if resp.Error != "" || uint64(got+1) != resp.Seq || seen[resp.Seq] {
			t.Fatalf("%+v, %d", resp, got)
		}
		seen[resp.Seq] = true
	}
	if w := s.Stats().Writes; w > n/2 {
		t.Errorf("%d answers took %d writes", n, w)
	}
}

func TestJSONRPC(t *testing.T) {
	_, addr := serve(t, rpcserver.Config{Codec: jsonrpc.NewServerCodec})
	client, err := jsonrpc.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				var n int
				if err := client.Call("Arith.Multiply", Args{g, i}, &n); err != nil || n != g*i {
					t.Errorf("%d*%d: %d, %v", g, i, n, err)
				}
			}
		})
	}
	wg.Wait()
	wantError(t, client.Call("Arith.Divide", Args{1, 0}, new(Quotient)), "divide by zero")
	wantError(t, client.Call("Arith.Nope", 1, new(int)), "rpc: can't find method Arith.Nope")
	wantError(t, client.Call("Arith.Panic", "ouch", new(int)), "ouch")
	wantError(t, client.Call("Arith.Multiply", "no struct", new(int)), "cannot unmarshal")
	var n int
	if err := client.Call("Arith.Multiply", Args{2, 2}, &n); err != nil || n != 4 {
		t.Errorf("after all that: %d, %v", n, err)
	}
	// This codec forgets a request when it is to answer it, so a second answer is not
	// possible. The connection ends, so that the client does not wait for ever.
	if err := client.Call("Arith.Unknown", 1, new(Any)); err == nil {
		t.Error("no error for a reply that cannot be encoded")
	}
}

func TestDialHTTP(t *testing.T) {
	s := rpcserver.New(rpcserver.Config{})
	s.Register(newArith())
	mux := http.NewServeMux()
	mux.Handle(rpc.DefaultRPCPath, s)
	web := httptest.NewServer(mux)
	defer web.Close()
	defer s.Close()
	client, err := rpc.DialHTTP("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var n int
	if err := client.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
		t.Error(n, err)
	}
	resp, err := http.Get(web.URL + rpc.DefaultRPCPath)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTLS(t *testing.T) {
	pki := httptest.NewTLSServer(nil) // for its certificate
	defer pki.Close()
	_, addr := serve(t, rpcserver.Config{TLS: &tls.Config{Certificates: pki.TLS.Certificates}})
	roots := pki.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	nc, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, ServerName: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClient(nc)
	defer client.Close()
	var n int
	if err := client.Call("Arith.Multiply", Args{6, 7}, &n); err != nil || n != 42 {
		t.Error(n, err)
	}
}

func TestPingIsAnsweredWhileAllMethodsHang(t *testing.T) {
	a := newArith()
	_, addr := serve(t, rpcserver.Config{}, a)
	defer close(a.gate)
	c := raw(t, addr)
	for range 10 {
		c.send(t, "Arith.Wait", 1)
		<-a.begun
	}
	seq := c.send(t, "_rollcall.Ping", struct{}{})
	if resp := c.recv(t, nil); resp.Seq != seq || resp.Error != "" {
		t.Errorf("%+v", resp)
	}
}

// Keeper keeps its arguments, as net/rpc allows.
type Keeper struct {
	mu   sync.Mutex
	vals [][]int
	ptrs []*[]int
}

// Value keeps a slice that it got by value.
func (k *Keeper) Value(in []int, _ *int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.vals = append(k.vals, in)
	return nil
}

// Pointer keeps a pointer.
func (k *Keeper) Pointer(in *[]int, _ *int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ptrs = append(k.ptrs, in)
	return nil
}

func TestMethodMayKeepItsArgument(t *testing.T) {
	k := &Keeper{}
	_, addr := serve(t, rpcserver.Config{}, k)
	client := dial(t, addr)
	for i := range 100 {
		arg := []int{i, i + 1, i + 2}
		if err := client.Call("Keeper.Value", arg, new(int)); err != nil {
			t.Fatal(err)
		}
		if err := client.Call("Keeper.Pointer", arg, new(int)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		want := []int{i, i + 1, i + 2}
		if !slices.Equal(k.vals[i], want) || !slices.Equal(*k.ptrs[i], want) {
			t.Fatalf("call %d: kept %v and %v", i, k.vals[i], *k.ptrs[i])
		}
	}
}
