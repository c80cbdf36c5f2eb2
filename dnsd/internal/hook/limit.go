package hook

import (
	"cmp"
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what one caller, and all of them, may use. A zero field means the
// default.
type Limits struct {
	// Rate is the number of requests a second of one caller: a token at one address,
	// or an address (of IPv6 its /64, which is one customer). Default 1000, which is
	// 5,000 instances on one host that renew one by one. Twice as many may come at
	// once. The answer to more is 429.
	Rate int
	// Connections is the number of open connections, default 16384; PerAddr is the
	// number from one address, default 4096. Each held registration and each watch
	// over HTTP/1.1 is a connection. At the limit an unused connection is closed for
	// the new one; if there is none, the new one gets 503 and is closed. Where tokens
	// or client certificates are required, a quarter of Connections is reserved for
	// callers that have shown one.
	Connections int
	PerAddr     int
	// Watches is the number of open watches, default 10000, and Holds the number of
	// held registrations, default Connections. The answer to more is 503.
	Watches int
	Holds   int
	// IdleTimeout closes an unused connection, default 2m.
	IdleTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Rate = cmp.Or(l.Rate, 1000)
	l.Connections = cmp.Or(l.Connections, 16384)
	l.PerAddr = cmp.Or(l.PerAddr, 4096)
	l.Watches = cmp.Or(l.Watches, 10000)
	l.Holds = cmp.Or(l.Holds, l.Connections)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 2*time.Minute)
	return l
}

const (
	// bodyTimeout bounds how long a body of at most 64 KiB may take to arrive.
	bodyTimeout = 10 * time.Second
	// writeTimeout bounds one write of an answer or of an event: a reader that does
	// not read must not keep memory here.
	writeTimeout = 10 * time.Second
	// keepAlive is the time between comments on a silent watch. Proxies close a
	// connection that is silent for 30 to 60 seconds.
	keepAlive = 15 * time.Second
	// holdFor is how long a hold without heartbeats lasts before the client must
	// register again, at least twice its lease. The kernel of a stopped process keeps
	// the connection open: only a new request shows that the process works.
	holdFor = 5 * time.Minute
)

// times are the waits that tests shorten.
type times struct{ header, body, write, keepAlive time.Duration }

func (t times) withDefaults() times {
	return times{
		header: cmp.Or(t.header, headerTimeout), body: cmp.Or(t.body, bodyTimeout),
		write: cmp.Or(t.write, writeTimeout), keepAlive: cmp.Or(t.keepAlive, keepAlive),
	}
}

// caller is what a rate limit counts.
type caller struct {
	token int // index of the token, from 1; 0: none
	addr  netip.Addr
}

// maxCallers bounds the table of rates. Beyond it the caller that was silent for
// longest is forgotten: it has its burst again, and nothing more.
const maxCallers = 8192

// limiter has one token bucket for each caller.
type limiter struct {
	mu    sync.Mutex // guards all below
	rate  rate.Limit
	burst int
	table map[caller]*list.Element
	order *list.List // of *bucket, the last used first
}

type bucket struct {
	caller caller
	*rate.Limiter
}

func newLimiter() *limiter {
	return &limiter{table: make(map[caller]*list.Element), order: list.New()}
}

// set changes the rate of all callers, also of those in the table.
func (l *limiter) set(perSecond, burst int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := rate.Limit(perSecond)
	if l.rate == limit && l.burst == burst {
		return
	}
	l.rate, l.burst = limit, burst
	for e := l.order.Front(); e != nil; e = e.Next() {
		b := e.Value.(*bucket)
		b.SetLimitAt(now, limit)
		b.SetBurstAt(now, burst)
	}
}

// take counts one request. If there are too many, it returns how long to wait.
func (l *limiter) take(c caller, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.table[c]
	if e == nil {
		if len(l.table) >= maxCallers {
			oldest := l.order.Back()
			delete(l.table, oldest.Value.(*bucket).caller)
			l.order.Remove(oldest)
		}
		e = l.order.PushFront(&bucket{caller: c, Limiter: rate.NewLimiter(l.rate, l.burst)})
		l.table[c] = e
	} else {
		l.order.MoveToFront(e)
	}
	b := e.Value.(*bucket)
	r := b.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// gauge counts what is open, up to a bound.
type gauge struct {
	mu sync.Mutex // guards n
	n  int
}

// enter counts one more, unless there are most already.
func (g *gauge) enter(most int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n >= most {
		return false
	}
	g.n++
	return true
}

func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
}

func (g *gauge) value() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(g.n)
}
