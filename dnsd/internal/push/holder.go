package push

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
)

// share is what clients hold and cause: one client, or all of them.
type share struct {
	subscriptions atomic.Int64
	partial       atomic.Int64 // octets of messages that are not whole
	again         turns
	doubts        *rate.Limiter // of records to be checked
}

// holder is one address (limit.Client) with a session, with a place for one, or with one a
// moment ago.
type holder struct {
	share
	key      netip.Addr
	sessions int // and places; guarded by Server.mu
}

const (
	// Each client may let dnsd check 8 records at once and one a second, and all clients
	// together 32 and 16 a second: a check opens connections, and looks at all instances of
	// a service. When a host dies, many clients doubt the same record.
	doubtsEach, doubtsBurst       = rate.Limit(1), 8
	doubtsOfAll, doubtsOfAllBurst = rate.Limit(16), 32

	// A message of which a part has come may have 512 octets that are not counted: a request
	// without padding is shorter.
	freePart = 512
	// mostPartial and mostPartialEach bound such messages, of all clients and of one: each
	// may have 64 KiB.
	mostPartial     = 32 << 20
	mostPartialEach = 1 << 20
)

func holderAt(key netip.Addr) *holder {
	return &holder{key: key, share: share{doubts: rate.NewLimiter(doubtsEach, doubtsBurst)}}
}

// rested tells whether the client may let dnsd check as many records as a new one.
func (c *holder) rested() bool { return c.doubts.Tokens() >= doubtsBurst }

// take adds n to a count, unless it would then be above a bound.
func take(count *atomic.Int64, n, most int64) bool {
	if count.Add(n) <= most || n <= 0 {
		return true
	}
	count.Add(-n)
	return false
}

// admit counts a subscription of a session in. A refusal has the time after which there may
// be room for it.
func (s *Server) admit(ses *session) (delay time.Duration, ok bool) {
	l := s.config.Load().Limits
	switch {
	case !take(&ses.holder.subscriptions, 1, l.subscriptionsEach()):
		return ses.holder.again.take(time.Now(), turnEach), false
	case !take(&s.total.subscriptions, 1, l.subscriptions()):
		ses.holder.subscriptions.Add(-1)
		return s.total.again.take(time.Now(), turnOfAll), false
	}
	return 0, true
}

// dismiss is the end of a subscription that was admitted.
func (s *Server) dismiss(ses *session) {
	ses.holder.subscriptions.Add(-1)
	s.total.subscriptions.Add(-1)
}

// count counts the octets of a part of a message: n more, or fewer.
func (s *Server) count(c *holder, n int64) bool {
	if !take(&c.partial, n, mostPartialEach) {
		return false
	}
	if !take(&s.total.partial, n, mostPartial) {
		c.partial.Add(-n)
		return false
	}
	return true
}

// turns spread the return of clients for which there is no room. Each gets a turn after the
// one before, so that the more there are, the later each comes. The zero value is ready.
type turns struct {
	mu   sync.Mutex // guards last
	last time.Time  // that was given out
}

const (
	// turnOfAll is the time between two clients that come back because the bound for all is
	// reached: a refusal costs some 10 us. turnEach is that for one address, which must not
	// take much of it.
	turnOfAll = 2 * time.Millisecond
	turnEach  = 20 * time.Millisecond
	// longestTurn is the longest time, without its random part.
	longestTurn = time.Minute
)

// take returns the time until the next turn: from one to two seconds if there are few, and
// up to a minute and a half. each is the time between two turns.
func (t *turns) take(now time.Time, each time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = t.last.Add(each)
	if t.last.Before(now) {
		t.last = now
	}
	if most := now.Add(longestTurn); t.last.After(most) {
		t.last = most
	}
	wait := t.last.Sub(now)
	return comeBack + wait + rand.N(max(comeBack, wait/2))
}

// again returns when a client may come back for which there was no room.
func (s *Server) again(from netip.Addr) time.Duration {
	l := s.config.Load().Limits
	s.mu.Lock()
	c := s.clients[limit.Client(from)]
	full := c != nil && c.sessions >= l.PerAddress
	s.mu.Unlock()
	if full {
		return c.again.take(time.Now(), turnEach)
	}
	return s.total.again.take(time.Now(), turnOfAll)
}
