package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/testenv"
)

// serveArg as first argument makes this program a math server:
// demo SERVE-ARG HOOK[,HOOK...] ID WEIGHT.
const serveArg = "-serve-math"

// serve is a server's whole life: net/rpc as the standard library has it, and a
// registration beside it. It ends when its standard input does, so that it
// cannot outlive the demo, and on SIGTERM.
func serve(hooks, id, weight string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	signal.Ignore(syscall.SIGINT) // a terminal's Ctrl-C reaches all: the demo decides
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	w, err := strconv.ParseUint(weight, 10, 16)
	if err != nil {
		return err
	}
	rpcs := rpc.NewServer()
	if err := rpcs.Register(&testenv.Arith{Name: id}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go rpcs.Accept(l)

	lease, err := register.Keep(ctx, register.Config{
		Hooks: strings.Split(hooks, ","), Service: "_math._tcp", ID: id,
		Registration: register.Registration{
			Port: uint16(l.Addr().(*net.TCPAddr).Port), Weight: register.Uint16(uint16(w)),
			TTL: register.Duration(ttl), Lease: register.Duration(lease),
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	fmt.Println(l.Addr()) // tells the demo: registered
	<-ctx.Done()
	closing, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	return lease.Close(closing)
}
