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

	mu   sync.Mutex // guards made
	made tally      // whole sets that no other client had asked for
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

	// To make the whole set of a large service takes some 30 ms for each MiB, and to send it
	// again much less. A client that ends its subscription and begins it again causes that
	// by a few octets. So each may do it for so many octets at once, which are 40 sets of a
	// service of 100,000 instances, and then for so many a second: made for one address, sent
	// in one session.
	mostWhole = 256 << 20
	madeEach  = 4 << 20
	sentEach  = 32 << 20
	// madeWork is what a millisecond of making a set counts, in octets: as much as is made in
	// it of a large set. The AAAA records of a service with IPv4 only are none, and all
	// instances are looked at for that.
	madeWork = 32 << 10
	// A client with fewer octets than this is not remembered for them: to connect costs as much.
	forgiven = 64 << 10
)

// tally is octets that a client has caused, less those of the time since then.
type tally struct {
	octets float64
	at     time.Time
}

// add adds octets at a time.
func (t *tally) add(now time.Time, n, perSecond int) {
	t.octets = max(0, t.octets-now.Sub(t.at).Seconds()*float64(perSecond)) + float64(n)
	t.at = now
}

// above is the time until the tally is below a bound; 0: it is.
func (t *tally) above(now time.Time, most, perSecond int) time.Duration {
	over := t.octets - float64(most) - now.Sub(t.at).Seconds()*float64(perSecond)
	return time.Duration(max(0, over) / float64(perSecond) * float64(time.Second))
}

// charge notes what a whole set for the session has cost.
func (s *session) charge(w *way, made bool) {
	if w == nil {
		return
	}
	now := time.Now()
	s.sent.add(now, w.payload.octets, sentEach)
	if made {
		s.holder.mu.Lock()
		defer s.holder.mu.Unlock()
		// Of few records there may be as much to look at as of many.
		s.holder.made.add(now, max(w.payload.octets, int(w.took/time.Millisecond)*madeWork), madeEach)
	}
}

// overdrawn is the time until a client may begin a subscription, if it has begun too many of
// large services; 0: it may.
func (s *session) overdrawn(now time.Time) time.Duration {
	s.holder.mu.Lock()
	defer s.holder.mu.Unlock()
	return max(s.sent.above(now, mostWhole, sentEach), s.holder.made.above(now, mostWhole, madeEach))
}

func holderAt(key netip.Addr) *holder {
	return &holder{key: key, share: share{doubts: rate.NewLimiter(doubtsEach, doubtsBurst)}}
}

// rested tells whether the client may cause as much as a new one.
func (c *holder) rested() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubts.Tokens() >= doubtsBurst && c.made.above(time.Now(), forgiven, madeEach) == 0
}

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
	if wait := ses.overdrawn(time.Now()); wait > 0 {
		return comeBack + wait, false
	}
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

// Tests: holder_test.go, cost_test.go.
