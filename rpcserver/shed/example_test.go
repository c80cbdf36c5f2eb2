package shed_test

import (
	"fmt"
	"net"
	"net/rpc"

	"github.com/rollcall-dns/rollcall/rpcserver"
	"github.com/rollcall-dns/rollcall/rpcserver/shed"
)

// Doubler is a receiver.
type Doubler struct{}

// Double doubles.
func (Doubler) Double(n int, reply *int) error {
	*reply = 2 * n
	return nil
}

func Example() {
	limit := shed.New(shed.Config{})
	s := rpcserver.New(rpcserver.Config{Middleware: []rpcserver.Middleware{limit.Middleware}})
	if err := s.Register(Doubler{}); err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go s.Serve(l)
	defer s.Close()

	c, err := rpc.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	defer c.Close()
	var n int
	fmt.Println(c.Call("Doubler.Double", 21, &n), n, limit.Stats().Refused)
	// Output: <nil> 42 0
}
