package memkv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Link is the state of a connection.
type Link int

const (
	// Up is a link that works.
	Up Link = iota
	// Cut fails every call at once with kv.ErrUnavailable, and has ended every watch.
	// Transactions that were under way get kv.ErrUncertain.
	Cut
	// Hang delivers nothing in either direction until the link is Up again.
	Hang
	// HangReplies delivers requests, which are done, but no reply, and nothing of a watch.
	HangReplies
	// Deny is a store that refuses the credentials: everything is kv.ErrDenied.
	Deny
)

// String names the state in messages of tests.
func (l Link) String() string {
	switch l {
	case Up:
		return "up"
	case Cut:
		return "cut"
	case Hang:
		return "hangs"
	case HangReplies:
		return "hangs for replies"
	case Deny:
		return "denied"
	}
	return fmt.Sprintf("Link(%d)", int(l))
}

// Loss is what happens to one transaction that would have reached the store.
type Loss int

const (
	// LostRequest never arrives. The caller gets kv.ErrUncertain at once.
	LostRequest Loss = iota
	// LostReply is done. The caller gets kv.ErrUncertain at once.
	LostReply
	// Late arrives when Arrive is called. The caller gets kv.ErrUncertain at once.
	Late
	// DoneWithoutSpace is done, but the caller gets kv.ErrNoSpace. etcd says so when
	// several transactions exceed its quota at the same time.
	DoneWithoutSpace
)

// SetLink changes the state of the link.
func (s *Store) SetLink(l Link) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.link = l
	if l == Cut || l == Deny {
		s.breaks++
		for w := range s.watches {
			w.endLocked(s.refusedLocked(), false)
		}
	}
	s.c.wakeLocked()
}

// Delay makes each message take some time, in each direction: a call takes twice as long.
func (s *Store) Delay(d time.Duration) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.delay = d
	s.c.wakeLocked()
}

// DelayAnswers makes the answers of calls take some time more than what a watch delivers:
// a client may hear of its transaction from its watch first. etcd sends the two over
// different streams, in any order.
func (s *Store) DelayAnswers(d time.Duration) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.answers = d
	s.c.wakeLocked()
}

// Lose decides what happens to the next transactions of this connection, in order. They
// come after those of earlier calls. Other calls are not touched.
func (s *Store) Lose(next ...Loss) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.losses = append(s.losses, next...)
}

// Arrive lets the transactions arrive that are Late, in order. The caller of each was
// told that its outcome is unknown.
func (s *Store) Arrive() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	late := s.late
	s.late = nil
	for _, do := range late {
		do()
	}
}

var errBroken = errors.New("the connection broke")

// refusedLocked is why nothing can be sent, or nil.
func (s *Store) refusedLocked() error {
	switch {
	case s.closed:
		return kv.ErrClosed
	case s.link == Cut:
		return fmt.Errorf("the link is cut: %w", kv.ErrUnavailable)
	case s.link == Deny:
		return kv.ErrDenied
	case s.c.stopped && s.link == Up:
		return errStopped
	}
	return nil
}

// hangsLocked says whether nothing comes from the store.
func (s *Store) hangsLocked() bool { return s.link == Hang || s.link == HangReplies }

// kind of a call, for what its caller hears if the answer is lost.
type kind int

const (
	read        kind = iota // repeating it does no harm
	write                   // ErrUncertain
	transaction             // likewise, and Lose decides about it
)

// call sends a request to the store, does it there, and brings the answer back. do is
// called with the lock held; if it is called, then once.
func (s *Store) call(ctx context.Context, what string, k kind, do func(*data) error) (err error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("memkv: %s: %s: %w", s.name, what, err)
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.refusedLocked(); err != nil {
		return err
	}
	breaks := s.breaks
	if err := s.crossLocked(ctx, breaks, &s.delay, Hang); err != nil {
		return lost(k, err)
	}
	arrive := func() error {
		if c.stopped {
			return errStopped
		}
		c.expireLocked()
		return do(c.data)
	}
	if k == transaction && len(s.losses) > 0 {
		loss := s.losses[0]
		s.losses = s.losses[1:]
		return s.loseLocked(loss, arrive)
	}
	answer := arrive()
	if err := s.crossLocked(ctx, breaks, &s.delay, HangReplies); err != nil {
		return lost(k, err)
	}
	if err := s.crossLocked(ctx, breaks, &s.answers, HangReplies); err != nil {
		return lost(k, err)
	}
	return answer
}

// crossLocked waits until a message has crossed the link, for which it takes a time that
// may change meanwhile. It does not while the link hangs or is in another state.
func (s *Store) crossLocked(ctx context.Context, breaks int, takes *time.Duration, not Link) error {
	begun := time.Now()
	for {
		left := *takes - time.Since(begun)
		switch {
		case s.closed:
			return kv.ErrClosed
		case s.breaks != breaks:
			return errBroken
		case ctx.Err() != nil:
			return ctx.Err()
		case s.link == Hang || s.link == not:
			left = 0
		case left <= 0:
			return nil
		}
		s.c.waitLocked(ctx, left)
	}
}

// lost is what a caller hears whose answer did not come.
func lost(k kind, why error) error {
	if k != read {
		return fmt.Errorf("%w: no answer: %w", kv.ErrUncertain, why)
	}
	if errors.Is(why, errBroken) {
		return fmt.Errorf("%w: %w", kv.ErrUnavailable, why)
	}
	return why
}

// loseLocked lets a transaction be lost.
func (s *Store) loseLocked(l Loss, arrive func() error) error {
	switch l {
	case LostReply:
		arrive()
	case Late:
		s.late = append(s.late, arrive)
	case DoneWithoutSpace:
		if err := arrive(); err != nil {
			return err
		}
		return kv.ErrNoSpace
	}
	return lost(transaction, errBroken)
}
