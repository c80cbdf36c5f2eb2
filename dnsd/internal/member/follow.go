package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// state is what the goroutine of Run knows. No other uses it.
type state struct {
	peers  map[string]Peer // the members, by key
	seen   int64           // the store's revision up to which peers are known
	fed    int64           // the store's revision up to which the registry has everything
	loaded bool            // the store was read, and fed says up to where
	owed   map[registry.Key]registry.Fence

	witnessed registry.Life   // the life of which a writer was seen alive
	behind    time.Time       // since when the store has less than the registry; zero: it has not
	reached   map[string]bool // keys of members that have accepted a connection
	probing   bool
	probed    chan probe

	term      *term
	trying    attempts // to lead
	gone      bool     // it has resigned
	inherited bool     // the key of the process before was looked for
	told      string   // the last trouble that was logged
	foreign   int64    // the store's revision of the last change by hand that was logged
}

// errAgain ends a stint without trouble: the next one begins at once.
var errAgain = errors.New("member: once more")

// stint reads the store if that is needed, and follows it until something breaks. worked
// says that the store has answered.
func (m *Member) stint(ctx context.Context) (worked bool, err error) {
	if err := m.catchUp(ctx); err != nil {
		return false, err
	}
	if !m.inherited {
		m.inherited = true
		m.succeed(ctx)
	}
	m.session.want(!m.gone && m.broken.Load() == nil)
	ctx, cancel := context.WithCancel(ctx)
	after := m.fed
	if m.term != nil {
		after = m.seen
	}
	w := m.cfg.Store.Watch(ctx, m.keys.all(), after)
	deliveries := make(chan delivery)
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		pump(ctx, w, deliveries)
	}()
	defer func() {
		cancel()
		w.Close()
		<-pumped
	}()
	return m.attend(ctx, deliveries, nil)
}

// delivery is what a watch delivers.
type delivery struct {
	changes kv.Changes
	err     error
}

// pump reads a watch until it is over.
func pump(ctx context.Context, w kv.Watch, into chan<- delivery) {
	for {
		changes, err := w.Next(ctx)
		select {
		case into <- delivery{changes, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// catchUp reads the store, unless the watch can go on where it was.
func (m *Member) catchUp(ctx context.Context) error {
	if m.loaded {
		return nil
	}
	if m.term != nil {
		return m.readPeers(ctx)
	}
	var l *loaded
	var err error
	done := make(chan struct{})
	inside, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		l, err = load(inside, m.cfg.Store, m.keys)
	}()
	_, attended := m.attend(ctx, nil, done)
	cancel()
	<-done
	if attended != nil {
		return attended
	}
	if err != nil {
		return m.refuse(err)
	}
	m.heard()
	return m.adopt(l)
}

// attend does what this goroutine is for, until there is an error, or done is closed.
// deliveries is nil while the store is not followed. worked says that it delivered.
func (m *Member) attend(ctx context.Context, deliveries <-chan delivery, done <-chan struct{}) (worked bool, err error) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	over := time.NewTimer(0)
	defer over.Stop()
	for {
		var lost <-chan struct{}
		if m.term != nil {
			lost = m.term.journal.lost
			over.Reset(max(m.term.ticket.left(), 0))
		} else {
			over.Stop()
		}
		resign := m.resign
		if m.gone {
			resign = nil
		}
		select {
		case <-ctx.Done():
			return worked, ctx.Err()
		case <-done:
			return worked, nil
		case d := <-deliveries:
			if err = m.deliver(d); err == nil {
				worked = true
			}
		case err = <-m.odd:
			err = m.suspect(err)
		case <-lost:
			err = m.lose(nil)
		case <-over.C:
			if m.term.ticket.left() <= 0 {
				err = m.lose(errors.New("the store did not prolong its session in time"))
			}
		case <-m.wake:
			err = m.checkTicket()
		case key := <-m.doubts:
			m.doubt(ctx, key)
		case p := <-m.probed:
			m.bury(ctx, p)
		case <-resign:
			err = m.giveUp()
		case <-ticker.C:
			m.watchWriter(ctx)
		}
		if err == nil && deliveries != nil {
			err = m.consider(ctx)
		}
		if err != nil {
			return worked, err
		}
	}
}

// deliver applies what a watch has delivered.
func (m *Member) deliver(d delivery) error {
	if d.err != nil {
		if errors.Is(d.err, kv.ErrCompacted) {
			m.loaded = false
			m.cfg.Logger.Info("member: the store has forgotten changes that this member has not seen: reading everything again")
			return errAgain
		}
		return d.err
	}
	m.heard()
	if m.told != "" {
		m.told = ""
		m.cfg.Logger.Info("member: follows the store again")
	}
	if k := m.known.Load(); k != nil && (d.changes.Header.Cluster != k.cluster) {
		return m.suspect(errReplaced)
	}
	for events := d.changes.Events; len(events) > 0; {
		n := 1
		for n < len(events) && events[n].Modified == events[0].Modified {
			n++
		}
		if err := m.apply(m.gather(events[:n])); err != nil {
			return err
		}
		events = events[n:]
	}
	if k := m.known.Load(); k == nil || d.changes.Header.Revision > k.revision {
		m.known.Store(&known{d.changes.Header.Cluster, d.changes.Header.Revision})
	}
	return nil
}

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
			if e.Deleted {
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
	case len(g.touched) > 0:
		m.byHand(g)
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
	for _, f := range b.Fences {
		m.owed[f.Key] = f
	}
	return nil
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

// byHand notes a change of instances or fences that no member has made. The writer undoes
// it; the content of the registries is not changed by it.
func (m *Member) byHand(g group) {
	if g.revision <= m.foreign {
		return
	}
	m.foreign = g.revision
	m.cfg.Logger.Warn("member: a key was changed in the store, and not by a dnsd: it is ignored, and the writer puts it back", "key", g.touched[0].Key, "keys", len(g.touched))
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
	case len(g.touched) > 0:
		m.term.mend(g.touched)
	}
	return nil
}

// refuse notes why this member cannot follow. What the registry has is served on, and this
// member is no candidate.
func (m *Member) refuse(err error) error {
	var damaged *DamagedError
	if !errors.As(err, &damaged) {
		return err
	}
	m.loaded = false
	m.broken.Store(&err)
	m.session.want(false)
	return err
}

// Tests: cluster_test.go.
