package rpcserver_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/rpc"

	"github.com/rollcall-dns/rollcall/dnsd/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Three lines serve and register. Here the server runs in the background, so that
// a client of net/rpc can call it.
func Example() {
	hook := httptest.NewServer(&hook{changed: make(chan struct{}, 100)}) // in place of a dnsd on 127.0.0.1:8053
	defer hook.Close()

	s := rpcserver.New(rpcserver.Config{Register: &register.Config{Service: "_math._tcp", Hooks: []string{hook.URL}}})
	s.Register(new(Arith))
	go s.ListenAndServe("127.0.0.1:0")

	if err := s.Registered(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	client, err := rpc.Dial("tcp", s.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	var product int
	err = client.Call("Arith.Multiply", Args{6, 7}, &product)
	fmt.Println(product, err)
	err = client.Call("Arith.Panic", "oops", &product)
	fmt.Println(err)
	client.Close()
	fmt.Println(s.Shutdown(context.Background()))
	// Output:
	// 42 <nil>
	// rpcserver: panic in Arith.Panic: oops
	// <nil>
}

// Run is all of main: it ends when the context does, after a graceful shutdown.
func ExampleServer_Run() {
	// In main: ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	ctx, stop := context.WithCancel(context.Background())
	s := rpcserver.New(rpcserver.Config{Addr: "127.0.0.1:0"})
	s.Register(new(Arith))
	stop()
	fmt.Println(s.Run(ctx))
	// Output: <nil>
}
