package rpcclient

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// A node holds the connections to one address. One goroutine dials, so that no call
// does: a dead node costs one dial now and then, however many calls there are.
//
// No code of the user runs with mu held: no hook, no logger, and not the group, which
// asks policies.
type node struct {
	client   *Client
	balanced *balancer.Node

	ctx    context.Context // ends when the node is let go
	cancel context.CancelFunc
	kick   chan struct{} // a token: look again whether a connection is missing

	usable   atomic.Pointer[[]*conn.Conn] // those that take calls; replaced, never changed
	attempts atomic.Uint64                // requests sent
	bad      atomic.Uint64                // requests that failed because of the node

	reporting sync.Mutex // one report at a time; taken before mu and the group's locks
	reported  bool       // what the group was told: up
	shutTold  bool       // and that the server does not serve, since it was told up

	mu       sync.Mutex               // guards what follows
	all      map[*conn.Conn]time.Time // when each was made; zero: it takes no more calls
	want     int                      // how many connections to keep; keep: those that there are
	why      string                   // why want is less than Config.Conn.PerNode, if it is; for the debug page
	placed   bool                     // want was set at least once
	redial   redial
	untried  bool // no dial has ended yet
	gone     bool // the group has let it go
	counted  bool // among those that client.awaitedNodes counts
	shut     bool // the server says that it takes no calls at present
	shutAt   time.Time
	lostWhy  error // why there is no connection; nil: none was needed
	lastErr  error
	lastFail time.Time
	dials    uint64
	failures uint64
	retryAt  time.Time
	recent   []Failure // the last failed attempts, oldest first
}

// keep is the want of a node that gets no new connection and loses none.
const keep = -1

// newNode makes the node of a new address. The group calls it.
func (c *Client) newNode(b *balancer.Node) *node {
	n := &node{
		client: c, balanced: b,
		kick:    make(chan struct{}, 1),
		all:     make(map[*conn.Conn]time.Time),
		untried: true,
	}
	n.ctx, n.cancel = context.WithCancel(c.ctx)
	n.usable.Store(new([]*conn.Conn))
	n.mu.Lock()
	n.countLocked()
	n.mu.Unlock()
	c.mu.Lock()
	c.nodes[n] = struct{}{}
	c.byAddr[n.addr()] = n
	c.mu.Unlock()
	b.Down(nil) // not connected yet
	c.running.Go(n.run)
	return n
}

// leave lets the node go: it gets no more calls, and those in flight finish.
func (n *node) leave() {
	c := n.client
	c.mu.Lock()
	if c.byAddr[n.addr()] == n {
		delete(c.byAddr, n.addr())
	}
	c.mu.Unlock()
	n.mu.Lock()
	n.gone = true
	n.countLocked()
	n.mu.Unlock()
	n.cancel()
}

// conn returns the connection with the least load, nil if there is none.
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

// up tells whether the node has a connection that takes calls. With pings, that is a
// connection that answers them.
func (n *node) up() bool { return len(*n.usable.Load()) > 0 }

// wants sets how many connections to keep; those above that number finish their calls.
// A node that had a number and gets a higher one replaces other nodes, which all clients
// have lost at the same moment: so it is dialled after a pause, as after a loss.
func (n *node) wants(want int, why string) {
	n.mu.Lock()
	if want > n.want && n.placed {
		n.redial.lost = true
	}
	n.want, n.why, n.placed = want, why, true
	n.countLocked()
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

	errNotServing = errors.New("the server says that it takes no calls at present")
)

// Retired takes a connection out of use.
func (n *node) Retired(c *conn.Conn, why error) {
	n.mu.Lock()
	n.dropLocked(c, why)
	if !errors.Is(why, errNotNeeded) {
		n.endedLocked(c) // not in Dead: c may have calls in flight for long, and another one is dialled now
	}
	var others []*conn.Conn
	if errors.Is(why, conn.ErrDraining) && !n.redial.draining {
		// The server said it on one connection, and it is true of all.
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

// Serving takes what the server says of itself.
func (n *node) Serving(_ *conn.Conn, yes bool) {
	n.mu.Lock()
	if n.shut = !yes; n.shut {
		n.shutAt = time.Now() // when it said so last
	}
	n.mu.Unlock()
	n.report()
}

// endedLocked tells redial, once, how long a connection has lasted.
func (n *node) endedLocked(c *conn.Conn) {
	if since := n.all[c]; !since.IsZero() {
		n.all[c] = time.Time{}
		n.redial.ended(since, time.Now(), len(*n.usable.Load()) == 0, c.Misfit())
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
		// The server retires single connections one by one. Any other loss may be that of
		// all clients at the same moment.
		n.redial.lost = true
	}
	if errors.Is(why, errNotNeeded) {
		n.lostWhy = nil
		return
	}
	n.lostWhy, n.lastErr, n.lastFail = why, why, time.Now()
}

// report tells the group, the hooks and the members' goroutine whether the node is up, and
// the group whether it serves, if that has changed. It is called after each change, without
// mu, so that the last report is true.
func (n *node) report() {
	n.reporting.Lock()
	defer n.reporting.Unlock()
	n.mu.Lock()
	up, shut, why := n.up(), n.shut, n.lostWhy
	n.mu.Unlock()
	if up != n.reported {
		n.reported, n.shutTold = up, false
		switch {
		case up:
			n.client.upNodes.Add(1)
			n.balanced.Up()
			n.client.tellUp(n)
			n.client.look()
		default:
			n.client.upNodes.Add(-1)
			if n.ctx.Err() == nil {
				n.down(why)
			}
		}
	}
	if up && shut != n.shutTold {
		n.shutTold = shut
		n.client.tellServing(n, !shut)
		if shut {
			n.balanced.NotServing(errNotServing)
		} else {
			n.balanced.Serving()
		}
		n.client.look() // the next tier may have to take over
	}
}

// down reports a node that was lost, or whose first dial has failed.
func (n *node) down(why error) {
	n.balanced.Down(why)
	if why == nil {
		return // no connection is needed
	}
	n.client.tellDown(n, why)
	n.client.refresh()
	n.client.look()
}

// bye lets calls in flight finish, for Config.Conn.DrainTimeout at most, and waits for
// the connections to end. A closed client does not wait for calls.
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
