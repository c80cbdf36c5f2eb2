package rpcclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// dial connects to an endpoint, with TLS if Config.Conn.TLS is set.
func (c *Client) dial(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	if c.cfg.Conn.TLS != nil {
		name, err := c.serverName(ep)
		if err != nil {
			return nil, err
		}
		ctx = context.WithValue(ctx, securingKey{}, &securing{client: c, name: name})
	}
	var nc net.Conn
	var err error
	if c.cfg.Conn.Dial == nil {
		nc, err = dialTCP(ctx, ep)
	} else {
		nc, err = callDial(ctx, c.cfg.Conn.Dial, ep)
	}
	if err != nil {
		return nil, err
	}
	return secure(ctx, nc)
}

// callDial calls the user's Dial in a goroutine of its own, because it may panic, call
// Close, or not end with its context. A connection that it returns after that is closed.
func callDial(ctx context.Context, dial func(context.Context, resolver.Endpoint) (net.Conn, error), ep resolver.Endpoint) (net.Conn, error) {
	type dialled struct {
		nc  net.Conn
		err error
	}
	result := make(chan dialled)
	left := make(chan struct{})
	go func() {
		var l dialled
		defer func() {
			if p := recover(); p != nil {
				l = dialled{err: fmt.Errorf("panic in Config.Conn.Dial: %v", p)}
			}
			select {
			case result <- l:
			case <-left:
				if l.nc != nil {
					conn.CloseNow(l.nc)
				}
			}
		}()
		if l.nc, l.err = dial(ctx, ep); l.nc == nil && l.err == nil {
			l.err = errors.New("Config.Conn.Dial returned neither a connection nor an error")
		}
	}()
	select {
	case l := <-result:
		return l.nc, l.err
	case <-ctx.Done():
		close(left)
		return nil, context.Cause(ctx)
	}
}

// HTTPPath returns a Config.Conn.Dial for servers that use rpc.HandleHTTP. It connects and
// asks for net/rpc on the path, "" for rpc.DefaultRPCPath, as rpc.DialHTTPPath does, within
// the time of its context. With Config.Conn.TLS it speaks HTTPS.
func HTTPPath(path string) func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	if path == "" {
		path = rpc.DefaultRPCPath
	}
	return func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
		nc, err := dialTCP(ctx, ep)
		if err != nil {
			return nil, err
		}
		if nc, err = secure(ctx, nc); err != nil { // before anything is sent in clear
			return nil, err
		}
		if end, ok := ctx.Deadline(); ok { // with some time left to report the cause
			nc.SetDeadline(end.Add(-time.Until(end) / 10))
		}
		stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Now()) })
		if err := switchToRPC(nc, path); err != nil {
			stop()
			nc.Close()
			return nil, fmt.Errorf("CONNECT %s at %s: %w (does the server use rpc.HandleHTTP, with this path?)", path, ep.Addr, err)
		}
		if !stop() {
			nc.Close()
			return nil, context.Cause(ctx)
		}
		return nc, nc.SetDeadline(time.Time{})
	}
}

// connectedStatus is the answer of net/rpc to a CONNECT (server.go, connected).
const connectedStatus = "200 Connected to Go RPC"

func switchToRPC(nc net.Conn, path string) error {
	if _, err := nc.Write([]byte("CONNECT " + path + " HTTP/1.0\n\n")); err != nil {
		return err
	}
	// The server sends nothing more before the first request, so the buffer of the
	// reader loses nothing.
	resp, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: "CONNECT"})
	if err != nil {
		return err
	}
	if resp.Status != connectedStatus {
		return fmt.Errorf("unexpected HTTP response %q", resp.Status)
	}
	return nil
}

// Tests: events_test.go, pair_test.go, trust_test.go.
