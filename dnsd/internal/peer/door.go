package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
)

const (
	// handshakeTime bounds a handshake, and what Known takes to look again.
	handshakeTime = 5 * time.Second
	// mostHandshakes bounds the connections that have not shown a certificate yet. When
	// there are more, the oldest is closed, so that a member finds a place whatever
	// strangers do.
	mostHandshakes = 64
	// mostConnections bounds the connections of members: each opens less than twenty.
	mostConnections = 1024
)

// door is a listener whose connections are those of members, after the handshake.
type door struct {
	net.Listener
	config *tls.Config
	log    *slog.Logger
	warn   rate.Sometimes // of strangers
	inside chan net.Conn

	life context.Context
	end  context.CancelFunc
	busy sync.WaitGroup // the handshakes

	mu         sync.Mutex // guards what follows
	strangers  strangers
	handshakes []*doorConn // the oldest first
	members    int         // connections after the handshake
}

// newDoor returns a door on ln. It lets in those that known accepts.
func newDoor(ln net.Listener, me *Identity, known func(Fingerprint) bool, log *slog.Logger) *door {
	d := &door{
		Listener: ln,
		log:      log,
		warn:     rate.Sometimes{First: 3, Interval: time.Minute}, // strangers must not fill a disk
		inside:   make(chan net.Conn),
	}
	d.config = me.config(func(f Fingerprint) error {
		if !known(f) {
			return fmt.Errorf("peer: no present member has the certificate %v", f)
		}
		return nil
	})
	d.life, d.end = context.WithCancel(context.Background())
	return d
}

// run accepts connections until Close.
func (d *door) run() error {
	defer d.busy.Wait()
	return limit.Accept(d.life, d.Listener, d.take, func(err error) {
		d.warn.Do(func() { d.log.Warn("peer: accept", "addr", d.Addr(), "error", err) })
	})
}

// Accept returns the next connection of a member.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.inside:
		return c, nil
	case <-d.life.Done():
		return nil, net.ErrClosed
	}
}

// Close ends accepting, and the handshakes under way. A second Close does nothing.
func (d *door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life.Err() != nil {
		return nil
	}
	d.end()
	for _, c := range d.handshakes {
		_ = c.Conn.Close()
	}
	return d.Listener.Close()
}

// take begins the handshake of a new connection, if it is within the limits.
func (d *door) take(raw net.Conn) {
	c := &doorConn{Conn: raw, door: d}
	if ap, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		c.client = limit.Client(ap.AddrPort().Addr())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.strangers.enter(c.client, time.Now()) {
		_ = raw.Close()
		d.warn.Do(func() {
			d.log.Warn("peer: too many connections that are not of members", "from", c.client)
		})
		return
	}
	if len(d.handshakes) >= mostHandshakes {
		_ = d.handshakes[0].Conn.Close() // its goroutine gives the place back
		d.handshakes = slices.Delete(d.handshakes, 0, 1)
	}
	d.handshakes = append(d.handshakes, c)
	d.busy.Go(c.enter)
}

// doorConn is a connection of a door. Close gives its place back.
type doorConn struct {
	net.Conn
	door   *door
	client netip.Addr
	inside bool // it counts as a member's; guarded by door.mu
}

// enter does the handshake, and hands a member's connection to Accept.
func (c *doorConn) enter() {
	d := c.door
	ctx, cancel := context.WithTimeout(d.life, handshakeTime)
	defer cancel()
	encrypted := tls.Server(c, d.config)
	err := encrypted.HandshakeContext(ctx)
	d.mu.Lock()
	if i := slices.Index(d.handshakes, c); i >= 0 {
		d.handshakes = slices.Delete(d.handshakes, i, i+1)
	}
	if err == nil {
		d.strangers.member(c.client)
		if d.members >= mostConnections {
			err = errors.New("too many connections of members")
		} else {
			d.members++
			c.inside = true
		}
	}
	d.mu.Unlock()
	if err != nil {
		_ = c.Conn.Close()
		switch {
		case d.life.Err() != nil:
		case errors.Is(err, io.EOF): // a probe: it only connects
			d.log.Debug("peer: a connection said nothing", "from", c.RemoteAddr())
		default:
			d.warn.Do(func() { d.log.Warn("peer: a connection was refused", "from", c.RemoteAddr(), "error", err) })
		}
		return
	}
	select {
	case d.inside <- encrypted:
	case <-d.life.Done():
		_ = c.Close()
	}
}

// Close also gives the place of a member's connection back.
func (c *doorConn) Close() error {
	c.door.mu.Lock()
	if c.inside {
		c.inside = false
		c.door.members--
	}
	c.door.mu.Unlock()
	return c.Conn.Close()
}
