package rpcclient

import (
	"context"
	"errors"
	"net/rpc"
)

// NetRPC is a Client with the methods of an rpc.Client: no contexts, and the errors of
// net/rpc where it has one. It is for code that was written for net/rpc. Change the line
//
//	client, err := rpc.Dial("tcp", "10.0.0.7:8080")
//
// to
//
//	client, err := rpcclient.Dial("_math._tcp.svc", nil)
type NetRPC struct{ client *Client }

// Dial makes a [Client] for code that was written for net/rpc. Like rpc.Dial, and unlike
// [New], it waits until a node is usable, for Config.Timeout at most.
func Dial(service string, cfg *Config) (*NetRPC, error) {
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
	return c.NetRPC(), nil
}

// NetRPC returns the client with the methods of an rpc.Client.
func (c *Client) NetRPC() *NetRPC { return &NetRPC{c} }

// Client returns the client that n was made of.
func (n *NetRPC) Client() *Client { return n.client }

// Call is rpc.Client.Call: a server's error is the rpc.ServerError itself, and after Close
// the error is rpc.ErrShutdown. Any other error is an *Error.
func (n *NetRPC) Call(method string, args, reply any) error {
	return netRPCError(n.client.Call(context.Background(), method, args, reply))
}

// Go is rpc.Client.Go.
func (n *NetRPC) Go(method string, args, reply any, done chan *rpc.Call) *rpc.Call {
	return n.client.background(context.Background(), method, args, reply, done, netRPCError)
}

// Close is rpc.Client.Close, and ends calls under way with rpc.ErrShutdown.
func (n *NetRPC) Close() error {
	if n.client.closing.Load() {
		return rpc.ErrShutdown
	}
	return n.client.Close()
}

// netRPCError is the error that net/rpc would give, if it has one for err.
func netRPCError(err error) error {
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
