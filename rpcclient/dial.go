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

// dial connects to an endpoint, through TLS if so configured.
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

// callDial calls a Dial that is not ours, in a goroutine of its own: it may panic, call
// Close, or not end with its context. What it still returns then is closed.
func callDial(ctx context.Context, dial func(context.Context, resolver.Endpoint) (net.Conn, error), ep resolver.Endpoint) (net.Conn, error) {
	type landing struct {
		nc  net.Conn
		err error
	}
	landed := make(chan landing)
	left := make(chan struct{})
	go func() {
		var l landing
		defer func() {
			if p := recover(); p != nil {
				l = landing{err: fmt.Errorf("panic in Config.Conn.Dial: %v", p)}
			}
			select {
			case landed <- l:
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
	case l := <-landed:
		return l.nc, l.err
	case <-ctx.Done():
		close(left)
		return nil, context.Cause(ctx)
	}
}

// HTTPPath is a Config.Conn.Dial for servers behind rpc.HandleHTTP: it connects and asks
// for the switch to net/rpc on the path, "" for rpc.DefaultRPCPath. It does what
// rpc.DialHTTPPath does, within the time of its context. With Config.Conn.TLS the server is
// one of HTTPS.
func HTTPPath(path string) func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	if path == "" {
		path = rpc.DefaultRPCPath
	}
	return func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
		nc, err := dialTCP(ctx, ep)
		if err != nil {
			return nil, err
		}
		if nc, err = secure(ctx, nc); err != nil { // before a word is said in clear
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Now()) })
		if err := switchToRPC(nc, path); err != nil {
			stop()
			nc.Close()
			return nil, fmt.Errorf("connect to %s at %s: %w", path, ep.Addr, err)
		}
		if !stop() {
			nc.Close()
			return nil, context.Cause(ctx)
		}
		return nc, nil
	}
}

// connectedStatus is what net/rpc answers to a CONNECT (server.go, connected).
const connectedStatus = "200 Connected to Go RPC"

func switchToRPC(nc net.Conn, path string) error {
	if _, err := nc.Write([]byte("CONNECT " + path + " HTTP/1.0\n\n")); err != nil {
		return err
	}
	// The server says nothing more before it is asked, so that nothing is lost
	// in the reader.
	resp, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: "CONNECT"})
	if err != nil {
		return err
	}
	if resp.Status != connectedStatus {
		return fmt.Errorf("unexpected HTTP response %q", resp.Status)
	}
	return nil
}
