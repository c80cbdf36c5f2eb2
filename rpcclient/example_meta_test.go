package rpcclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// A deadline and metadata travel with the call, and the method finds them in its context. A
// server that refuses a call says so, and no server has executed it.
func ExampleWithMeta() {
	onlyKnown := func(ctx context.Context, call *rpcserver.Call, next rpcserver.Handler) error {
		if _, known := call.Meta.Get("user"); !known {
			return rpcserver.Refuse("tell your name", 0)
		}
		return next(ctx, call)
	}
	s := rpcserver.New(rpcserver.Config{Middleware: []rpcserver.Middleware{onlyKnown}})
	err := rpcserver.Handle(s, "Greeter.Greet", func(ctx context.Context, word string) (string, error) {
		user, _ := rpcserver.CallFrom(ctx).Meta.Get("user")
		_, limited := ctx.Deadline()
		return fmt.Sprint(word, ", ", user, "; limited: ", limited), nil
	})
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go s.Serve(l)
	defer s.Close()

	client, err := rpcclient.New("_greet._tcp.svc", &rpcclient.Config{Source: resolver.Static(l.Addr().String())})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	_, err = rpcclient.Invoke[string](ctx, client, "Greeter.Greet", "Hello")
	var refused *rpcclient.RefusedError
	fmt.Println(errors.As(err, &refused), refused.Text)

	fmt.Println(rpcclient.Invoke[string](rpcclient.WithMeta(ctx, "user", "Ada"), client, "Greeter.Greet", "Hello"))
	// Output:
	// true tell your name
	// Hello, Ada; limited: true <nil>
}
