package rpcserver_test

import (
	"fmt"
	"net"
	"net/rpc"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// What does not serve leaves DNS, if it is registered, and refuses new calls.
func ExampleServer_SetServing() {
	s := rpcserver.New(rpcserver.Config{})
	s.Register(new(Arith))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go s.Serve(l)
	defer s.Close()
	client, err := rpc.Dial("tcp", l.Addr().String()) // rpcclient calls another server instead
	if err != nil {
		panic(err)
	}
	defer client.Close()

	s.SetServing("Arith", false, "its tables are being loaded")
	fmt.Println(client.Call("Arith.Multiply", Args{6, 7}, new(int)))

	s.SetServing("Arith", true, "")
	fmt.Println(client.Call("Arith.Multiply", Args{6, 7}, new(int)))
	// Output:
	// rpcserver: Arith does not serve: its tables are being loaded
	// <nil>
}
