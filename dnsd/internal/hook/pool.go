package hook

import (
	"container/heap"
	"container/list"
	"net/netip"
	"sync"
)

// reserved: one connection in so many is not for strangers, where tokens or client
// certificates are required.
const reserved = 4

// pool has the places of the open connections. A connection is a stranger's until a
// request on it has shown a token or a client certificate. At the limit an unused
// connection is closed for the new one: a stranger's, of the address that has most of
// them, the oldest first. So a caller with a token finds a place, and keeps it,
// whatever strangers do.
type pool struct {
	mu      sync.Mutex // guards all below, and the fields of each conn that say so
	most    int        // connections in all
	perAddr int        // connections from one address
	secured bool       // tokens or certificates are required: strangers' busy connections may be closed, too

	open      int
	strangers int
	refused   uint64
	evicted   uint64
	peers     map[netip.Addr]*peer
	crowd     crowd // all peers, the one with most connections to close first
}

// peer is an address with open connections.
type peer struct {
	addr  netip.Addr
	open  int
	index int // in the crowd
	spare int // strangers' connections that may be closed: the order of the crowd
	// Connections that may be closed, the oldest first: strangers' unused and busy ones,
	// and unused ones of known callers.
	idle, busy, rested list.List
}

func newPool() *pool { return &pool{peers: make(map[netip.Addr]*peer)} }

// set changes the bounds. Open connections stay.
func (p *pool) set(most, perAddr int, secured bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most, p.perAddr, p.secured = most, perAddr, secured
	for _, q := range p.crowd {
		q.spare = p.spareLocked(q)
	}
	heap.Init(&p.crowd)
}

func (p *pool) spareLocked(q *peer) int {
	if p.secured {
		return q.idle.Len() + q.busy.Len()
	}
	return q.idle.Len()
}

// enter gives c a place, or returns false. The caller must close the victim, if there
// is one.
func (p *pool) enter(c *conn) (victim *conn, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.peers[c.addr]
	if q == nil {
		q = &peer{addr: c.addr}
	}
	switch {
	case q.open >= p.perAddr:
		victim = p.worstLocked(q)
		ok = victim != nil
	case p.open >= p.most || p.secured && p.strangers >= p.most-p.most/reserved:
		victim = p.worstLocked(p.worstPeerLocked())
		ok = victim != nil
	default:
		ok = true
	}
	if !ok {
		p.refused++
		return nil, false
	}
	if victim != nil {
		p.evicted++
		p.leaveLocked(victim)
	}
	if q.open == 0 { // new, or the victim was its last
		p.peers[c.addr] = q
		heap.Push(&p.crowd, q)
	}
	p.open++
	p.strangers++
	q.open++
	c.peer = q
	p.placeLocked(c)
	return victim, true
}

// worstPeerLocked is the peer whose connection to close; nil: none can be closed.
func (p *pool) worstPeerLocked() *peer {
	if len(p.crowd) > 0 && p.crowd[0].spare > 0 {
		return p.crowd[0]
	}
	// There is no stranger's connection to close: an unused one of a known caller.
	var worst *peer
	for _, q := range p.crowd {
		if q.rested.Len() > 0 && (worst == nil || q.rested.Len() > worst.rested.Len()) {
			worst = q
		}
	}
	return worst
}

// worstLocked is the connection of q to close first; nil: all are in use.
func (p *pool) worstLocked(q *peer) *conn {
	if q == nil {
		return nil
	}
	lists := []*list.List{&q.idle, &q.busy, &q.rested}
	if !p.secured {
		lists = lists[:1]
	}
	for _, l := range lists {
		if e := l.Front(); e != nil {
			return e.Value.(*conn)
		}
	}
	return nil
}

// placeLocked puts c in the list that it belongs to.
func (p *pool) placeLocked(c *conn) {
	if c.element != nil {
		c.list.Remove(c.element)
		c.list, c.element = nil, nil
	}
	q := c.peer
	switch {
	case !c.known && c.busy:
		c.list = &q.busy
	case !c.known:
		c.list = &q.idle
	case !c.busy:
		c.list = &q.rested
	}
	if c.list != nil {
		c.element = c.list.PushBack(c)
	}
	if spare := p.spareLocked(q); spare != q.spare {
		q.spare = spare
		heap.Fix(&p.crowd, q.index)
	}
}

// leave gives the place of c back, if it still has one.
func (p *pool) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked(c)
}

func (p *pool) leaveLocked(c *conn) {
	q := c.peer
	if q == nil {
		return
	}
	known := c.known
	c.known, c.busy = true, true // in no list
	p.placeLocked(c)
	c.peer = nil
	p.open--
	if !known {
		p.strangers--
	}
	if q.open--; q.open == 0 {
		heap.Remove(&p.crowd, q.index)
		delete(p.peers, q.addr)
	}
}

// use records whether c serves a request or waits for the next.
func (p *pool) use(c *conn, busy bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.peer != nil && c.busy != busy {
		c.busy = busy
		p.placeLocked(c)
	}
}

// know records whether the caller on c has shown what is required.
func (p *pool) know(c *conn, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.peer == nil || c.known == known {
		return
	}
	c.known = known
	if known {
		p.strangers--
	} else {
		p.strangers++
	}
	p.placeLocked(c)
}

// counts returns how many connections are open, were refused, were closed for others.
func (p *pool) counts() (open, refused, evicted float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.open), float64(p.refused), float64(p.evicted)
}

// crowd is a heap of peers (container/heap).
type crowd []*peer

func (c crowd) Len() int           { return len(c) }
func (c crowd) Less(i, j int) bool { return c[i].spare > c[j].spare }
func (c crowd) Swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].index, c[j].index = i, j
}

func (c *crowd) Push(q any) {
	q.(*peer).index = len(*c)
	*c = append(*c, q.(*peer))
}

func (c *crowd) Pop() any {
	last := len(*c) - 1
	q := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return q
}
