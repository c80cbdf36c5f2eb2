package hook

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what the hook takes from others. A zero field is the default; a
// negative one switches that limit off.
type Limits struct {
	// Rate is requests a second of one caller: a token at one address, or an
	// address (of IPv6 its /64, which is one customer). Default 1000, which is
	// 5,000 instances renewing one by one from one host. Beyond it: 429.
	Rate float64
	// Burst is how many may come at once. Default 2*Rate.
	Burst int
	// Connections in all, default 16384; PerAddr from one address, default
	// 4096. Each held registration and each watch over HTTP/1.1 is one. Beyond
	// them an unused connection is closed for the new one, a stranger's first;
	// if there is none: 503 and the new one is closed. Where tokens or client
	// certificates are asked for, a quarter of all is not for strangers.
	Connections int
	PerAddr     int
	// Watches and Holds at one time, default 10000 and as many as Connections.
	// Beyond them: 503.
	Watches int
	Holds   int
	// HeaderTimeout and BodyTimeout bound how long a request may take to come,
	// default 5s and 10s. IdleTimeout closes a silent connection, default 2m.
	HeaderTimeout time.Duration
	BodyTimeout   time.Duration
	IdleTimeout   time.Duration
	// WriteTimeout bounds one write of an answer or of an event, default 10s.
	WriteTimeout time.Duration
	// KeepAlive is the time between comments on a silent watch, default 15s.
	KeepAlive time.Duration
	// HoldFor is how long a hold without heartbeats lasts before the instance is
	// asked to come again, default 5m, at least twice its lease. A stopped process
	// keeps its connection: only asking shows that somebody is there.
	HoldFor time.Duration
}

func (l Limits) withDefaults() Limits {
	orElse(&l.Rate, 1000)
	orElse(&l.Burst, int(2*l.Rate))
	orElse(&l.Connections, 16384)
	orElse(&l.PerAddr, 4096)
	orElse(&l.Watches, 10000)
	orElse(&l.Holds, l.Connections)
	orElse(&l.HeaderTimeout, 5*time.Second)
	orElse(&l.BodyTimeout, 10*time.Second)
	orElse(&l.IdleTimeout, 2*time.Minute)
	orElse(&l.WriteTimeout, 10*time.Second)
	orElse(&l.KeepAlive, 15*time.Second)
	orElse(&l.HoldFor, 5*time.Minute)
	// What is not a number of things but a wait has no "off": without an end
	// one silent peer would keep its memory for ever.
	for _, d := range []*time.Duration{&l.HeaderTimeout, &l.BodyTimeout, &l.IdleTimeout, &l.WriteTimeout, &l.KeepAlive} {
		if *d < 0 {
			*d = time.Hour
		}
	}
	if l.Burst < 1 {
		l.Burst = 1
	}
	return l
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// caller is whom a rate limit counts.
type caller struct {
	token int // index of the token, from 1; 0: none
	addr  netip.Addr
}

// callerAddr is the part of an address that one customer holds.
func callerAddr(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// maxCallers bounds the table of rates: beyond it the caller that was silent for
// longest is forgotten, which gives it its burst anew and nothing more.
const maxCallers = 8192

// limiter holds one token bucket a caller.
type limiter struct {
	mu    sync.Mutex // guards all below
	rate  rate.Limit
	burst int
	table map[caller]*list.Element
	order *list.List // of *bucket, last used first
}

type bucket struct {
	caller caller
	*rate.Limiter
}

func newLimiter() *limiter {
	return &limiter{table: make(map[caller]*list.Element), order: list.New()}
}

// set changes the rate of all, also of the callers that are known.
func (l *limiter) set(perSecond float64, burst int, now time.Time) {
	limit := rate.Limit(perSecond)
	if perSecond < 0 {
		limit = rate.Inf
	}
	l.mu.Lock()
	defer l.mu.Unlock()
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

// take counts one request. When there are too many it says how long to wait.
func (l *limiter) take(c caller, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == rate.Inf {
		return 0, true
	}
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

// gauge counts things that exist at one time, up to a bound.
type gauge struct {
	mu sync.Mutex // guards n
	n  int
}

// enter counts one more unless there are most already; negative: no bound.
func (g *gauge) enter(most int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if most >= 0 && g.n >= most {
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
