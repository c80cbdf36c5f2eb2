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

// keeper keeps the store as it should be while this member leads: the spare keys, what is
// owed, the settings, and what was changed by hand.
type keeper struct {
	m      *Member
	j      *journal
	cancel context.CancelFunc
	done   chan struct{}
	turn   chan struct{} // has a value if there is something to do

	mended, failed rate.Sometimes // of what is logged

	mu     sync.Mutex
	greet  bool                // guarded by mu; a member has joined
	broken map[string]kv.Event // guarded by mu; keys that were changed by hand, by the last change
}

func startKeeper(m *Member, j *journal) *keeper {
	ctx, cancel := context.WithCancel(j.ctx)
	k := &keeper{m: m, j: j, cancel: cancel, done: make(chan struct{}), turn: make(chan struct{}, 1), broken: make(map[string]kv.Event)}
	k.mended.Interval, k.failed.Interval = handEvery, handEvery
	go func() {
		defer close(k.done)
		k.run(ctx)
	}()
	return k
}

// stop ends the keeper, whose journal has ended, and returns what it has not put back.
func (k *keeper) stop() map[string]kv.Event {
	k.cancel()
	<-k.done
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.broken
}

// stepAside lets another server of the store lead its servers, if the one of this dnsd
// does: then the end of this dnsd costs one change, that of the writer, and the store
// takes it at once. Else the store first had to choose a leader, which takes seconds, and
// it lengthens every session when it has one.
//
// Commits wait meanwhile: a leader that hands over may lose what others pass on to it,
// without a word, and the commit would wait for its answer.
func (j *journal) stepAside(ctx context.Context) error {
	store, ok := j.store.(kv.Aside)
	if !ok {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, asideTime)
	defer cancel()
	return store.StepAside(ctx)
}

// asideTime bounds how long commits wait: a server that is up to date takes the leadership
// in some milliseconds, and etcd looks for that each 100 ms.
const asideTime = 500 * time.Millisecond

// signal lets the keeper look.
func (k *keeper) signal() {
	select {
	case k.turn <- struct{}{}:
	default:
	}
}

// welcome lets a member that has joined see that the writer is alive.
func (k *keeper) welcome() {
	k.setGreet(true)
	k.signal()
}

// errand is something that is tried until it works, with pauses.
type errand struct {
	pause backoff
	next  time.Time
}

func (e *errand) due() bool { return !time.Now().Before(e.next) }

// tried notes that it worked, or did not.
func (e *errand) tried(worked bool) {
	if worked {
		e.pause.reset()
		e.next = time.Time{}
		return
	}
	e.next = time.Now().Add(e.pause.next())
}

// run works until ctx ends.
func (k *keeper) run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	fill := errand{pause: backoff{first: time.Second, most: 30 * time.Second}}
	greet := errand{pause: backoff{first: time.Second, most: 10 * time.Second}}
	mend := greet
	for {
		if fill.due() {
			err := k.fill(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil && fill.pause.tries == 0 {
				k.m.cfg.Logger.Warn("member: the spare keys of the store cannot be filled", "err", err)
			}
			fill.tried(err == nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := k.j.stepAside(ctx); err != nil && ctx.Err() == nil {
				k.m.cfg.Logger.Debug("member: the store's server of this dnsd leads on", "err", err)
			}
		case <-k.turn:
		}
		if greet.due() && k.setGreet(false) {
			err := k.j.touch()
			greet.tried(err == nil)
			if err != nil {
				k.setGreet(true)
				k.m.cfg.Logger.Debug("member: a member that has joined was not greeted yet", "err", err)
			}
		}
		if !mend.due() {
			continue
		}
		if broken := k.takeBroken(); len(broken) > 0 {
			worked := k.mend(ctx, broken)
			mend.tried(worked)
			if !worked {
				k.note(broken)
			}
		}
	}
}

// fill puts what the store should always have: the settings, the spare keys, and what is
// owed.
func (k *keeper) fill(ctx context.Context) error {
	more, err := true, k.m.putMeta(ctx, k.j)
	for more && err == nil && ctx.Err() == nil {
		more, err = k.j.refill()
	}
	return err
}

func (k *keeper) setGreet(greet bool) (was bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was, k.greet = k.greet, greet
	return was
}

func (k *keeper) takeBroken() map[string]kv.Event {
	k.mu.Lock()
	defer k.mu.Unlock()
	broken := k.broken
	k.broken = make(map[string]kv.Event)
	return broken
}

// repeatLocked does a transaction that may be done more than once, because it changes
// nothing the second time. It returns errMoved if its conditions do not hold.
func (j *journal) repeatLocked(t kv.Txn) error {
	began := time.Now()
	for pause := retry; ; pause = min(2*pause, longestRetry) {
		if !j.Valid() || j.ctx.Err() != nil {
			return registry.ErrNotWriter
		}
		ctx, cancel := context.WithTimeout(j.ctx, attempt)
		result, err := j.store.Txn(ctx, t)
		cancel()
		unclear := errors.Is(err, kv.ErrUnavailable) || errors.Is(err, kv.ErrUncertain) || errors.Is(err, context.DeadlineExceeded)
		switch {
		case err == nil && result.Done:
			return nil
		case err == nil:
			return errMoved
		case !unclear || time.Since(began) > patience:
			return err
		}
		j.waitLocked(pause)
	}
}

// Tests: cluster_test.go, keeper_test.go.
