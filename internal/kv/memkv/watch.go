package memkv

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// watch is a kv.Watch. The lock of the Cluster guards it.
type watch struct {
	s       *Store
	ctx     context.Context
	stop    func() bool // of what waits for the end of ctx
	prefix  string
	after   int64     // what is not newer is not delivered
	last    *change   // that was looked at; nil before the store has heard of the watch
	spoke   time.Time // when something was delivered
	err     error     // why it is over
	foreign bool      // the store has ended it: a client with a link that hangs does not know
}

// nextEvents bounds how many events Next returns, but for those of one revision.
const nextEvents = 1000

// Watch implements kv.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64) kv.Watch {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	w := &watch{s: s, ctx: ctx, prefix: prefix, after: after, spoke: time.Now()}
	s.watches[w] = struct{}{}
	w.stop = context.AfterFunc(ctx, func() {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		w.endLocked(ctx.Err(), false)
	})
	if err := s.refusedLocked(); err != nil {
		w.endLocked(err, false)
	} else if s.link != Hang {
		w.beginLocked()
	}
	return w
}

// beginLocked is what the store does when it hears of the watch.
func (w *watch) beginLocked() {
	d := w.s.c.data
	switch {
	case w.s.c.stopped:
		w.endLocked(errStopped, true)
		return
	case w.after < d.compacted:
		w.endLocked(tooOld(w.after, d.compacted), true)
		return
	case w.after >= d.revision:
		w.last = d.newest
		return
	}
	w.last = d.oldest
	for w.last.next != nil && w.last.next.revision <= w.after {
		w.last = w.last.next
	}
}

func tooOld(after, compacted int64) error {
	return fmt.Errorf("the changes after revision %d are gone, all up to %d were compacted: %w", after, compacted, kv.ErrCompacted)
}

// compactedLocked ends a watch for which changes are waiting that were compacted, if they
// cannot be on their way to it. One that does not take them for long ends, too: what
// waits for it is bounded.
func (w *watch) compactedLocked(revision int64) {
	if w.last == nil || w.last.revision >= revision {
		return
	}
	if w.s.hangsLocked() || revision-w.last.revision > int64(w.s.c.config.History) {
		w.endLocked(tooOld(w.last.revision, revision), true)
	}
}

// endLocked ends the watch. foreign: the store has done it. The watch then stays where it
// is until its client hears of it.
func (w *watch) endLocked(why error, foreign bool) {
	if w.err == nil || !foreign && w.foreign {
		w.err, w.foreign = why, foreign
	}
	w.last = nil
	if !foreign {
		w.stop()
		delete(w.s.watches, w)
	}
	w.s.c.wakeLocked()
}

// Close implements kv.Watch.
func (w *watch) Close() {
	w.s.c.mu.Lock()
	defer w.s.c.mu.Unlock()
	w.endLocked(kv.ErrClosed, false)
}

// Next implements kv.Watch.
func (w *watch) Next(ctx context.Context) (kv.Changes, error) {
	c := w.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		c.expireLocked()
		hangs := w.s.hangsLocked()
		if err := ctx.Err(); err != nil && (w.err == nil || w.foreign && hangs) {
			w.endLocked(err, false)
		}
		switch {
		case w.err != nil && !(w.foreign && hangs):
			w.endLocked(w.err, false)
			return kv.Changes{}, fmt.Errorf("memkv: %s: watch %s: %w", w.s.name, w.prefix, w.err)
		case hangs:
			c.waitLocked(ctx, 0)
		case w.last == nil:
			w.beginLocked()
		default:
			changes, wait := w.takeLocked(time.Now())
			if wait == 0 {
				return changes, nil
			}
			c.waitLocked(ctx, max(wait, 0))
		}
	}
}

// takeLocked returns what is to be delivered now, or how long to wait; negative is until
// something changes.
func (w *watch) takeLocked(now time.Time) (changes kv.Changes, wait time.Duration) {
	wait = -1
	for w.last.next != nil && len(changes.Events) < nextEvents {
		n := w.last.next
		if on := w.s.delay - now.Sub(n.at); on > 0 {
			wait = on
			break
		}
		w.last = n
		if n.revision <= w.after {
			continue
		}
		for _, e := range n.events {
			if strings.HasPrefix(e.Key, w.prefix) {
				e.Value = slices.Clone(e.Value)
				changes.Events = append(changes.Events, e)
				changes.Header.Revision = e.Modified
			}
		}
	}
	changes.Header.Cluster = w.s.c.data.cluster
	quiet := w.s.c.config.Progress
	switch left := quiet - now.Sub(w.spoke); {
	case len(changes.Events) > 0:
	case quiet <= 0:
		return changes, wait
	case left <= 0:
		changes.Header.Revision = w.last.revision
	case wait < 0 || left < wait:
		return changes, left
	default:
		return changes, wait
	}
	w.spoke = now
	return changes, 0
}

// Tests: memkv_test.go, link_test.go.
