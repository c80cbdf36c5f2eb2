package member

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// seat is the right to write: the key of a member in the store, while it is the lowest.
type seat struct {
	session string // as in P/member/SESSION
	created int64  // when the key was put
	valid   func() bool
	ttl     time.Duration // of the session
}

// gate is a mutex that is held for long: whoever waits for it waits at a channel, which
// lets the clock of a test go on.
type gate chan struct{}

// Lock waits for the gate.
func (g gate) Lock() { g <- struct{}{} }

// TryLock closes the gate if it is open.
func (g gate) TryLock() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock opens it again.
func (g gate) Unlock() { <-g }

// journal writes to the store for one term. It is the registry's Term.
type journal struct {
	store kv.Store
	keys  layout
	seat  seat
	name  string // of the member
	log   *slog.Logger

	ctx    context.Context // ends with the term
	cancel context.CancelFunc
	lost   chan struct{} // closed when the journal itself ends the term
	over   atomic.Bool   // the term has ended
	headAt atomic.Int64  // the store's revision of the last head

	mu       gate                            // one transaction at a time; guards what follows
	pos      position                        // of the store
	owed     map[registry.Key]registry.Fence // of removals without space, not stored yet
	full     bool                            // the last transaction found no space
	bare     map[int64]struct{}              // the revisions in the store of removals without space that the watch has not delivered
	away     bool                            // the last transaction did not reach the store
	why      error                           // why the journal ended the term
	settings map[string]string               // that P/meta has for sure
	began    time.Time                       // when the transaction under way was sent first
	spoilt   bool                            // a transaction may still be done as long as the key of the seat is there
}

var _ registry.Term = (*journal)(nil)

// newJournal begins a term at a position.
func newJournal(ctx context.Context, store kv.Store, keys layout, s seat, name string, pos position, owed map[registry.Key]registry.Fence, log *slog.Logger) *journal {
	if owed == nil {
		owed = make(map[registry.Key]registry.Fence)
	}
	j := &journal{store: store, keys: keys, seat: s, name: name, log: log, lost: make(chan struct{}), bare: make(map[int64]struct{}), mu: make(gate, 1), pos: pos.clone(), owed: owed}
	j.ctx, j.cancel = context.WithCancel(ctx)
	j.headAt.Store(pos.head)
	return j
}

// Valid implements registry.Term.
func (j *journal) Valid() bool { return !j.over.Load() && j.seat.valid() }

// activeLocked says whether the transaction under way may be sent again. An outcome that is
// not known after a session is not waited for: the callers have waited long enough, and
// another member may reach the store better.
func (j *journal) activeLocked() bool {
	return j.ctx.Err() == nil && j.Valid() && time.Since(j.began) < j.seat.ttl
}

// Commit implements registry.Term. A batch that is too large for a transaction is divided.
// If a later part fails, the earlier ones are stored, so the outcome is not known to the
// callers, and the term ends.
func (j *journal) Commit(b *registry.Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	parts, err := j.keys.divide(b, j.pos.revision, j.store.Limits())
	if err != nil {
		return err
	}
	before := j.pos.clone()
	stored, err := j.commitAllLocked(parts)
	if err != nil && stored {
		j.endLocked(fmt.Errorf("a part of a batch is stored, and then: %w", err), false)
		err = fmt.Errorf("%w: a part of the batch is stored, and then: %v", registry.ErrUncertain, err)
	}
	if err != nil && j.over.Load() {
		j.pos = before // the registry has nothing of the batch
	}
	return err
}

// commitAllLocked commits one part after the other. With an error, stored says whether
// some were stored before.
func (j *journal) commitAllLocked(parts []*part) (stored bool, err error) {
	for i, p := range parts {
		err := j.commitLocked(p)
		if errors.Is(err, registry.ErrNoSpace) && onlyRemove(parts[i:]) {
			some, err := j.removeLocked(parts[i:])
			return stored || some, err
		}
		if err != nil {
			return stored, err
		}
		stored = true
	}
	return true, nil
}

func (j *journal) commitLocked(p *part) error {
	h := j.headLocked(p.revision, len(j.pos.spares), &p.batch)
	if err := j.putLocked(p.ops, h); err != nil {
		return err
	}
	j.pos.revision = p.revision
	for _, f := range p.fences {
		delete(j.owed, f.Key)
	}
	return nil
}

// headLocked returns the head to be put.
func (j *journal) headLocked(revision uint64, spares int, b *batch) *head {
	return &head{
		Format: format, Life: life(j.pos.life), Revision: revision, Spares: spares,
		Time: time.Now().UTC(), Writer: j.name, Member: j.seat.session, Batch: b,
	}
}

// putLocked does ops and puts the head, if the store is where this journal knows it to
// be.
func (j *journal) putLocked(ops []kv.Op, h *head) error {
	value := encode(h)
	all := make([]kv.Op, 0, len(ops)+1)
	all = append(append(all, ops...), kv.Op{Key: j.keys.head(), Value: value}) // last, so that followers see it last
	at, err := j.sendLocked(kv.Txn{If: j.conditions(), Then: all}, func(ctx context.Context) (int64, bool, error) {
		pair, _, err := j.store.Get(ctx, j.keys.head())
		if err != nil || pair == nil || !bytes.Equal(pair.Value, value) {
			return 0, false, err
		}
		return pair.Modified, true, nil
	})
	if err == nil {
		j.pos.head, j.pos.at = at, at
		j.headAt.Store(at)
	}
	return err
}

// conditions are those of every transaction of a writer.
func (j *journal) conditions() []kv.Compare {
	own := kv.Compare{Key: j.keys.member(j.seat.session), Created: true, Is: j.seat.created}
	return append([]kv.Compare{own}, j.pos.unchanged(j.keys)...)
}

const (
	// patience is how long a transaction that was not done is tried again: an election of
	// etcd's servers takes about a second. While the store is away, only the first
	// transaction waits.
	patience = 1500 * time.Millisecond
	// attempt bounds one transaction. After it the outcome is unknown, and it is sent again.
	attempt = 2 * time.Second
	// retry is the pause before a transaction is sent again.
	retry = 20 * time.Millisecond
	// longestRetry is the longest pause: the callers wait for the outcome.
	longestRetry = 500 * time.Millisecond
)

// sendLocked does a transaction and returns its revision in the store, however often it
// must be sent. Each copy has the same conditions, and makes them false, so at most one is
// done. done looks whether it was ours that made them false.
//
// Errors: registry.ErrNotWriter and registry.ErrUncertain (the term is over),
// registry.ErrNoSpace and others (nothing was done, and the term goes on).
func (j *journal) sendLocked(t kv.Txn, done func(context.Context) (int64, bool, error)) (int64, error) {
	j.began = time.Now()
	under := error(nil) // why a copy may be under way
	for pause := retry; ; pause = min(2*pause, longestRetry) {
		if !j.activeLocked() {
			return 0, j.unresolvedLocked(under, errOver)
		}
		ctx, cancel := context.WithTimeout(j.ctx, attempt)
		result, err := j.store.Txn(ctx, t)
		cancel()
		if !errors.Is(err, kv.ErrUnavailable) {
			j.away = false
		}
		switch {
		case err == nil && result.Done:
			j.full = false
			return result.Header.Revision, nil
		case err == nil && under == nil:
			j.endLocked(errors.New("the store was changed by another, or the key of this member is gone"), false)
			return 0, registry.ErrNotWriter
		case err == nil:
			return j.changedLocked(under, done)
		case errors.Is(err, kv.ErrNoSpace):
			return j.noSpaceLocked(under, err, done)
		case errors.Is(err, kv.ErrUnavailable):
			if under == nil && (j.away || time.Since(j.began) >= patience) {
				j.away = true
				return 0, err
			}
		case errors.Is(err, kv.ErrTooLarge), errors.Is(err, kv.ErrDenied), errors.Is(err, kv.ErrLeaseGone), errors.Is(err, kv.ErrClosed):
			if under != nil {
				return 0, j.unresolvedLocked(under, err)
			}
			return 0, err
		default: // kv.ErrUncertain, or the context ended
			under = err
		}
		j.waitLocked(pause)
	}
}

// changedLocked is the outcome of a transaction whose conditions do not hold any more,
// while a copy of it may be under way.
func (j *journal) changedLocked(under error, done func(context.Context) (int64, bool, error)) (int64, error) {
	at, ours, err := j.lookLocked(done)
	switch {
	case err != nil:
		return 0, j.unresolvedLocked(under, err)
	case ours:
		return at, nil
	}
	// It may have been ours, and the store was changed again since.
	j.endLocked(fmt.Errorf("the store was changed by another while an outcome was unknown: %w", under), false)
	return 0, fmt.Errorf("%w: %v", registry.ErrUncertain, under)
}

// noSpaceLocked is the outcome of a transaction that found no space. When the quota is
// passed, etcd does the transaction and says that there is no space. Whether it did is
// certain when it answers.
func (j *journal) noSpaceLocked(under, noSpace error, done func(context.Context) (int64, bool, error)) (int64, error) {
	j.full = true
	at, ours, err := j.lookLocked(done)
	switch {
	case err != nil:
		return 0, j.unresolvedLocked(cmp.Or(under, noSpace), err)
	case ours:
		return at, nil
	case under != nil:
		return 0, j.defuseLocked(under, noSpace)
	}
	return 0, fmt.Errorf("%w: %w", registry.ErrNoSpace, noSpace)
}

// lookLocked calls done until it knows the answer or the term is over.
func (j *journal) lookLocked(done func(context.Context) (int64, bool, error)) (int64, bool, error) {
	for pause := retry; ; pause = min(2*pause, longestRetry) {
		ctx, cancel := context.WithTimeout(j.ctx, attempt)
		at, ours, err := done(ctx)
		cancel()
		if err == nil || !j.activeLocked() {
			return at, ours, err
		}
		j.waitLocked(pause)
	}
}

// errOver is why a term ends that the store does not prolong.
var errOver = errors.New("the session is over")

// unresolvedLocked ends the term because of err. The cause is only text in the error that
// it returns, because a context in it is not the caller's. If a copy may be under way, it may be done as long as
// the key of the seat is there, so that key must go.
func (j *journal) unresolvedLocked(under, err error) error {
	if under == nil {
		j.endLocked(errOver, false)
		return registry.ErrNotWriter
	}
	j.endLocked(fmt.Errorf("an outcome is unknown: %w; and then: %w", under, err), true)
	return fmt.Errorf("%w: %v", registry.ErrUncertain, under)
}

// endLocked ends the term. Nothing is acknowledged after it.
func (j *journal) endLocked(why error, spoilt bool) {
	j.spoilt = j.spoilt || spoilt
	if j.over.Swap(true) {
		return
	}
	j.why = why
	j.cancel()
	close(j.lost)
}

func (j *journal) waitLocked(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-j.ctx.Done():
	}
}

// end ends the term from outside: a commit that is under way is broken off. It returns
// where the journal was, and whether the key of the seat must go.
func (j *journal) end() (pos position, owed map[registry.Key]registry.Fence, spoilt bool, why error) {
	j.cancel()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over.Store(true)
	return j.pos, j.owed, j.spoilt, j.why
}
