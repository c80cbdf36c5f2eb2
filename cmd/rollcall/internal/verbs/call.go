package verbs

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"reflect"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/gobtype"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/show"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/view"
	"github.com/rollcall-dns/rollcall/resolver"
)

var call = cli.Command{
	Name: "call", Args: "NAME METHOD JSON", Min: 3, Max: 3,
	Short: "call a method of a net/rpc server that is found by name",
	Long: `NAME is a service, _math._tcp.svc, or an address, 10.0.0.7:8080. Of a service, instances
are tried in the order of RFC 2782 until one accepts a connection. The call is made once.
The reply is printed as JSON.

The server speaks JSON-RPC 1.0 (package net/rpc/jsonrpc), or with -gob the gob of net/rpc.
Gob needs the types of the program. Without -arg the type is guessed from the JSON: whole
numbers are int, objects are structs. Describe it if that is wrong:

  rollcall call -gob -arg 'struct{A, B int}' -reply int _math._tcp.svc Arith.Multiply '{"A":6,"B":7}'

Without -reply, the reply is not shown. What cannot be described: interfaces, and types
with an encoding of their own, but for time.Time. In JSON, []byte is base64.`,
	Make: func(flags *flag.FlagSet) cli.Run {
		var o calling
		serverFlag(flags, &o.servers)
		timeoutFlag(flags, &o.timeout, "how long to wait for DNS, connection and reply together")
		flags.BoolVar(&o.gob, "gob", false, "the server speaks gob")
		flags.StringVar(&o.arg, "arg", "", "with -gob: the `TYPE` of the argument, as in Go")
		flags.StringVar(&o.reply, "reply", "", "with -gob: the `TYPE` of the reply")
		return o.run
	},
}

// calling are the flags of call.
type calling struct {
	servers    string
	gob        bool
	arg, reply string
	timeout    time.Duration
}

const (
	// maxReply bounds what is read from the server of a call.
	maxReply = 64 << 20
	// maxDial is how long one address of several is tried.
	maxDial = 2 * time.Second
)

func (o *calling) run(ctx context.Context, c cli.Call) error {
	name, method := c.Args[0], c.Args[1]
	if service, m, ok := strings.Cut(method, "."); !ok || service == "" || m == "" {
		return cli.Wrong("bad method %q; write SERVICE.METHOD, such as Arith.Multiply", method)
	}
	if !json.Valid([]byte(c.Args[2])) {
		return cli.Wrong("the argument is not JSON: %s; a text needs its quotes: '\"text\"'", show.Clean(c.Args[2]))
	}
	arg, reply, err := o.values([]byte(c.Args[2]))
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	conn, err := o.connect(ctx, name)
	if err != nil {
		return err
	}
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		conn.Close()
		return err
	}
	limited := &bounded{Conn: conn, left: maxReply}
	dial, other := jsonrpc.NewClient, "; does it speak gob? Then give -gob"
	if o.gob {
		dial, other = rpc.NewClient, "; does it speak JSON-RPC? Then leave -gob out"
	}
	client := dial(limited)
	defer client.Close()
	if err := client.Call(method, arg, reply); err != nil {
		var says rpc.ServerError
		if errors.As(err, &says) {
			cure := ""
			if o.gob && strings.HasPrefix(err.Error(), "gob: ") {
				cure = "; describe the type of the argument with -arg, as the method has it"
			}
			return fmt.Errorf("%s at %s says: %s%s", method, conn.RemoteAddr(), show.Clean(err.Error()), cure)
		}
		return fmt.Errorf("%s at %s: %w%s", method, conn.RemoteAddr(), err, other)
	}
	if o.gob && o.reply == "" {
		fmt.Fprintln(c.Err, "rollcall call: executed; describe the type of the reply with -reply to see it")
		return nil
	}
	return show.JSON(c.Out, reply)
}

// values are what is sent, and where the reply goes.
func (o *calling) values(text []byte) (arg, reply any, err error) {
	if !o.gob {
		if o.arg != "" || o.reply != "" {
			return nil, nil, errors.New("-arg and -reply are for -gob: JSON needs no types")
		}
		return json.RawMessage(text), new(json.RawMessage), nil
	}
	var t reflect.Type
	if o.arg == "" {
		t, err = gobtype.Guess(text)
	} else if t, err = gobtype.Parse(o.arg); err != nil {
		err = fmt.Errorf("-arg: %w", err)
	}
	if err != nil {
		return nil, nil, err
	}
	if arg, err = gobtype.Value(t, text); err != nil {
		return nil, nil, err
	}
	if o.reply == "" {
		return arg, nil, nil
	}
	if t, err = gobtype.Parse(o.reply); err != nil {
		return nil, nil, fmt.Errorf("-reply: %w", err)
	}
	return arg, reflect.New(t).Interface(), nil
}

// connect finds an instance that accepts a connection.
func (o *calling) connect(ctx context.Context, name string) (net.Conn, error) {
	addrs := []string{name}
	if _, _, err := net.SplitHostPort(name); err != nil {
		if err := resolver.CheckService(name); err != nil {
			return nil, cli.Exit(cli.Usage, err)
		}
		servers, from, err := view.Servers(o.servers)
		if err != nil {
			return nil, cli.Exit(cli.Usage, err)
		}
		state, err := (&resolver.Resolver{Servers: servers, NoPush: true}).Lookup(ctx, name)
		switch {
		case errors.Is(err, resolver.ErrNoSuchName):
			return nil, cli.Exit(cli.NotFound, fmt.Errorf("%w%s", err, view.Elsewhere("; ", from)))
		case err != nil:
			return nil, fmt.Errorf("%w%s", err, view.Elsewhere("; ", from))
		}
		addrs = nil
		for _, e := range resolver.Order(state.Endpoints, nil) {
			addrs = append(append(addrs, e.Addr), e.Alt...)
		}
	}
	var all []error
	for _, a := range addrs {
		d := net.Dialer{}
		if len(addrs) > 1 {
			d.Timeout = maxDial
		}
		conn, err := d.DialContext(ctx, "tcp", a)
		if err == nil {
			return conn, nil
		}
		all = append(all, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("no instance of %s accepts a connection: %w", name, errors.Join(all...))
}

// bounded is a connection that ends after as many octets.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the reply has more than %d octets", maxReply)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Tests: script_test.go.
