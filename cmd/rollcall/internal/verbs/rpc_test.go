//go:build unix

package verbs

import (
	"errors"
	"io"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"

	"github.com/rogpeppe/go-internal/testscript"
)

// Args and Arith are those of the documentation of net/rpc.
type Args struct{ A, B int }

type Quotient struct{ Quo, Rem int }

type Arith struct{}

func (Arith) Multiply(args *Args, reply *int) error {
	*reply = args.A * args.B
	return nil
}

func (Arith) Divide(args *Args, q *Quotient) error {
	if args.B == 0 {
		return errors.New("divide by \x1b[31mzero")
	}
	q.Quo, q.Rem = args.A/args.B, args.A%args.B
	return nil
}

// rpc gob|json NAME: serves Arith on the port $NAME of loopback, until the script ends.
func cmdRPC(ts *testscript.TestScript, neg bool, args []string) {
	server := rpc.NewServer()
	ts.Check(server.Register(Arith{}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	of(ts).open = append(of(ts).open, l)
	codec := func(c io.ReadWriteCloser) { server.ServeConn(c) }
	if args[0] == "json" {
		codec = func(c io.ReadWriteCloser) { server.ServeCodec(jsonrpc.NewServerCodec(c)) }
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go codec(c)
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ts.Setenv(args[1], port)
}
