package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// A node holds the connections to one address. One goroutine dials, so that no call
// ever does: a dead node costs one dial now and then, however many call.
//
// Nothing foreign runs with mu held: no hook, no logger, and not the group, which
// asks policies.
type node struct {
	client   *Client
	balanced *balancer.Node

	ctx    context.Context // ends when the node is let go
	cancel context.CancelFunc
	kick   chan struct{} // a token: look again whether a connection is missing

	usable atomic.Pointer[[]*conn.Conn] // takes calls; replaced, never changed
	calls  atomic.Uint64                // requests sent
	bad    atomic.Uint64                // of which failed by its fault

	reporting sync.Mutex // one report at a time; taken before mu and the group's locks
	reported  bool       // what the group was told: up

	mu       sync.Mutex               // guards what follows
	all      map[*conn.Conn]time.Time // when it was made; zero: it takes no more calls
	want     int                      // connections to keep; keep: those that there are
	why      string                   // why want is what it is, if it is not all; for the debug page
	placed   bool                     // want was set once
	redial   redial
	untried  bool  // no dial has ended yet
	lostWhy  error // why there is no connection; nil: none was needed
	lastErr  error
	lastFail time.Time
	dials    uint64
	failures uint64
	retryAt  time.Time
	recent   []Failure // the last failed tries, oldest first
}

// keep is the want of a node that gets no new connection and loses none.
const keep = -1

// newNode is called by the group for a new address.
func (c *Client) newNode(b *balancer.Node) *node {
	n := &node{
		client: c, balanced: b,
		kick:    make(chan struct{}, 1),
		all:     make(map[*conn.Conn]time.Time),
		untried: true,
	}
	n.ctx, n.cancel = context.WithCancel(c.ctx)
	n.usable.Store(new([]*conn.Conn))
	c.mu.Lock()
	c.nodes[n] = struct{}{}
	c.byAddr[n.addr()] = n
	c.mu.Unlock()
	b.Down(nil) // not connected yet
	c.running.Go(n.run)
	return n
}

// leave lets the node go: no calls any more, those in flight finish.
func (n *node) leave() {
	c := n.client
	c.mu.Lock()
	if c.byAddr[n.addr()] == n {
		delete(c.byAddr, n.addr())
	}
	c.mu.Unlock()
	n.cancel()
}

// conn is the least loaded connection, nil if there is none.
func (n *node) conn() *conn.Conn {
	conns := *n.usable.Load()
	if len(conns) == 0 {
		return nil
	}
	best := conns[0]
	least := best.Weight()
	for _, c := range conns[1:] {
		if l := c.Weight(); l < least {
			best, least = c, l
		}
	}
	return best
}

// up tells whether the node has a connection that takes calls. With pings, that
// is one that answers them.
func (n *node) up() bool { return len(*n.usable.Load()) > 0 }

// run dials until the node is gone, and then sees the connections off.
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
		select { // only so many dials at once
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

// wants sets how many connections to keep; surplus ones finish what is in flight. A
// node that was there and is wanted more stands in for others, which all clients have
// lost in the same moment.
func (n *node) wants(want int, why string) {
	n.mu.Lock()
	if want > n.want && n.placed {
		n.redial.lost = true
	}
	n.want, n.why, n.placed = want, why, true
	var surplus []*conn.Conn
	if conns := *n.usable.Load(); want >= 0 && len(conns) > want {
		surplus = conns[want:]
	}
	n.mu.Unlock()
	for _, c := range surplus {
		c.Retire(errNotNeeded)
	}
	n.poke()
}

var (
	errNotNeeded = errors.New("connection is not needed")
	errNodeGone  = errors.New("node is no longer announced")
)

// pause is how long the next dial must wait.
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
	// Before it is asked: if the connection dies from here on, Dead waits for mu.
	n.all[c] = time.Now()
	n.untried = false
	if !c.Usable() {
		select {
		case <-c.Ended():
			delete(n.all, c)
			n.redial.failed(time.Now())
		default:
		}
		n.mu.Unlock()
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
	n.client.changed.broadcast()
}

// Retired takes a connection out of use.
func (n *node) Retired(c *conn.Conn, why error) {
	n.mu.Lock()
	n.dropLocked(c, why)
	if !errors.Is(why, errNotNeeded) {
		n.endedLocked(c) // now: it may have calls in flight for long, and be followed at once
	}
	var others []*conn.Conn
	if errors.Is(why, conn.ErrDraining) && !n.redial.draining {
		// What one connection was told is true of all.
		n.redial.draining = true
		others = *n.usable.Load()
	}
	n.mu.Unlock()
	n.report()
	for _, o := range others {
		o.Retire(conn.ErrDraining)
	}
	n.poke()
}

// Dead forgets a connection.
func (n *node) Dead(c *conn.Conn, why error) {
	n.mu.Lock()
	n.dropLocked(c, why)
	n.endedLocked(c)
	delete(n.all, c)
	n.mu.Unlock()
	n.report()
	n.poke()
}

// endedLocked has the pauses depend on how long a connection has lasted, once.
func (n *node) endedLocked(c *conn.Conn) {
	if since := n.all[c]; !since.IsZero() {
		n.all[c] = time.Time{}
		n.redial.ended(since, time.Now(), len(*n.usable.Load()) == 0)
	}
}

// dropLocked takes a connection out of use.
func (n *node) dropLocked(c *conn.Conn, why error) {
	conns := *n.usable.Load()
	i := slices.Index(conns, c)
	if i < 0 {
		return
	}
	conns = slices.Delete(slices.Clone(conns), i, i+1)
	n.usable.Store(&conns)
	if !errors.Is(why, conn.ErrToldToRetire) && !errors.Is(why, conn.ErrRetired) {
		n.redial.lost = true // not by a word about this connection alone, which is no event to others
	}
	if errors.Is(why, errNotNeeded) {
		n.lostWhy = nil
		return
	}
	n.lostWhy, n.lastErr, n.lastFail = why, why, time.Now()
}

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

// report tells the group, the hooks and the members' goroutine whether the node is
// up, if that has changed. Whoever changes it reports after unlocking mu, so that the
// last one to report tells what is true.
func (n *node) report() {
	n.reporting.Lock()
	defer n.reporting.Unlock()
	n.mu.Lock()
	up, why := n.up(), n.lostWhy
	n.mu.Unlock()
	if up == n.reported {
		return
	}
	n.reported = up
	switch {
	case up:
		n.balanced.Up()
		n.client.tellUp(n)
		n.client.look()
	case n.ctx.Err() == nil:
		n.down(why)
	}
}

// down is for a node that was lost, or could not be had from the beginning.
func (n *node) down(why error) {
	n.balanced.Down(why)
	if why == nil {
		return // it is not needed
	}
	n.client.tellDown(n, why)
	n.client.refresh()
	n.client.look()
}

// poke wakes the dialler.
func (n *node) poke() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// bye lets calls in flight finish, up to a limit, and waits for the connections to
// end. A closed client does not wait for calls.
func (n *node) bye() {
	var conns []*conn.Conn
	n.mu.Lock()
	n.usable.Store(new([]*conn.Conn))
	for c := range n.all {
		conns = append(conns, c)
	}
	n.mu.Unlock()
	n.report()
	for _, c := range conns {
		c.Retire(errNodeGone)
	}
	limit := time.NewTimer(n.client.cfg.Conn.DrainTimeout)
	defer limit.Stop()
	over := false
	for _, c := range conns {
		if !over {
			select {
			case <-c.Ended():
			case <-limit.C:
				over = true
			case <-n.client.ctx.Done():
				over = true
			}
		}
		if over {
			if n.client.ctx.Err() != nil {
				c.Fail(ErrClosed)
			} else {
				c.Fail(errNodeGone)
			}
		}
		c.Wait()
	}
	n.client.mu.Lock()
	delete(n.client.nodes, n)
	n.client.mu.Unlock()
}

func (n *node) addr() string { return n.balanced.Endpoint().Addr }
