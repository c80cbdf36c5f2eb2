package member

import (
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// group is everything that changed at one revision of the store.
type group struct {
	revision int64
	peers    []kv.Event
	meta     *kv.Event
	head     *kv.Event
	removed  []registry.Key // instances that were deleted, in order
	spares   int            // spare keys that were deleted
	touched  []kv.Event     // of instances and fences
}

func (m *Member) gather(events []kv.Event) group {
	g := group{revision: events[0].Modified}
	for i := range events {
		e := events[i]
		where, err := m.keys.read(e.Key)
		switch where.kind {
		case headKey:
			g.head = &e
		case metaKey:
			g.meta = &e
		case memberKey:
			g.peers = append(g.peers, e)
		case spareKey:
			if e.Deleted && err == nil {
				g.spares++
			}
		case instanceKey:
			g.touched = append(g.touched, e)
			if e.Deleted && err == nil {
				g.removed = append(g.removed, where.key)
			}
		case fenceKey:
			g.touched = append(g.touched, e)
		}
	}
	return g
}

// apply applies what changed at one revision, unless that was applied before.
func (m *Member) apply(g group) error {
	if g.revision > m.seen {
		if err := m.applyPeers(g); err != nil {
			return err
		}
		m.seen = g.revision
	}
	if g.head != nil && !g.head.Deleted {
		m.headAt = max(m.headAt, g.head.Modified)
	}
	switch {
	case m.term != nil:
		return m.applyLeading(g)
	case g.revision <= m.fed:
		return nil
	}
	m.fed = g.revision
	switch {
	case g.head != nil && g.head.Deleted:
		return m.suspect(errHeadGone)
	case g.head != nil && !m.behind.IsZero():
		m.loaded = false // perhaps another member has begun a new life
		return errAgain
	case !m.behind.IsZero():
		return nil
	case g.head != nil:
		return m.applyHead(g.head)
	case len(g.removed) > 0 && len(g.removed) == g.spares:
		return m.applyRemovals(g.removed)
	}
	if len(g.touched) > 0 {
		m.byHand(g.touched)
	}
	if g.spares > 0 {
		return m.applySkip(g.spares)
	}
	return nil
}

// applyHead applies a commit.
func (m *Member) applyHead(e *kv.Event) error {
	h, err := parseHead(e.Value)
	if err != nil {
		return m.refuse(&DamagedError{e.Key, err, cureHead})
	}
	reg := m.cfg.Registry
	m.witnessed = registry.Life(h.Life)
	if m.witnessed != reg.Life() || !m.synced.Load() {
		m.loaded = false
		m.cfg.Logger.Info("member: a new life has begun: reading everything again", "life", registry.Life(h.Life).String(), "revision", h.Revision, "writer", h.Writer)
		return errAgain
	}
	if h.Batch == nil {
		return m.follows(h.Revision == reg.Revision(), errors.New("the head continues elsewhere"))
	}
	b, err := h.batch()
	if err != nil {
		return m.refuse(&DamagedError{e.Key, err, cureHead})
	}
	if h.Batch.From != reg.Revision() {
		return m.follows(false, fmt.Errorf("a commit continues at revision %d, and this member is at %d", h.Batch.From, reg.Revision()))
	}
	err = reg.Follow(b)
	for _, f := range b.Fences {
		delete(m.owed, f.Key)
		delete(m.hand, m.keys.fence(f.Key))
	}
	for i := range b.Changes {
		delete(m.hand, m.keys.instance(b.Changes[i].Key()))
	}
	return m.follows(err == nil, err)
}

// applyRemovals applies a commit of removals without space. The fences that they leave are
// what the writer owes to the store; this member owes them if it becomes the writer.
func (m *Member) applyRemovals(keys []registry.Key) error {
	reg := m.cfg.Registry
	revision := reg.Revision()
	b := &registry.Batch{Revision: revision + uint64(len(keys))}
	for i, k := range keys {
		old, ok := reg.Instance(k)
		if !ok {
			return m.follows(false, fmt.Errorf("%s is removed, and is not registered here", k))
		}
		c := registry.Change{Revision: revision + uint64(i) + 1, Time: time.Now(), Old: old.Instance}
		b.Changes = append(b.Changes, c)
		if f := fenceOf(&c); !f.Empty() {
			f.Incarnation = max(f.Incarnation, reg.Fence(k).Incarnation)
			b.Fences = append(b.Fences, f)
		}
	}
	if err := reg.Follow(b); err != nil {
		return m.follows(false, err)
	}
	m.witnessed = reg.Life()
	for _, f := range b.Fences {
		m.owed[f.Key] = f
	}
	return nil
}

// errByHand ends a term, because the revisions of the others have moved.
var errByHand = errors.New("spare keys were deleted in the store, and not by a dnsd")

// applySkip uses up revisions, one for each spare key that was deleted by hand, or by a
// writer in a full store after an outcome that it does not know: whoever loads the store
// counts them.
func (m *Member) applySkip(n int) error {
	reg := m.cfg.Registry
	m.cfg.Logger.Warn("member: spare keys were deleted without a removal: revisions are used up", "keys", n)
	err := reg.Follow(&registry.Batch{Revision: reg.Revision() + uint64(n)})
	return m.follows(err == nil, err)
}

// follows lets everything be read again if a commit did not continue where the registry is.
func (m *Member) follows(ok bool, why error) error {
	if ok {
		return nil
	}
	m.loaded = false
	m.cfg.Logger.Warn("member: reading everything again", "why", why)
	return errAgain
}

// checkRemovals ends the term if removals that the watch has delivered are not its own. The
// others have applied them.
func (m *Member) checkRemovals() error {
	if m.term == nil || len(m.term.removals) == 0 {
		return nil
	}
	strange, ok := m.term.journal.strange(m.term.removals)
	switch {
	case !ok:
		return nil // the next second
	case strange:
		return m.lose(errByHand)
	}
	m.term.removals = m.term.removals[:0]
	return nil
}

// applyLeading looks at what changed while this member leads.
func (m *Member) applyLeading(g group) error {
	own := m.term.ticket.session
	switch {
	case g.head != nil && g.head.Deleted:
		return m.suspect(errHeadGone)
	case g.head != nil:
		h, err := parseHead(g.head.Value)
		if err != nil || h.Member != own {
			return m.lose(fmt.Errorf("%s was put by another", g.head.Key))
		}
	case len(g.removed) > 0 && len(g.removed) == g.spares:
		m.term.removals = append(m.term.removals, g.revision)
		return m.checkRemovals()
	case g.spares > 0:
		return m.lose(errByHand)
	case len(g.touched) > 0:
		broken := make(map[string]kv.Event, len(g.touched))
		for _, e := range g.touched {
			broken[e.Key] = e
		}
		m.term.keeper.later(broken)
	}
	return nil
}

// Tests: cluster_test.go.
