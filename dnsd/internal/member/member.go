package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Member is one dnsd's part in a cluster. The goroutine of Run decides everything: it
// follows the store, and makes the registry lead and follow.
type Member struct {
	cfg     Config
	keys    layout
	session *session

	wake   chan struct{} // the ticket has changed
	odd    chan error    // what the guard of the store has found
	doubts chan string   // the key of a member that may be dead
	resign chan struct{} // closed by Resign
	yields sync.Once     // closes resign
	gave   chan struct{} // closed when the member has resigned

	state                // used by the goroutine of Run
	parts sync.WaitGroup // the other goroutines of Run

	answered atomic.Int64              // when the store answered last: time since began
	began    time.Time                 //
	ahead    atomic.Pointer[ahead]     // what the store has and the registry has not
	unseen   atomic.Pointer[ahead]     // a revision in the store that the watch has not delivered
	older    atomic.Pointer[time.Time] // since when the store has less than the registry; nil: it has not
	broken   atomic.Pointer[error]     // why the registry cannot follow; nil: it can
	unread   atomic.Bool               // the store could not be read once
	synced   atomic.Bool               // the content of the registry is from the store
	known    atomic.Pointer[known]     // what was seen of the store
	leads    atomic.Pointer[journal]   // of the term; nil: this member follows
	health   atomic.Pointer[storeHealth]
	settings atomic.Pointer[map[string]string]

	hearing sync.Mutex // held while answered changes
	absent  *absence   // guarded by hearing; the last one; nil: its end was caught up with

	mu      sync.Mutex
	view    view          // guarded by mu
	changed chan struct{} // guarded by mu; closed when view changes
	loading gate          // held while the content comes from the copy or, first, from the store
}

// view is what others see of the cluster.
type view struct {
	peers []Peer // the lowest created first: it is the writer
	leads bool   // this member leads
}

// known is the data that was seen in the store, to notice that it was replaced.
type known struct {
	cluster  uint64
	revision int64 // of the store
	head     int64 // kv.Pair.Modified of the head
}

// New makes a Member. It contacts no store.
func New(c Config) (*Member, error) {
	if c.Store == nil || c.Registry == nil || c.Address == "" {
		return nil, errors.New("member: configure: it needs a store, a registry, and an address")
	}
	c, err := Check(c)
	if err != nil {
		return nil, fmt.Errorf("member: configure: %w", err)
	}
	m := &Member{
		cfg: c, keys: layout{c.Prefix}, wake: make(chan struct{}, 1), odd: make(chan error, 1),
		doubts: make(chan string, 1), resign: make(chan struct{}), gave: make(chan struct{}),
		began: time.Now(), changed: make(chan struct{}), loading: make(gate, 1),
	}
	m.answered.Store(-1)
	m.settings.Store(&c.Settings)
	m.peers, m.owed, m.reached, m.probed = map[string]Peer{}, map[registry.Key]registry.Fence{}, map[string]bool{}, make(chan probe)
	m.byHandLog.Interval, m.hand = handEvery, map[string]kv.Event{}
	m.testimony.seen = map[string]life{}
	m.session = newSession(c.Store, m.keys, c.Session, m.value(0), c.Logger, m.heard, m.wake)
	return m, nil
}

// Run takes part in the cluster until ctx ends. Then it resigns, and returns nil. It
// returns a *ForeignError if the prefix is not this dnsd's. Call it once.
func (m *Member) Run(ctx context.Context) error {
	defer m.parts.Wait()
	held, release := context.WithCancel(context.WithoutCancel(ctx)) // the key goes after the registry has yielded
	defer release()
	inside, cancel := context.WithCancel(ctx)
	defer cancel()
	m.parts.Go(func() { m.session.run(held) })
	m.parts.Go(func() { m.guard(inside) })
	m.parts.Go(func() { m.keepCopy(inside) })
	err := m.follow(inside)
	m.stop()
	m.session.want(false)
	m.publish()
	return err
}

// follow follows the store until ctx ends, again and again.
func (m *Member) follow(ctx context.Context) error {
	pause := backoff{first: 20 * time.Millisecond, most: 5 * time.Second}
	for ctx.Err() == nil {
		worked, err := m.stint(ctx)
		var foreign *ForeignError
		if errors.As(err, &foreign) {
			return err
		}
		if worked {
			pause.reset()
		}
		if ctx.Err() == nil && !errors.Is(err, errAgain) {
			m.tell(err)
			over, cancel := context.WithTimeout(ctx, pause.next())
			_, err = m.attend(ctx, nil, over.Done())
			cancel()
			if errors.As(err, &foreign) {
				return err
			}
		}
	}
	return nil
}

// publish shows the members and the writer to others.
func (m *Member) publish() {
	peers := make([]Peer, 0, len(m.peers))
	for _, p := range m.peers {
		p.Self = m.isOwn(p)
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.Key, b.Key)) })
	m.mu.Lock()
	defer m.mu.Unlock()
	next := view{peers, m.term != nil}
	if next.leads == m.view.leads && slices.Equal(next.peers, m.view.peers) {
		return
	}
	m.view = next
	m.wakeLocked()
}

// isOwn says whether a key is one of this member: the present one, or one before, which is
// listed until the watch has delivered its end.
func (m *Member) isOwn(p Peer) bool {
	return p.Key == m.session.own() || p.Certificate == m.cfg.Certificate && p.Certificate != ""
}

// wakeLocked ends the wait at the channel of Changed.
func (m *Member) wakeLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// loadedNow tells others that the content is another.
func (m *Member) loadedNow() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wakeLocked()
}

// Resign makes another member the writer, if this one is, and this one no candidate any
// more. It goes on following. It is the first step of a clean stop.
//
// Errors: the context's.
func (m *Member) Resign(ctx context.Context) error {
	m.yields.Do(func() { close(m.resign) })
	select {
	case <-m.gave:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("member: resign: %w", ctx.Err())
	}
}

// tell logs what goes wrong with the store, once for each kind of trouble.
func (m *Member) tell(err error) {
	if err == nil {
		return
	}
	text := err.Error()
	if text == m.told {
		return
	}
	m.told = text
	m.cfg.Logger.Warn("member: cannot follow the store", "err", err)
}

// Tests: cluster_test.go.
