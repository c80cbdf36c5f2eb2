//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// sourceOf is the address of loopback of client i. dnsd bounds what one address may have.
func sourceOf(i int) net.IP { return net.IPv4(127, byte(1+i>>16), byte(i>>8), byte(i)) }

// crowd is sessions that follow one service, and read as little of a message as tells that it
// is a set.
type crowd struct {
	conns   []net.Conn
	sockets []*stamped                    // below them
	gate    atomic.Pointer[chan struct{}] // readers wait until it is closed; nil: they do not
	sets    atomic.Int64                  // that came
	next    atomic.Int64                  // full has a value when so many have come
	full    chan struct{}                 // has a value when all have the change
	lost    atomic.Int64
	done    sync.WaitGroup
}

// dialAtOnce is how many sessions begin at one time.
const dialAtOnce = 64

// gather begins n sessions, with TLS if config is not nil, and returns when each has had its
// first set.
func gather(ctx context.Context, n int, server netip.AddrPort, config *tls.Config) (*crowd, error) {
	c := &crowd{full: make(chan struct{}, 1), conns: make([]net.Conn, n), sockets: make([]*stamped, n)}
	c.next.Store(int64(n))
	follow, err := dso.AppendFollow(nil, 7, service+".svc.")
	if err != nil {
		return nil, err
	}
	// Without it a session needs a message each 15 s.
	hello := append(dso.AppendKeepAlive(nil, 1, dso.KeepAlive{Inactivity: dso.DefaultTimeout, Interval: time.Hour}), follow...)
	var next atomic.Int64
	errs := make(chan error, dialAtOnce)
	for range dialAtOnce {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					errs <- nil
					return
				}
				dialer := net.Dialer{Timeout: slowest, LocalAddr: &net.TCPAddr{IP: sourceOf(i)}}
				conn, err := dialer.DialContext(ctx, "tcp", server.String())
				if err != nil {
					errs <- err
					return
				}
				if c.sockets[i], err = newStamped(conn); err != nil {
					errs <- err
					return
				}
				conn = c.sockets[i]
				if config != nil {
					conn = tls.Client(conn, config)
				}
				c.conns[i] = conn
				if _, err := conn.Write(hello); err != nil {
					errs <- err
					return
				}
				c.done.Go(func() { c.read(conn) })
			}
		}()
	}
	for range dialAtOnce {
		err = errors.Join(err, <-errs)
	}
	if err == nil {
		err = c.wait(ctx)
	}
	if err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

// read counts the sets that come.
func (c *crowd) read(conn net.Conn) {
	const (
		least = 2 + 12 + 2 // length, header, type of the first TLV
		room  = 512        // octets: a change is shorter
	)
	in := bufio.NewReaderSize(conn, room)
	for {
		head, err := in.Peek(least)
		if err != nil {
			c.lost.Add(1)
			return
		}
		size := 2 + int(binary.BigEndian.Uint16(head))
		isSet := dso.Type(binary.BigEndian.Uint16(head[least-2:])) == dso.TypeSet
		if _, err := in.Discard(size); err != nil {
			c.lost.Add(1)
			return
		}
		if isSet && c.sets.Add(1) == c.next.Load() {
			c.full <- struct{}{}
		}
		if isSet {
			c.pause()
		}
	}
}

// wait returns when all have what they wait for.
func (c *crowd) wait(ctx context.Context) error {
	select {
	case <-c.full:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return fmt.Errorf("%d of %d messages came within a minute, and %d sessions were lost", c.sets.Load(), c.next.Load(), c.lost.Load())
	}
}

// hear measures until all have a change.
func (c *crowd) hear(ctx context.Context, change func() error) (time.Duration, error) {
	c.next.Add(int64(len(c.conns)))
	begin := time.Now()
	if err := change(); err != nil {
		return 0, err
	}
	err := c.wait(ctx)
	return time.Since(begin), err
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		if conn != nil {
			conn.Close()
		}
	}
	c.done.Wait()
}
