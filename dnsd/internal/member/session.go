package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// session keeps the key of this member in the store, as long as it is wanted. Each key is
// a ticket.
type session struct {
	store kv.Store
	keys  layout
	ttl   time.Duration
	log   *slog.Logger
	heard func()          // the store has answered
	wake  chan<- struct{} // gets a value when the ticket changes

	mu     sync.Mutex
	ticket *ticket       // guarded by mu; nil: there is no key
	last   string        // guarded by mu; the last key that was put, or is about to be
	wanted bool          // guarded by mu
	turn   chan struct{} // has a value if wanted has changed
	value  []byte        // guarded by mu; of the key
	news   chan struct{} // has a value if value has changed
}

// ticket is one key of this member, with its lease. The one with the lowest created among
// all members is the writer's.
type ticket struct {
	key     string
	session string // the end of key
	created int64
	lease   kv.LeaseID
	value   []byte        // that the key has for sure; used by the goroutine of the session
	gone    atomic.Bool   // the key is not in the store any more, or must not be used
	drop    chan struct{} // has a value if gone was set from outside

	base  time.Time
	until atomic.Int64 // time since base: as long the store has the key for sure, unless it was deleted
	wall  atomic.Int64 // the same by the clock of the wall, in nanoseconds since 1970
}

// valid says whether the key is in the store for sure, unless another member has deleted
// it. It goes by the monotonic clock, which runs while the process is stopped. That clock
// stands still while a machine is suspended, so the clock on the wall must agree.
func (t *ticket) valid() bool {
	return !t.gone.Load() && t.left() > 0 && time.Now().UnixNano() < t.wall.Load()
}

// left is the time left of the session.
func (t *ticket) left() time.Duration {
	return time.Duration(t.until.Load()) - time.Since(t.base)
}

// extend notes that the lease began again at a time or later.
func (t *ticket) extend(sent time.Time, ttl time.Duration) {
	t.until.Store(int64(sent.Sub(t.base) + ttl))
	t.wall.Store(sent.Add(ttl).UnixNano())
}

// abandon ends a ticket.
func (t *ticket) abandon() {
	if !t.gone.Swap(true) {
		t.drop <- struct{}{}
	}
}

func newSession(store kv.Store, keys layout, ttl time.Duration, value []byte, log *slog.Logger, heard func(), wake chan<- struct{}) *session {
	return &session{store: store, keys: keys, ttl: ttl, value: value, log: log, heard: heard, wake: wake, turn: make(chan struct{}, 1), news: make(chan struct{}, 1)}
}

// want says whether this member is a candidate. A candidate that could not lead would keep
// all others from leading.
func (s *session) want(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == yes {
		return
	}
	s.wanted = yes
	if !yes && s.ticket != nil {
		s.ticket.abandon()
	}
	select {
	case s.turn <- struct{}{}:
	default:
	}
}

// say changes the value of the key.
func (s *session) say(value []byte) {
	s.mu.Lock()
	s.value = value
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// now returns the current ticket, or nil.
func (s *session) now() *ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ticket
}

// own returns the last key of this member, which the store may have. Unlike that of now,
// it is known before anything can be heard of it from the store.
func (s *session) own() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *session) set(t *ticket) {
	s.mu.Lock()
	s.ticket = t
	if t != nil && !s.wanted {
		t.abandon()
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run keeps a key until ctx ends, and then removes it.
func (s *session) run(ctx context.Context) {
	pause := backoff{first: 50 * time.Millisecond, most: s.ttl}
	for ctx.Err() == nil {
		s.mu.Lock()
		wanted := s.wanted
		s.mu.Unlock()
		if !wanted {
			select {
			case <-s.turn:
			case <-ctx.Done():
			}
			continue
		}
		t, err := s.open(ctx)
		if err != nil {
			if pause.tries == 0 {
				s.log.Warn("member: cannot be listed in the store, and so cannot become the writer", "err", err)
			}
			pause.wait(ctx)
			continue
		}
		pause.reset()
		s.set(t)
		s.keep(ctx, t)
		t.gone.Store(true)
		s.set(nil)
		s.giveBack(ctx, t)
	}
}

// giveBack removes the key of a ticket. Until that is done there is no next one: with two
// keys, this member would be in the way of others.
func (s *session) giveBack(ctx context.Context, t *ticket) {
	pause := backoff{first: s.ttl / 50, most: s.ttl / 3}
	for s.revoke(t.lease) != nil && ctx.Err() == nil {
		pause.wait(ctx)
	}
}

// open puts a key with a new lease.
func (s *session) open(ctx context.Context) (*ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, s.ttl)
	defer cancel()
	began := time.Now()
	lease, err := s.store.Grant(ctx, s.ttl)
	if err != nil {
		return nil, err
	}
	s.heard()
	name := strconv.FormatUint(uint64(lease.ID), 16)
	t := &ticket{key: s.keys.member(name), session: name, lease: lease.ID, value: s.wantedValue(), drop: make(chan struct{}, 1), base: began}
	t.extend(began, s.ttl)
	s.mu.Lock()
	s.last = t.key
	s.mu.Unlock()
	result, err := s.store.Txn(ctx, kv.Txn{
		If:   []kv.Compare{{Key: t.key, Created: true}},
		Then: []kv.Op{{Key: t.key, Value: t.value, Lease: lease.ID}},
	})
	if err == nil && !result.Done {
		err = fmt.Errorf("%s is in the store already", t.key)
	}
	if err != nil {
		// The key may be there. It goes with the lease.
		_ = s.revoke(lease.ID)
		return nil, err
	}
	t.created = result.Header.Revision
	return t, nil
}

// keep keeps the lease of t alive until it is over, or t is abandoned, or ctx ends. When t
// is not valid any more by its own clock, it first reads the key. If requests arrived at
// the store, and its answers did not come, prolonging the lease would keep all others from
// leading.
func (s *session) keep(ctx context.Context, t *ticket) {
	period := s.ttl / 3
	pause := backoff{first: s.ttl / 50, most: s.ttl / 10} // half of a session without the store must not end it
	for next := time.NewTimer(period); ; {
		select {
		case <-next.C:
		case <-s.news:
			if errors.Is(s.tell(ctx, t), kv.ErrLeaseGone) {
				return
			}
			continue
		case <-t.drop:
			return
		case <-ctx.Done():
			return
		}
		sent := time.Now()
		over := !t.valid()
		err := s.prolong(ctx, t, over)
		switch {
		case err == nil:
			t.extend(sent, s.ttl)
			s.heard()
			pause.reset()
			next.Reset(max(period-time.Since(sent), 0))
			if over {
				s.set(t)
			}
			if errors.Is(s.tell(ctx, t), kv.ErrLeaseGone) {
				return
			}
		case errors.Is(err, kv.ErrLeaseGone):
			return
		default:
			next.Reset(pause.next())
		}
	}
}

func (s *session) wantedValue() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value
}

// tell puts the value that the key should have. If that fails, the next renewal of the
// lease does it again.
func (s *session) tell(ctx context.Context, t *ticket) error {
	value := s.wantedValue()
	if bytes.Equal(value, t.value) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.ttl/5)
	defer cancel()
	result, err := s.store.Txn(ctx, kv.Txn{
		If:   []kv.Compare{{Key: t.key, Created: true, Is: t.created}},
		Then: []kv.Op{{Key: t.key, Value: value, Lease: t.lease}},
	})
	switch {
	case err != nil:
		return err
	case !result.Done:
		return kv.ErrLeaseGone
	}
	t.value = value
	s.heard()
	return nil
}

// prolong begins the time of a lease again. over says that the key may be gone.
func (s *session) prolong(ctx context.Context, t *ticket, over bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.ttl/3)
	defer cancel()
	if over {
		pair, _, err := s.store.Get(ctx, t.key)
		if err != nil {
			return err
		}
		if pair == nil || pair.Created != t.created {
			return kv.ErrLeaseGone
		}
	}
	return s.store.KeepAlive(ctx, t.lease)
}

// revoke removes a lease with its key, if the store answers soon.
func (s *session) revoke(id kv.LeaseID) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.ttl/5)
	defer cancel()
	err := s.store.Revoke(ctx, id)
	if err != nil {
		s.log.Debug("member: a lease is left to end by itself", "lease", fmt.Sprintf("%x", int64(id)), "err", err)
	}
	return err
}

// backoff is a pause that grows and is random, until there is success.
type backoff struct {
	first, most time.Duration
	tries       int
}

// next returns how long to wait now.
func (b *backoff) next() time.Duration {
	d := b.first << min(b.tries, 20)
	if d <= 0 || d > b.most {
		d = b.most
	}
	b.tries++
	return d/2 + rand.N(d/2+1)
}

// reset notes a success.
func (b *backoff) reset() { b.tries = 0 }

// wait waits for the next pause, or until ctx ends.
func (b *backoff) wait(ctx context.Context) { sleep(ctx, b.next()) }

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
