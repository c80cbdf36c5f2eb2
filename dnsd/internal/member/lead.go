package member

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// term is the time in which this member leads.
type term struct {
	journal *journal
	ticket  *ticket
	keeper  *keeper
	began   time.Time

	removals []int64 // the store's revisions of removals without space that may be another's
}

// attempts to lead that have failed.
type attempts struct {
	since  time.Time // of the first; zero: none has failed
	next   time.Time // when to try again
	target uint64    // the revision to reach first
	pause  backoff
}

// consider makes this member the writer if its key is the lowest.
func (m *Member) consider(ctx context.Context) error {
	t := m.session.now()
	if m.term != nil || m.gone || m.broken.Load() != nil || t == nil || !t.valid() {
		return nil
	}
	if !m.lowest(t) {
		m.trying, m.expected = attempts{}, 0
		return m.surpass(ctx)
	}
	if time.Now().Before(m.trying.next) && (m.trying.target == 0 || m.cfg.Registry.Revision() < m.trying.target) {
		return nil
	}
	err := m.lead(ctx, t)
	var foreign *ForeignError
	switch {
	case err == nil:
		m.trying = attempts{}
		m.publish()
		return nil
	case errors.Is(err, errAgain), errors.As(err, &foreign):
		return err
	case errors.Is(err, errNotYet):
		return nil
	}
	if m.trying.since.IsZero() {
		m.trying.since = time.Now()
		m.trying.pause = backoff{first: 50 * time.Millisecond, most: m.cfg.Session / 2}
		m.cfg.Logger.Warn("member: cannot become the writer yet", "err", err)
	}
	m.trying.next = time.Now().Add(m.trying.pause.next())
	if time.Since(m.trying.since) > m.cfg.Session && len(m.peers) > 1 {
		m.cfg.Logger.Warn("member: cannot become the writer, and lets another try", "err", err)
		m.trying = attempts{}
		t.abandon()
	}
	return nil
}

// lowest says whether no member is before t. The key of t must be seen, too.
func (m *Member) lowest(t *ticket) bool {
	if m.peers[t.key].created != t.created {
		return false
	}
	for _, p := range m.peers {
		if p.created < t.created {
			return false
		}
	}
	return true
}

// lead makes this member the writer, whose key is the lowest. From then on no other can
// change what is in the store, so what it reads stays true.
func (m *Member) lead(ctx context.Context, t *ticket) error {
	began := time.Now()
	pos, h, err := m.inspect(ctx, t)
	if err != nil {
		return err
	}
	reg := m.cfg.Registry
	if h != nil && pos.revision > reg.Revision() {
		return m.await(pos.revision)
	}
	if h != nil && pos.life != m.witnessed && !less(pos, reg) && m.givesWay(t, pos.life) {
		return errNotYet
	}
	j := newJournal(context.WithoutCancel(ctx), m.cfg.Store, m.keys, seat{t.session, t.created, t.valid, m.cfg.Session}, m.cfg.Name, pos, m.owed, m.cfg.Logger)
	if err = m.begin(ctx, j, h); err == nil && !t.valid() {
		err = errors.New("its session is over")
	}
	if err != nil {
		m.abort(j, t)
		return err
	}
	m.witnessed = reg.Life()
	m.keepUp()
	m.synced.Store(true)
	reg.Lead(j)
	m.term = &term{journal: j, ticket: t, began: time.Now()}
	m.term.keeper = startKeeper(m, j)
	m.leads.Store(j)
	if len(m.peers) > 1 {
		m.term.keeper.welcome() // some may have joined while there was no writer
	}
	m.term.keeper.later(m.hand)
	m.hand = map[string]kv.Event{}
	m.cfg.Logger.Info("member: this dnsd is the writer", "name", m.cfg.Name, "life", reg.Life().String(), "revision", reg.Revision(), "took", time.Since(began))
	return nil
}

// begin makes the store and the registry the same, before this member leads.
func (m *Member) begin(ctx context.Context, j *journal, h *head) error {
	err := m.putMeta(ctx, j)
	full := errors.Is(err, kv.ErrNoSpace)
	switch {
	case err != nil && !full:
		return m.refuse(err)
	case h == nil, less(j.pos, m.cfg.Registry):
		return m.restore(ctx, j, h)
	case j.pos.life == m.witnessed:
		return nil
	}
	err = m.beginLife(j, "no writer of the life before was seen alive")
	if errors.Is(err, registry.ErrNoSpace) {
		m.cfg.Logger.Warn("member: the store is full: the life before is continued")
		return nil
	}
	return err
}

// errNotYet says that the watch has to deliver more before this member can lead.
var errNotYet = errors.New("member: not yet")

// await waits for the watch to deliver a revision. If it does not within a second,
// everything is read again.
func (m *Member) await(revision uint64) error {
	if m.trying.target == revision {
		m.loaded = false
		return errAgain
	}
	m.trying.target, m.trying.next = revision, time.Now().Add(time.Second)
	return errNotYet
}

// abort ends a journal with which this member does not lead after all.
func (m *Member) abort(j *journal, t *ticket) {
	if _, _, spoilt, _ := j.end(); spoilt {
		t.abandon()
	}
}

// inspect reads where the store is, by reads after which no other can have written. The
// head is nil if there is none.
func (m *Member) inspect(ctx context.Context, t *ticket) (position, *head, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Session)
	defer cancel()
	store := m.cfg.Store
	first, found := true, false
	_, err := store.Range(ctx, m.keys.members(), 0, func(p kv.Pair) error {
		if p.Lease == 0 {
			return nil // see errNoLease
		}
		found = found || p.Key == t.key && p.Created == t.created
		first = first && p.Created >= t.created
		return nil
	})
	if err != nil {
		return position{}, nil, err
	}
	if !found || !first {
		return position{}, nil, errors.New("its key in the store is not the lowest any more")
	}
	pair, header, err := store.Get(ctx, m.keys.head())
	if err != nil {
		return position{}, nil, err
	}
	if k := m.known.Load(); k != nil && (header.Cluster != k.cluster || header.Revision < k.revision) {
		return position{}, nil, cmp.Or(m.suspect(errReplaced), errAgain)
	}
	pos := position{at: header.Revision}
	_, err = store.Range(ctx, m.keys.spares(), 0, func(p kv.Pair) error {
		if where, err := m.keys.read(p.Key); err == nil {
			pos.spares = append(pos.spares, spare{where.spare, p.Created})
		}
		return nil
	})
	if err != nil || pair == nil {
		return pos, nil, err
	}
	h, err := parseHead(pair.Value)
	if err != nil {
		return position{}, nil, m.refuse(&DamagedError{pair.Key, err, cureHead})
	}
	pos.life, pos.head = registry.Life(h.Life), pair.Modified
	pos.revision = h.Revision + uint64(max(h.Spares-len(pos.spares), 0))
	return pos, h, nil
}

// beginLife begins a new life, in which nothing else is different.
func (m *Member) beginLife(j *journal, why string) error {
	reg := m.cfg.Registry
	l, revision := reg.NewLife(j.pos.revision)
	if err := j.begin(l, revision); err != nil {
		return err
	}
	m.cfg.Logger.Info("member: begins a new life", "life", l.String(), "revision", revision, "why", why)
	c := reg.Content()
	c.Life, c.Revision = l, revision
	all := c.Instances
	c.Instances = func(yield func(*registry.Instance, error) bool) {
		for in, err := range all {
			own := *in // Reset changes what it gets
			if !yield(&own, err) {
				return
			}
		}
	}
	return reg.Reset(c)
}

// lose makes the registry follow. why is nil if the journal knows it.
func (m *Member) lose(why error) error {
	t := m.term
	pos, owed, spoilt, known := t.journal.end()
	if known != nil {
		why = known
	}
	m.leads.Store(nil)
	m.cfg.Registry.Yield()
	m.hand = t.keeper.stop()
	m.term, m.fed, m.owed = nil, pos.at, owed
	if spoilt {
		t.ticket.abandon()
	}
	m.publish()
	m.cfg.Logger.Warn("member: this dnsd is not the writer any more", "name", m.cfg.Name, "why", why, "after", time.Since(t.began))
	return errAgain
}

// checkTicket looks whether the key with which this member leads is still its own.
func (m *Member) checkTicket() error {
	m.publish()
	if m.term != nil && m.term.ticket.gone.Load() {
		return m.lose(errors.New("its session has ended"))
	}
	return nil
}

// giveUp yields, and makes this member no candidate.
func (m *Member) giveUp() error {
	m.gone = true
	defer close(m.gave)
	if m.term == nil {
		m.session.want(false)
		return nil
	}
	t := m.term
	// A commit that is under way may end, but it is not waited for longer than a session.
	stuck := time.AfterFunc(attempt/2, func() { t.journal.cancel() })
	m.cfg.Registry.Yield()
	stuck.Stop()
	m.leads.Store(nil)
	pos, owed, _, _ := t.journal.end()
	m.hand = t.keeper.stop()
	m.term, m.fed, m.owed = nil, pos.at, owed
	m.session.want(false)
	m.publish()
	m.cfg.Logger.Info("member: this dnsd has stopped to be the writer", "name", m.cfg.Name, "after", time.Since(t.began))
	return errAgain
}

// stop is the end of Run.
func (m *Member) stop() {
	if m.gone {
		return
	}
	_ = m.giveUp() // it says only that a watch has to begin again
}

// Tests: cluster_test.go.
