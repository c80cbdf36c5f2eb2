package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// Listener lets a server of another package, such as net/rpc's own, stop without an error
// for its clients. The server is registered by register.Keep:
//
//	l := rpcserver.NewListener(inner)
//	go server.Accept(l) // *rpc.Server
//	...
//	err := l.Stop(ctx, lease)
//
// When reading fails, the server must answer the requests that it has read and then close
// the connection, as net/rpc's does. It cannot tell its clients that it stops: they learn it
// from DNS. A call that takes longer than rpcclient's ping interval, 10 s, is better
// served by a [Server], which answers pings during the call.
type Listener struct {
	net.Listener
	// Quiet is how long nothing must arrive on a connection before Stop believes that
	// nothing will: 300ms, unless it is set before use.
	Quiet time.Duration

	mu    sync.Mutex // guards conns
	conns map[*tracked]struct{}
	none  sync.Cond // conns has become empty
}

// NewListener accepts the connections of inner.
func NewListener(inner net.Listener) *Listener {
	l := &Listener{Listener: inner, Quiet: defaultQuiet, conns: map[*tracked]struct{}{}}
	l.none.L = &l.mu
	return l
}

// tracked is a connection of a Listener.
type tracked struct {
	net.Conn
	of    *Listener
	reads atomic.Uint64
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &tracked{Conn: nc, of: l}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	return c, nil
}

func (c *tracked) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.reads.Add(1)
	return n, err
}

func (c *tracked) Close() error {
	l := c.of
	l.mu.Lock()
	delete(l.conns, c)
	if len(l.conns) == 0 {
		l.none.Broadcast()
	}
	l.mu.Unlock()
	return c.Conn.Close()
}

// open lists the connections.
func (l *Listener) open() []*tracked {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.conns))
}

// Stop closes the lease (nil: there is none) and goes on accepting until the TTL of the
// record is over, because a client may have the record in a cache. Then it ends each
// connection on which nothing has come for Quiet: reading fails, and the server answers
// the requests that it had read. A second (or a tenth of the time) before the end of ctx's
// time, reading fails on all connections. When ctx ends, all are closed, and Stop returns
// the cause: calls may have been lost. A hook that does not answer is not waited for, and
// is an error, too.
func (l *Listener) Stop(ctx context.Context, lease *register.Lease) error {
	ttl, deregister := time.Duration(0), func(context.Context) error { return nil }
	if lease != nil {
		ttl, deregister = lease.Status().Published.TTL.Std(), lease.Close
	}
	hook := leave(ctx, ttl, deregister)
	defer hook.cancel()
	reading, cancel := beforeEnd(ctx)
	defer cancel()
	hook.wait(reading, headStart)
	hook.waitForRecord(reading)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok && d.SetDeadline(time.Now().Add(backlogTime)) == nil {
		wait(ctx, backlogTime) // for connections that the kernel has accepted
	}
	l.Listener.Close()

	gone := make(chan struct{})
	go func() {
		l.mu.Lock()
		for len(l.conns) > 0 {
			l.none.Wait()
		}
		l.mu.Unlock()
		close(gone)
	}()
	l.quieten(reading, gone)
	var err error
	select {
	case <-gone:
	case <-ctx.Done():
		for _, c := range l.open() {
			closeNow(c)
		}
		err = fmt.Errorf("rpcserver: stop: %w", context.Cause(ctx))
	}
	return errors.Join(hook.finish(ctx), err)
}

// quieten makes reading fail on each connection that has become quiet, and at the end of
// ctx on all.
func (l *Listener) quieten(ctx context.Context, gone <-chan struct{}) {
	tick := time.NewTicker(max(l.Quiet, time.Millisecond))
	defer tick.Stop()
	seen := map[*tracked]uint64{}
	for over := false; !over; {
		select {
		case <-gone:
			return
		case <-tick.C:
		case <-ctx.Done():
			over = true
		}
		now := map[*tracked]uint64{}
		for _, c := range l.open() {
			now[c] = c.reads.Load()
			if before, known := seen[c]; over || known && before == now[c] {
				c.SetReadDeadline(time.Unix(1, 0))
			}
		}
		seen = now
	}
}
