package rpcclient

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// run dials until the node is gone, and then waits for its connections to end.
func (n *node) run() {
	defer n.bye()
	for n.ctx.Err() == nil {
		if !n.lacks() {
			select {
			case <-n.kick:
			case <-n.ctx.Done():
			}
			continue
		}
		if !n.sleep(n.pause()) {
			return
		}
		if !n.lacks() {
			continue
		}
		select { // at most maxDialling dials at once
		case n.client.dialling <- struct{}{}:
		case <-n.ctx.Done():
			return
		}
		err := n.connect()
		<-n.client.dialling
		if err != nil {
			n.connectFailed(err)
		}
	}
}

// lacks tells whether a connection is missing.
func (n *node) lacks() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(*n.usable.Load()) < n.want
}

// countLocked counts the node among those that a refused call may wait for, or no longer: the
// first dial has not ended, and is or will be made, since reach has not said that no connection
// is needed. It is called after each change of what it reads.
func (n *node) countLocked() {
	awaited := n.untried && (n.want > 0 || !n.placed) && !n.gone
	switch {
	case awaited && !n.counted:
		n.client.awaitedNodes.Add(1)
	case !awaited && n.counted:
		n.client.awaitedNodes.Add(-1)
	}
	n.counted = awaited
}

// pause returns how long the next dial must wait.
func (n *node) pause() time.Duration {
	now := time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, since := range n.all {
		n.redial.lasts(since, now)
	}
	wait := n.redial.pause(draw)
	n.retryAt = now.Add(wait)
	return wait
}

// sleep waits. It returns false if the node is gone.
func (n *node) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// connect makes one connection and lets calls use it.
func (n *node) connect() error {
	ctx, cancel := context.WithTimeout(n.ctx, n.client.cfg.Conn.DialTimeout)
	defer cancel()
	n.mu.Lock()
	n.dials++
	n.redial.dialled()
	n.mu.Unlock()
	n.client.stats.dials.Add(1)
	nc, err := n.client.dial(ctx, n.balanced.Endpoint())
	if err != nil {
		return err
	}
	c, err := n.client.newConn(nc, n)
	if err != nil {
		conn.CloseNow(nc)
		return err
	}
	if n.client.conns.PingInterval > 0 {
		if err := c.Greet(ctx); err != nil {
			c.Fail(err)
			c.Wait()
			return n.client.greetError(err)
		}
	}
	n.add(c)
	return nil
}

// newConn starts a connection. Config.Conn.Codec may panic.
func (c *Client) newConn(nc net.Conn, n *node) (cn *conn.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in Config.Conn.Codec: %v", p)
		}
	}()
	return c.conns.Start(nc, n), nil
}

// add lets calls use a connection.
func (n *node) add(c *conn.Conn) {
	n.mu.Lock()
	// This comes before Usable: if the connection dies from here on, Dead waits for mu.
	n.all[c] = time.Now()
	if !c.Usable() {
		n.untried = false
		n.countLocked()
		select {
		case <-c.Ended():
			delete(n.all, c)
			n.redial.failed(time.Now())
		default:
		}
		n.mu.Unlock()
		n.client.changed.broadcast() // the first dial has ended
		return
	}
	conns := append(slices.Clone(*n.usable.Load()), c)
	n.usable.Store(&conns)
	n.redial.made()
	if len(conns) == 1 {
		n.lastErr, n.lostWhy = nil, nil
	}
	n.mu.Unlock()
	n.report()
	n.mu.Lock()
	n.untried = false // after the report: a call that no longer waits finds the node
	n.countLocked()
	n.mu.Unlock()
	n.client.changed.broadcast()
}

// connectFailed notes a dial, or a first ping, that failed.
func (n *node) connectFailed(err error) {
	if n.ctx.Err() != nil {
		return
	}
	n.client.stats.dialFailures.Add(1)
	n.mu.Lock()
	n.failures++
	n.redial.failed(time.Now())
	first := n.untried
	n.untried = false
	n.countLocked()
	n.lostWhy, n.lastErr, n.lastFail = err, err, time.Now()
	n.mu.Unlock()
	switch {
	case n.up():
	case first:
		n.down(err)
	default:
		n.balanced.Down(err)
	}
}

// poke wakes the dialler.
func (n *node) poke() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}
