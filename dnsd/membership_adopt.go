package dnsd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

const (
	// awaitTime bounds how long a reload waits for a shared store and its writer. The
	// servers of a cluster find each other in a second or two.
	awaitTime = 10 * time.Second
	// adoptTime bounds how long a reload puts registrations into a shared store: one that
	// is slow takes a thousand a second.
	adoptTime = time.Minute
	// skipTime bounds the wait for a revision: an election may be under way.
	skipTime = 5 * time.Second
	// adoptAtOnce is how many registrations are on their way to the writer: it commits
	// them together.
	adoptAtOnce = 64
)

// takeOver brings the registrations of from, which published the zone before, into the
// shared store. It waits until the store answers, because a zone that is served must not
// become one that waits.
//
// What the store has already stays. Of an instance that is in both, the one in the store
// stays if there are other members, because a server may renew it through them. If there
// are none, that of from is believed: no server has renewed the other since this member
// began.
//
// An error says that the reload cannot be done now.
func (m *membership) takeOver(ctx context.Context, from *registry.Registry) (taken, kept int, err error) {
	if err := m.await(ctx); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, adoptTime)
	defer cancel()
	if m.reg.Leads() && len(m.member.Peers()) == 1 {
		taken, err = m.reg.Adopt(ctx, from) // with states and fences, in a few commits
		if !errors.Is(err, registry.ErrNotWriter) {
			return taken, 0, err
		}
	}
	return m.addAll(ctx, from)
}

// await waits until the registry has what is in the store, and there is a writer.
func (m *membership) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := m.member.Changed()
		why := m.member.Health().Reason
		if p, ok := m.member.Writer(); why == "" && ok && (!p.Self || m.reg.Leads()) {
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-m.task.done:
			return m.task.err
		case <-ctx.Done():
			if why == "" {
				why = "there is no writer"
			}
			return fmt.Errorf("%s; start the store, or the other dnsd, and try again", why)
		}
	}
}

// addAll registers the instances of from that are not in the shared store, through the
// writer.
func (m *membership) addAll(ctx context.Context, from *registry.Registry) (taken, kept int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var adding sync.WaitGroup
	places := make(chan struct{}, adoptAtOnce)
	var mu sync.Mutex // guards the results
	for in := range from.Content().Instances {
		if _, there := m.reg.Instance(in.Key); there {
			mu.Lock()
			kept++
			mu.Unlock()
			continue
		}
		places <- struct{}{}
		adding.Go(func() {
			defer func() { <-places }()
			added, failure := m.add(ctx, *in)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case failure != nil && err == nil:
				err = failure
				cancel()
			case added:
				taken++
			default:
				kept++
			}
		})
	}
	adding.Wait()
	return taken, kept, err
}

// skip uses up a revision, because a zone that is made again publishes other records than
// before. It returns the revision.
func (m *membership) skip() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), skipTime)
	defer cancel()
	done, err := m.writes.Skip(ctx)
	if err == nil {
		err = m.reg.Await(ctx, done.Revision)
	}
	if err != nil {
		return 0, faultf("store", "a zone changes, which needs a revision of the shared store: %w; try again", err)
	}
	return done.Revision, nil
}

// add registers one instance. A newer process with its key is no error.
func (m *membership) add(ctx context.Context, in registry.Instance) (added bool, err error) {
	_, err = m.writes.Register(ctx, in)
	var fenced *registry.FencedError
	if errors.As(err, &fenced) {
		return false, nil
	}
	if err == nil && in.State == registry.Drained {
		_, err = m.writes.Drain(ctx, in.Key, in.Sticky)
	}
	return err == nil, err
}

// Tests: several_reload_test.go, followed_reload_test.go.
