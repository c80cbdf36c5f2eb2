package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

// A node holds the connections to one announced address. One goroutine dials, so
// that no call ever does: a dead node costs one dial now and then, however many
// call.
type node struct {
	client   *Client
	balanced *balancer.Node

	ctx    context.Context // ends when the address is no longer announced
	cancel context.CancelFunc
	kick   chan struct{} // a token: there is a connection missing
	urgent chan struct{} // a token: somebody waits for any node

	usable atomic.Pointer[[]*conn] // takes calls; replaced, never changed
	calls  atomic.Uint64           // requests sent
	bad    atomic.Uint64           // of which failed by its fault

	mu       sync.Mutex // guards what follows; taken before the group's locks
	all      map[*conn]time.Time
	leaving  bool // the server said that it drains
	lastErr  error
	lastFail time.Time
	dials    uint64
	failures uint64
	retryAt  time.Time
	// fruitless counts failed dials and connections that did not last, since the
	// last one that did.
	fruitless int
	recent    []Failure // the last failed tries, oldest first
}

const (
	backoffBase = 50 * time.Millisecond // a restarted server is back in about that
	backoffCap  = 5 * time.Second       // a recovered node should not wait longer to be noticed
	// stable is how long a connection must have lived for the next dial not to be
	// held back: a server that accepts and hangs up is not dialled in a loop.
	stable = 5 * time.Second
	// urgentGap is the least time between two dials of a node, however urgent.
	urgentGap = 100 * time.Millisecond
)

// newNode is called by the group, under its lock, for a new address.
func (c *Client) newNode(b *balancer.Node) *node {
	n := &node{
		client: c, balanced: b,
		kick:   make(chan struct{}, 1),
		urgent: make(chan struct{}, 1),
		all:    make(map[*conn]time.Time),
	}
	n.ctx, n.cancel = context.WithCancel(c.ctx)
	n.usable.Store(new([]*conn))
	c.mu.Lock()
	c.nodes[n] = struct{}{}
	c.mu.Unlock()
	b.Down(nil) // not connected yet
	c.running.Go(n.run)
	return n
}

// leave lets the node go: no calls any more, those in flight finish.
func (n *node) leave() { n.cancel() }

// conn is the least loaded connection, nil if there is none.
func (n *node) conn() *conn {
	conns := *n.usable.Load()
	if len(conns) == 0 {
		return nil
	}
	best := conns[0]
	least := best.weight()
	for _, c := range conns[1:] {
		if l := c.weight(); l < least {
			best, least = c, l
		}
	}
	return best
}

// run dials until the node is gone, and then sees the connections off.
func (n *node) run() {
	defer n.bye()
	for n.ctx.Err() == nil {
		if len(*n.usable.Load()) >= n.client.cfg.ConnsPerNode {
			select {
			case <-n.kick:
			case <-n.ctx.Done():
			}
			continue
		}
		if wait := n.hold(); wait > 0 && !n.sleep(wait) {
			return
		}
		if err := n.connect(); err != nil {
			n.connectFailed(err)
		}
	}
}

// hold is how long the next dial must wait.
func (n *node) hold() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, since := range n.all {
		if time.Since(since) > stable {
			n.fruitless = 0
		}
	}
	f := n.fruitless
	if n.leaving {
		f = max(f, 5) // it closes its listener now: about a second
	}
	if f <= 0 {
		return 0
	}
	limit := min(backoffCap, backoffBase<<min(f-1, 10))
	// Full jitter, so that the clients of a dead server do not come together.
	wait := limit/4 + rand.N(limit-limit/4)
	n.retryAt = time.Now().Add(wait)
	return wait
}

// sleep waits, less if a call is waiting for any node. It returns false if the node
// is gone.
func (n *node) sleep(d time.Duration) bool {
	begin := time.Now()
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return true
		case <-n.urgent:
			if left := urgentGap - time.Since(begin); left < d {
				t.Reset(max(0, left))
			}
		case <-n.ctx.Done():
			return false
		}
	}
}

// connect makes one connection and lets calls use it.
func (n *node) connect() error {
	ctx, cancel := context.WithTimeout(n.ctx, n.client.cfg.DialTimeout)
	defer cancel()
	n.mu.Lock()
	n.dials++
	n.mu.Unlock()
	n.client.stats.dials.Add(1)
	nc, err := n.client.dial(ctx, n.balanced.Endpoint())
	if err != nil {
		return err
	}
	c := newConn(nc, n.client.settings, n, n.client.newWire)
	if n.client.pingEvery > 0 {
		if err := c.greet(ctx); err != nil {
			c.fail(err)
			c.wait()
			return fmt.Errorf("first ping: %w", err)
		}
	}
	n.add(c)
	return nil
}

// add lets calls use a connection.
func (n *node) add(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// Before it is asked: if the connection dies from here on, connDead waits for mu.
	n.all[c] = time.Now()
	if !c.usable() {
		if c.gone() {
			delete(n.all, c)
			n.fruitless++
		}
		return
	}
	conns := append(slices.Clone(*n.usable.Load()), c)
	n.usable.Store(&conns)
	n.leaving = false
	if len(conns) == 1 {
		n.lastErr = nil
		n.balanced.Up()
		n.client.cfg.Trace.connected(n.addr())
		n.client.cfg.Logger.Info("rpcclient: node up", "service", n.client.service, "node", n.addr())
	}
	n.client.changed.broadcast()
}

// connRetired takes a connection out of use.
func (n *node) connRetired(c *conn, why error) {
	n.mu.Lock()
	n.dropLocked(c, why)
	var others []*conn
	if errors.Is(why, errDraining) && !n.leaving {
		// What one connection was told is true of all.
		n.leaving = true
		others = *n.usable.Load()
	}
	n.mu.Unlock()
	for _, o := range others {
		o.retire(errDraining)
	}
	n.poke()
}

// connDead forgets a connection.
func (n *node) connDead(c *conn, why error) {
	n.mu.Lock()
	n.dropLocked(c, why)
	if since, ok := n.all[c]; ok {
		if n.fruitless++; time.Since(since) > stable {
			n.fruitless = 0
		}
		delete(n.all, c)
	}
	n.mu.Unlock()
	n.poke()
}

// dropLocked takes a connection out of use; with the last one the node is down.
func (n *node) dropLocked(c *conn, why error) {
	conns := *n.usable.Load()
	i := slices.Index(conns, c)
	if i < 0 {
		return
	}
	conns = slices.Delete(slices.Clone(conns), i, i+1)
	n.usable.Store(&conns)
	n.lastErr, n.lastFail = why, time.Now()
	if len(conns) == 0 && n.ctx.Err() == nil {
		n.downLocked(why)
	}
}

func (n *node) downLocked(why error) {
	n.balanced.Down(why)
	n.client.cfg.Trace.disconnected(n.addr(), why)
	n.client.cfg.Logger.Info("rpcclient: node down", "service", n.client.service, "node", n.addr(), "err", why)
	n.client.refresh()
}

func (n *node) connectFailed(err error) {
	if n.ctx.Err() != nil {
		return
	}
	n.client.stats.dialFailures.Add(1)
	n.mu.Lock()
	n.failures++
	n.fruitless++
	first := n.lastErr == nil
	n.lastErr, n.lastFail = err, time.Now()
	if len(*n.usable.Load()) == 0 {
		if first {
			n.downLocked(err)
		} else {
			n.balanced.Down(err)
		}
	}
	n.mu.Unlock()
	n.client.changed.broadcast() // those who wait for a node may learn the reason
	n.client.refresh()
}

// poke wakes the dialler.
func (n *node) poke() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// hurry makes the dialler try soon, whatever its backoff.
func (n *node) hurry() {
	select {
	case n.urgent <- struct{}{}:
	default:
	}
}

// bye lets calls in flight finish, up to a limit, and waits for the connections to
// end. A closed client does not wait for calls.
func (n *node) bye() {
	var conns []*conn
	n.mu.Lock()
	n.usable.Store(new([]*conn))
	for c := range n.all {
		conns = append(conns, c)
	}
	n.mu.Unlock()
	for _, c := range conns {
		c.retire(errNodeGone)
	}
	limit := time.NewTimer(n.client.cfg.DrainTimeout)
	defer limit.Stop()
	over := false
	for _, c := range conns {
		if !over {
			select {
			case <-c.dead:
			case <-limit.C:
				over = true
			case <-n.client.ctx.Done():
				over = true
			}
		}
		if over {
			if n.client.ctx.Err() != nil {
				c.fail(errClosed)
			} else {
				c.fail(errNodeGone)
			}
		}
		c.wait()
	}
	n.client.mu.Lock()
	delete(n.client.nodes, n)
	n.client.mu.Unlock()
}

func (n *node) addr() string { return n.balanced.Endpoint().Addr }
