package rpcclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// ConnConfig says how a Client makes, keeps and ends its connections.
type ConnConfig struct {
	// PerNode is how many connections are kept to each node. 0: 2.
	PerNode int
	// MaxNodes is how many nodes of one priority are connected to at most. If there
	// are more, each client takes some at random and stays with them. 0: 200, because
	// with two connections each they stay below the 1,024 descriptors that a process
	// usually has. balancer.Subset says more exactly which client connects to which
	// nodes.
	MaxNodes int

	// Dial makes the connection, and returns when ctx ends. nil: TCP to ep.Addr and
	// each of ep.Alt as RFC 8305 has it: the next one 250ms after the one before.
	Dial func(ctx context.Context, ep resolver.Endpoint) (net.Conn, error)
	// DialTimeout is for connecting, TLS and the first ping. 0: 3s.
	DialTimeout time.Duration
	// TLS is spoken on each connection, if not nil. The certificate is verified
	// against ServerName, or if that is empty against the endpoint's Target, which
	// must be one that TLSNames admits. docs/security.md has the whole.
	TLS *tls.Config
	// TLSNames are the targets that a certificate may be verified against: a name, or
	// ".example.com" for all names under it. nil: those under the service's domain,
	// ".svc" for "_math._tcp.svc". DNS can be forged, so it must not choose the name
	// alone.
	TLSNames []string
	// Codec makes the codec of a connection. nil: the gob of net/rpc. Others,
	// for example jsonrpc.NewClientCodec, must write a request in WriteRequest,
	// not later. What fails to encode or to decode costs a reconnection.
	Codec func(io.ReadWriteCloser) rpc.ClientCodec

	// PingInterval is how long a connection may be silent before it is pinged: by a
	// call of a method that no server has, "_rollcall.Ping". Each connection begins
	// with a ping. 0: 10s. Negative: no pings, not even the first.
	PingInterval time.Duration
	// PingTimeout is how long the answer to a ping may take. 0: 2s.
	PingTimeout time.Duration
	// WriteTimeout is how long a write may make no progress before its connection
	// is given up. 0: 5s.
	WriteTimeout time.Duration
	// MaxReply bounds the encoded size of a reply; a larger one ends its
	// connection. 0: 1 GiB, the bound of encoding/gob. It is for gob only.
	MaxReply int
	// DrainTimeout is how long calls in flight may take to finish on a node that
	// is no longer announced. 0: 30s.
	DrainTimeout time.Duration
}

// withDefaults checks the settings and fills in the defaults. Its error begins with the
// name of a field.
func (c ConnConfig) withDefaults() (ConnConfig, error) {
	for name, value := range map[string]int64{
		"PerNode": int64(c.PerNode), "MaxNodes": int64(c.MaxNodes), "MaxReply": int64(c.MaxReply),
		"DialTimeout": int64(c.DialTimeout), "PingTimeout": int64(c.PingTimeout),
		"WriteTimeout": int64(c.WriteTimeout), "DrainTimeout": int64(c.DrainTimeout),
	} {
		if value < 0 {
			return c, fmt.Errorf("%s is negative: want more than 0, or 0 for the default", name)
		}
	}
	var err error
	if c.TLSNames, err = checkTLSNames(c.TLSNames); err != nil {
		return c, err
	}
	c.PerNode = cmp.Or(c.PerNode, 2)
	c.MaxNodes = cmp.Or(c.MaxNodes, 200)
	c.DialTimeout = cmp.Or(c.DialTimeout, 3*time.Second)
	c.PingInterval = max(0, cmp.Or(c.PingInterval, 10*time.Second))
	c.PingTimeout = cmp.Or(c.PingTimeout, 2*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 5*time.Second)
	c.MaxReply = cmp.Or(c.MaxReply, 1<<30)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 30*time.Second)
	return c, nil
}
