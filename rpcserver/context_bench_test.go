package rpcserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// EchoContext is Echo with a context.
type EchoContext struct{}

func (EchoContext) Echo(_ context.Context, args Payload, reply *Payload) error {
	reply.Data = args.Data
	return nil
}

// BenchmarkServed: one call after the other of 1 KiB, with what a header may carry, to methods
// of both forms. The client is the wire alone.
func BenchmarkServed(b *testing.B) {
	carried, err := callmeta.Of([]string{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	if err != nil {
		b.Fatal(err)
	}
	pass := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error { return next(ctx, call) }
	for _, bb := range []struct {
		name       string
		req        rpcwire.Request
		middleware []rpcserver.Middleware
	}{
		{"plain", rpcwire.Request{ServiceMethod: "Echo.Echo"}, nil},
		{"plain-carried", rpcwire.Request{ServiceMethod: "Echo.Echo", Timeout: time.Second, Meta: carried}, nil},
		{"context", rpcwire.Request{ServiceMethod: "EchoContext.Echo"}, nil},
		{"context-carried", rpcwire.Request{ServiceMethod: "EchoContext.Echo", Timeout: time.Second, Meta: carried}, nil},
		{"middleware", rpcwire.Request{ServiceMethod: "Echo.Echo"}, []rpcserver.Middleware{pass}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			_, addr := serve(b, rpcserver.Config{Middleware: bb.middleware}, Echo{}, EchoContext{})
			c := wireTo(b, addr)
			c.nc.SetDeadline(time.Time{})
			args := Payload{Data: make([]byte, 1<<10)}
			var reply Payload
			b.ReportAllocs()
			for b.Loop() {
				bb.req.Seq++
				c.send(b, bb.req, &args)
				c.recv(b, &reply)
			}
		})
	}
}

// BenchmarkCancel: from the cancel's write to the end of the method's context.
func BenchmarkCancel(b *testing.B) {
	both := newBoth()
	_, addr := serve(b, rpcserver.Config{}, both)
	c := wireTo(b, addr)
	c.nc.SetDeadline(time.Time{})
	var took, longest time.Duration
	for seq := uint64(1); b.Loop(); seq++ {
		c.send(b, rpcwire.Request{ServiceMethod: "Both.Wait", Seq: seq}, 1)
		<-both.begun
		begin := time.Now()
		c.cancel(b, seq)
		<-both.ended
		d := time.Since(begin)
		took, longest = took+d, max(longest, d)
		c.recv(b, nil)
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "cancel-ns/op")
	b.ReportMetric(float64(longest.Nanoseconds()), "longest-ns")
}
