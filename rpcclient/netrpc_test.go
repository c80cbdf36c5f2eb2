package rpcclient

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

func TestNetRPCIsWhatAnRPCClientIs(t *testing.T) {
	s := startStock(t, "")
	client := newClient(t, Config{}, s.addr).NetRPC()
	// The code below was written for *rpc.Client.
	var caller interface {
		Call(method string, args, reply any) error
		Go(method string, args, reply any, done chan *rpc.Call) *rpc.Call
		Close() error
	} = client
	var quo Quotient
	err := caller.Call("Arith.Divide", &Args{1, 0}, &quo)
	if _, ok := err.(rpc.ServerError); !ok {
		t.Fatalf("%T %v", err, err)
	}
	call := <-caller.Go("Arith.Divide", &Args{9, 2}, &quo, nil).Done
	if call.Error != nil || quo.Quo != 4 {
		t.Fatal(call.Error, quo)
	}
	caller.Close()
	if err := caller.Call("Arith.Divide", &Args{1, 0}, &quo); err != rpc.ErrShutdown {
		t.Fatal(err)
	}
	if err := caller.Close(); err != rpc.ErrShutdown {
		t.Fatal(err)
	}
}

// The user of Dial gave no context, so the error names the setting that ended the wait.
func TestDialNamesTheLimitThatEndedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := Dial("_math._tcp.svc", &Config{
			Source: resolver.Static("a:1"), Timeout: 2 * time.Second,
			Conn: ConnConfig{Dial: func(context.Context, resolver.Endpoint) (net.Conn, error) { return nil, syscall.ECONNREFUSED }},
		})
		mustContain(t, err, "rpcclient: wait for _math._tcp.svc: nothing within Config.Timeout: no usable node of 1 announced; a:1: connection refused")
		if took := time.Since(began); took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoNodes) {
			t.Errorf("%v after %v", err, took)
		}
	})
}
