package member

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// state is what the goroutine of Run knows. No other uses it.
type state struct {
	peers   map[string]Peer // the members, by key
	seen    int64           // the store's revision up to which peers are known
	fed     int64           // the store's revision up to which the registry has everything
	headAt  int64           // the revision in the store of the last head that was seen
	loaded  bool            // the store was read, and fed says up to where
	doubted error           // why it is read again; nil: not because the guard found something
	owed    map[registry.Key]registry.Fence

	witnessed registry.Life   // the life of which a writer was seen alive
	testimony                 //
	behind    time.Time       // since when the store has less than the registry; zero: it has not
	beginning int64           // the revision in the store of the head at that time
	contested bool            // another member has put a head since
	reached   map[string]bool // keys of members that have accepted a connection
	unreached bool            // a member may be there that was not reached
	probing   bool
	probed    chan probe

	term      *term
	trying    attempts            // to lead
	gone      bool                // it has resigned
	inherited bool                // the key of the process before was looked for
	told      string              // the last trouble that was logged
	hand      map[string]kv.Event // keys that were changed by hand, and not put back yet

	byHandLog  rate.Sometimes // of changes by hand: a program may make many
	introduced sync.Once      // which members there are was logged
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
		return m.lookAgain(ctx)
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

// lookAgain looks whether the store is the one that it was, before its watch begins again
// where it was: the watch of another store would deliver nothing, or something else.
func (m *Member) lookAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Session/2)
	defer cancel()
	why, err := m.glance(ctx)
	if err != nil || why == nil {
		return err
	}
	return m.suspect(why)
}

// attend does what this goroutine is for, until there is an error, or done is closed.
// deliveries is nil while the store is not followed. worked says that it delivered.
func (m *Member) attend(ctx context.Context, deliveries <-chan delivery, done <-chan struct{}) (worked bool, err error) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	over := time.NewTimer(m.cfg.Session) // set below
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
			m.unreached = true
			err = m.checkRemovals()
		}
		m.reach(ctx)
		m.testify()
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
	if k := m.known.Load(); k == nil || d.changes.Header.Revision > k.revision || m.headAt > k.head {
		next := known{d.changes.Header.Cluster, d.changes.Header.Revision, m.headAt}
		if k != nil {
			next.revision = max(next.revision, k.revision) // what was delivered once may come again
		}
		m.known.Store(&next)
	}
	return nil
}

// refuse notes that the store cannot be read. If a value is damaged, this member cannot
// follow: what the registry has is served on, and this member is no candidate.
func (m *Member) refuse(err error) error {
	m.unread.Store(true)
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
