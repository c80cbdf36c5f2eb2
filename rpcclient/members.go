package rpcclient

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// manage gives the group its endpoints and each node its number of connections, as roster
// and reach say. It looks again when the Source yields a state, when a node has come up or
// gone down, when it has said whether it serves, and when a time of roster or reach has come.
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
	state    *resolver.State // the last one that roster has taken
	unwanted map[*node]time.Time
	told     map[string]string // what the log was told of each address
}

// look makes manage look again.
func (c *Client) look() {
	select {
	case c.lookAgain <- struct{}{}:
	default:
	}
}

// arrange is one look. It returns when the next one is due without an event.
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
		members[i].shut = n.shut
		if again := n.shutAt.Add(releaseAfter); n.shut && !members[i].up {
			if members[i].shut = now.Before(again); members[i].shut {
				next = earliest(next, again)
			}
		}
		n.mu.Unlock()
	}
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), strings.Compare(a.addr(), b.addr()))
	})
	unwanted := make(map[*node]time.Time)
	for i, w := range c.reach.plan(members) {
		n := members[i].node
		if has := len(*n.usable.Load()); w.conns >= 0 && has > w.conns && !(w.conns == 0 && members[i].shut) {
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

// earliest returns the earlier of two times; zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// member returns the node of an address, nil if there is none.
func (c *Client) member(addr string) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byAddr[addr]
}

// definite tells a server's answer that there is no such service from a query that failed.
func definite(err error) bool {
	return errors.Is(err, resolver.ErrNoSuchName) || errors.Is(err, resolver.ErrNotOffered)
}
