package rpcclient

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// manage keeps the group's endpoints and each node's number of connections as roster
// and reach have it. It looks again when the source has news, when a node came up or
// went down, and when time is up.
func (c *Client) manage() {
	m := &management{
		roster:   roster{linger: c.cfg.Linger},
		unwanted: make(map[*node]time.Time),
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.lookAgain:
		case <-timer.C:
		}
		next := c.arrange(m, time.Now())
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// management is what manage remembers from one look to the next.
type management struct {
	roster   roster
	state    *resolver.State // the last that was taken in
	unwanted map[*node]time.Time
	told     map[string]string // of each address: how it is used
}

// look makes manage look again.
func (c *Client) look() {
	select {
	case c.lookAgain <- struct{}{}:
	default:
	}
}

// arrange is one look; it returns when time alone may change something.
func (c *Client) arrange(m *management, now time.Time) (next time.Time) {
	state := c.state.Load()
	if state == nil {
		return time.Time{}
	}
	up := func(addr string) bool {
		n := c.member(addr)
		return n != nil && n.up()
	}
	if state != m.state {
		m.roster.take(state, now, up)
		m.state = state
	}
	m.roster.prune(now, up)
	c.hopeless.Store(m.roster.hopeless(now))
	c.group.Update(m.roster.endpoints())
	told := m.roster.words()
	c.tellMembers(m.told, told)
	m.told = told
	next = earliest(m.roster.next(now), c.connect(m, now))
	c.changed.broadcast()
	return next
}

// connect gives each node its number of connections.
func (c *Client) connect(m *management, now time.Time) (next time.Time) {
	c.mu.Lock()
	members := make([]member, 0, len(c.byAddr))
	for addr, n := range c.byAddr {
		_, kept := m.roster.kept[addr]
		members = append(members, member{node: n, balanced: n.balanced, priority: n.balanced.Endpoint().Priority, kept: kept})
	}
	c.mu.Unlock()
	for i := range members {
		n := members[i].node
		n.mu.Lock()
		members[i].up = n.up()
		members[i].dead = !members[i].up && n.lostWhy != nil
		n.mu.Unlock()
	}
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), strings.Compare(a.addr(), b.addr()))
	})
	unwanted := make(map[*node]time.Time)
	for i, w := range c.reach.plan(members) {
		n := members[i].node
		if has := len(*n.usable.Load()); w.conns >= 0 && has > w.conns {
			since, ok := m.unwanted[n]
			if !ok {
				since = now
			}
			if at := since.Add(releaseAfter); now.Before(at) {
				unwanted[n] = since
				next = earliest(next, at)
				w.conns = keep
			}
		}
		n.wants(w.conns, w.why)
	}
	m.unwanted = unwanted
	return next
}

// earliest is the first of two times, of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// member is the node of an address, nil if there is none.
func (c *Client) member(addr string) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byAddr[addr]
}

// definite tells a server's word that there is no such service from a failure to
// ask for it.
func definite(err error) bool {
	return errors.Is(err, resolver.ErrNoSuchName) || errors.Is(err, resolver.ErrNotOffered)
}
