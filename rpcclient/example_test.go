package rpcclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
)

type Args struct{ A, B int }

type Arith struct{}

func (Arith) Multiply(args *Args, reply *int) error {
	*reply = args.A * args.B
	return nil
}

func (Arith) Divide(args *Args, reply *int) error {
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	*reply = args.A / args.B
	return nil
}

// serve runs a server of the standard library.
func serve() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := rpc.NewServer()
	s.Register(Arith{})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.ServeConn(conn)
		}
	}()
	return l
}

func Example() {
	l := serve()
	defer l.Close()

	client, err := rpcclient.New("_math._tcp.svc", &rpcclient.Config{
		// Without a Source, the name is looked up in DNS.
		Source: resolver.Static(l.Addr().String()),
		Methods: map[string]rpcclient.Method{
			"Arith.Multiply": {Idempotent: true, Hedge: 0.02},
		},
	})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	ctx := context.Background()
	var product int
	err = client.Call(ctx, "Arith.Multiply", &Args{7, 8}, &product)
	fmt.Println(product, err)

	_, err = rpcclient.Invoke[int](ctx, client, "Arith.Divide", Args{1, 0})
	fmt.Println(err)
	var failed *rpcclient.Error
	if errors.As(err, &failed) {
		fmt.Println("executed:", failed.Executed)
	}
	// Output:
	// 56 <nil>
	// rpcclient: call Arith.Divide of _math._tcp.svc: divide by zero
	// executed: yes
}

// Multiply is what this program knows of the method: its types, and that it is idempotent.
var Multiply = rpcclient.MethodOf[*Args, int]("Arith.Multiply", rpcclient.Method{Idempotent: true})

func ExampleMethodOf() {
	l := serve()
	defer l.Close()

	client, err := rpcclient.New("_math._tcp.svc", &rpcclient.Config{Source: resolver.Static(l.Addr().String())})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	product, err := Multiply.Call(context.Background(), client, &Args{7, 8})
	fmt.Println(product, err)
	// Output:
	// 56 <nil>
}

// A program written for net/rpc changes one line: rpc.Dial.
func ExampleDial() {
	l := serve()
	defer l.Close()

	client, err := rpcclient.Dial("_math._tcp.svc", &rpcclient.Config{Source: resolver.Static(l.Addr().String())})
	if err != nil {
		panic(err)
	}
	defer client.Close()

	var quotient int
	call := <-client.Go("Arith.Divide", &Args{17, 5}, &quotient, nil).Done
	fmt.Println(quotient, call.Error)
	err = client.Call("Arith.Divide", &Args{1, 0}, &quotient)
	_, ok := err.(rpc.ServerError)
	fmt.Println(err, ok)
	// Output:
	// 3 <nil>
	// divide by zero true
}
