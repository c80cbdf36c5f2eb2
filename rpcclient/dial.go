package rpcclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// userTimeout is how long written bytes may stay unacknowledged before the kernel
// gives a connection up (TCP_USER_TIMEOUT, RFC 5482), instead of a quarter of an
// hour. It is longer than several pings take: it is for a dead path, and must not
// be what ends a connection that lost a packet or two.
const userTimeout = 20 * time.Second

// dial connects to an endpoint, through TLS if so configured.
func (c *Client) dial(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	dial := c.cfg.Dial
	if dial == nil {
		dial = dialTCP
	}
	nc, err := dial(ctx, ep)
	if err != nil {
		return nil, err
	}
	if t, ok := nc.(*net.TCPConn); ok {
		setUserTimeout(t, userTimeout)
	}
	if c.cfg.TLS == nil {
		return nc, nil
	}
	cfg := c.cfg.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = serverName(ep)
	}
	t := tls.Client(nc, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("tls to %s: %w", cfg.ServerName, err)
	}
	return t, nil
}

// serverName is the name a certificate must have: the SRV target, which the
// service's owner chose, and not the address, which only says where it is.
func serverName(ep resolver.Endpoint) string {
	if name := strings.TrimSuffix(ep.Target, "."); name != "" {
		return name
	}
	host, _, err := net.SplitHostPort(ep.Addr)
	if err != nil {
		return ep.Addr
	}
	return host
}

// dialTCP tries the addresses of an endpoint in turn, each for its share of the
// time, so that one that swallows packets leaves time for the next.
func dialTCP(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	addrs := append([]string{ep.Addr}, ep.Alt...)
	var errs []error
	for i, addr := range addrs {
		d := net.Dialer{}
		if end, ok := ctx.Deadline(); ok {
			d.Timeout = time.Until(end) / time.Duration(len(addrs)-i)
		}
		nc, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return nc, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// HTTPPath is a Config.Dial for servers behind rpc.HandleHTTP: it connects and asks
// for the switch to net/rpc on the path, "" for rpc.DefaultRPCPath. It does what
// rpc.DialHTTPPath does, within the time of its context.
func HTTPPath(path string) func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
	if path == "" {
		path = rpc.DefaultRPCPath
	}
	return func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error) {
		nc, err := dialTCP(ctx, ep)
		if err != nil {
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
