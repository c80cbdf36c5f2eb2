package rpcserver_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/rpc"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Three lines serve and register. Here the server runs in the background, so that
// a client of net/rpc can call it.
func Example() {
	hook := httptest.NewServer(&hook{changed: make(chan struct{}, 100)}) // in place of a dnsd on 127.0.0.1:8053
	defer hook.Close()

	s := rpcserver.New(rpcserver.Config{Announce: []register.Config{{Service: "_math._tcp", Hooks: []string{hook.URL}}}})
	s.Register(new(Arith))
	go s.ListenAndServe("127.0.0.1:0")

	if err := s.Announced(context.Background()); err != nil {
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

// A server of net/rpc's own, registered by register.Keep, stops without an error for
// its clients.
func ExampleListener() {
	hook := httptest.NewServer(&hook{changed: make(chan struct{}, 100)}) // in place of a dnsd on 127.0.0.1:8053
	defer hook.Close()

	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := rpc.NewServer()
	server.RegisterName("Arith", new(Arithmetic))
	l := rpcserver.NewListener(inner)
	go func() { // as server.Accept(l), without its line in the log
		for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
			go server.ServeConn(nc)
		}
	}()
	lease, err := register.Keep(context.Background(), register.Config{
		Service: "_math._tcp", Hooks: []string{hook.URL},
		Registration: register.Registration{Port: uint16(l.Addr().(*net.TCPAddr).Port)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := rpc.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	var product int
	call := client.Go("Arith.Multiply", Args{6, 7}, &product, nil)
	// In main: after <-ctx.Done(), of signal.NotifyContext(context.Background(), syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	fmt.Println(l.Stop(ctx, lease))
	err = (<-call.Done).Error
	fmt.Println(product, err)
	client.Close()
	// Output:
	// <nil>
	// 42 <nil>
}

// Arithmetic is registered with net/rpc without a line in the log.
type Arithmetic struct{}

// Multiply is that of Arith.
func (Arithmetic) Multiply(args Args, product *int) error {
	*product = args.A * args.B
	return nil
}
