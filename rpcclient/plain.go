package rpcclient

import (
	"context"
	"errors"
	"net/rpc"
)

// Plain is a Client with the methods of an rpc.Client: no contexts, and the errors
// that net/rpc would give where it has any. It is for code that was written for
// net/rpc: in
//
//	client, err := rpc.Dial("tcp", "10.0.0.7:8080")
//
// the one line to change is this one, to
//
//	client, err := rpcclient.Dial("_math._tcp.svc", nil)
type Plain struct{ client *Client }

// Dial is New for code that was written for net/rpc. It waits until a node is
// usable, as rpc.Dial does, no longer than Config.Timeout.
func Dial(service string, cfg *Config) (*Plain, error) {
	c, err := New(service, cfg)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if c.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	if err := c.ready(ctx, byTimeout); err != nil {
		c.Close()
		return nil, err
	}
	return c.Plain(), nil
}

// Plain is the client as code for net/rpc expects it.
func (c *Client) Plain() *Plain { return &Plain{c} }

// Client is the client behind it.
func (p *Plain) Client() *Client { return p.client }

// Call is rpc.Client.Call: a server's error is the rpc.ServerError itself. Any
// other is an *Error.
func (p *Plain) Call(method string, args, reply any) error {
	return plainError(p.client.Call(context.Background(), method, args, reply))
}

// Go is rpc.Client.Go.
func (p *Plain) Go(method string, args, reply any, done chan *rpc.Call) *rpc.Call {
	return p.client.background(context.Background(), method, args, reply, done, plainError)
}

// Close is rpc.Client.Close, and ends calls under way with rpc.ErrShutdown.
func (p *Plain) Close() error {
	if p.client.closing.Load() {
		return rpc.ErrShutdown
	}
	return p.client.Close()
}

func plainError(err error) error {
	var server rpc.ServerError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrClosed):
		return rpc.ErrShutdown
	case errors.As(err, &server):
		return server
	}
	return err
}
