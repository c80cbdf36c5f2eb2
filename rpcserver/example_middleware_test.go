package rpcserver_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/rpcserver"
)

// call serves s on a free port and calls it once, as a client of net/rpc.
func call(s *rpcserver.Server, method string, args, reply any) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go s.Serve(l)
	defer s.Close()
	client, err := rpc.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Call(method, args, reply)
}

// A method is a function, whose types the compiler checks.
func ExampleHandle() {
	s := rpcserver.New(rpcserver.Config{})
	err := rpcserver.Handle(s, "Arith.Multiply", func(ctx context.Context, args Args) (int, error) {
		return args.A * args.B, ctx.Err()
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var product int
	err = call(s, "Arith.Multiply", Args{6, 7}, &product)
	fmt.Println(product, err)
	// Output: 42 <nil>
}

// Only clients whose certificate has one of these names may call. Config.TLS has to require
// and verify certificates.
func ExampleMiddleware_certificate() {
	allowed := []string{"billing.internal"}
	byCertificate := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		tls := call.Peer.TLS
		if tls == nil || len(tls.VerifiedChains) == 0 {
			return rpcserver.Refuse(call.Method+": a client certificate is needed", 0)
		}
		leaf := tls.VerifiedChains[0][0]
		if !slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return slices.Contains(allowed, name) }) {
			return errors.New(call.Method + ": this client may not call")
		}
		return next(ctx, call)
	}
	s := rpcserver.New(rpcserver.Config{Middleware: []rpcserver.Middleware{byCertificate}}) // and TLS
	s.Register(new(Arith))
	fmt.Println(call(s, "Arith.Multiply", Args{6, 7}, new(int)))
	// Output: Arith.Multiply: a client certificate is needed
}

// A client sends a token along, rpcclient's with WithMeta(ctx, "token", token). The server
// compares its hash, in a time that does not depend on the token.
func ExampleMiddleware_token() {
	want := sha256.Sum256([]byte("correct horse"))
	byToken := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		token, _ := call.Meta.Get("token")
		if got := sha256.Sum256([]byte(token)); subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			return errors.New(call.Method + ": wrong token")
		}
		return next(ctx, call)
	}
	s := rpcserver.New(rpcserver.Config{Middleware: []rpcserver.Middleware{byToken}})
	s.Register(new(Arith))
	fmt.Println(call(s, "Arith.Multiply", Args{6, 7}, new(int)))
	// Output: Arith.Multiply: wrong token
}

// One line for each call. Errors are warnings.
func ExampleMiddleware_log() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	log := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		begin := time.Now()
		err := next(ctx, call)
		level := slog.LevelInfo
		if err != nil {
			level = slog.LevelWarn
		}
		logger.Log(ctx, level, "call", "method", call.Method, "network", call.Peer.Addr.Network(), "took", time.Since(begin), "err", err)
		return err
	}
	s := rpcserver.New(rpcserver.Config{Middleware: []rpcserver.Middleware{log}})
	s.Register(new(Arith))
	call(s, "Arith.Divide", Args{6, 0}, new(Quotient))
	// Output: level=WARN msg=call method=Arith.Divide network=tcp err="divide by zero"
}

// withoutTime is for the example: its output must be the same each time.
func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == "time" || a.Key == "took" {
		return slog.Attr{}
	}
	return a
}

// Each address may have two calls that run. What is more is refused, so that rpcclient calls
// another server, and this one not for a second.
func ExampleMiddleware_limit() {
	const most = 2
	var mu sync.Mutex
	running := map[string]int{}
	limit := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		caller, _, err := net.SplitHostPort(call.Peer.Addr.String())
		if err != nil {
			return err
		}
		mu.Lock()
		full := running[caller] >= most
		if !full {
			running[caller]++
		}
		mu.Unlock()
		if full {
			return rpcserver.Refuse(fmt.Sprintf("%s: %d calls of %s are running", call.Method, most, caller), time.Second)
		}
		defer func() {
			mu.Lock()
			if running[caller]--; running[caller] == 0 {
				delete(running, caller)
			}
			mu.Unlock()
		}()
		return next(ctx, call)
	}
	running["127.0.0.1"] = most
	s := rpcserver.New(rpcserver.Config{Middleware: []rpcserver.Middleware{limit}})
	s.Register(new(Arith))
	fmt.Println(call(s, "Arith.Multiply", Args{6, 7}, new(int)))
	// Output: Arith.Multiply: 2 calls of 127.0.0.1 are running
}
