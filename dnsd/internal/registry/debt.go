package registry

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"
)

// debt is the changes that were published and could not be stored yet, the last one of
// each key. Such a change never adds an instance, so debt has no more keys than the store
// has instances.
type debt struct {
	changes map[Key]Change
	fences  map[Key]Fence
}

func (d *debt) len() int { return len(d.changes) }

// owes says whether the removal of k is not stored yet.
func (d *debt) owes(k Key) bool {
	c, ok := d.changes[k]
	return ok && c.New == nil
}

// add adds the changes of b, which could not be stored.
func (d *debt) add(b *Batch) {
	if d.changes == nil {
		d.changes, d.fences = make(map[Key]Change), make(map[Key]Fence)
	}
	for _, c := range b.Changes {
		if before, ok := d.changes[c.Key()]; ok {
			c.Old = before.Old // as in the store
		}
		d.changes[c.Key()] = c
	}
	for _, f := range b.Fences {
		d.fences[f.Key] = f
	}
}

// before returns a batch with the debt and then b.
func (d *debt) before(b *Batch) *Batch {
	if len(d.changes)+len(d.fences) == 0 {
		return b
	}
	all := &Batch{Revision: b.Revision}
	for c := range maps.Values(d.changes) {
		all.Changes = append(all.Changes, c)
	}
	for f := range maps.Values(d.fences) {
		all.Fences = append(all.Fences, f)
	}
	all.Changes = append(all.Changes, b.Changes...)
	all.Fences = append(all.Fences, b.Fences...)
	return all
}

func (d *debt) paid() { *d = debt{} }

// settler tries to store the debt, with growing pauses while that fails.
type settler struct {
	r     *Registry
	pause time.Duration
	next  time.Time
}

const longestSettle = 30 * time.Second

func (s *settler) tick(ctx context.Context) {
	if s.r.Sick() == nil {
		s.pause = 0
		return
	}
	now := time.Now()
	if s.pause > 0 && now.Before(s.next) {
		return
	}
	s.pause = min(max(2*s.pause, time.Second), longestSettle)
	s.next = now.Add(s.pause/2 + rand.N(s.pause/2))
	if s.r.submit(ctx, &op{settle: true}) != nil {
		return // the next tick that is due tries again
	}
}

// Tests: backend_test.go.
