package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
)

// Every write reaches the writer, and its receipt is that of the writer.
func TestWritesArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := newPair(t), t.Context()
		two, incarnation := sample("a2"), uint64(7)
		two.TTL, two.Lease, two.Meta, two.Drain = 0, 0, map[string]string{"zone": "ä"}, true

		r, err := p.writes.Register(ctx, sample("a1"))
		if err != nil || r.Did != registry.Created || r.Instance == nil || r.Instance.Key != key("a1") || r.ExpiresIn != 15*time.Second || r.Count != 1 {
			t.Fatalf("Register = %+v, %v", r, err)
		}
		if _, ok := p.own.Instance(key("a1")); !ok || p.own.Revision() != r.Revision {
			t.Errorf("it was answered before it was here: the own registry is at %d, the change has %d", p.own.Revision(), r.Revision)
		}
		r, err = p.writes.Register(ctx, two)
		if err != nil || r.Instance.TTL != 5*time.Second || r.Instance.Lease != 15*time.Second || r.Instance.Meta["zone"] != "ä" || !r.Instance.Drain {
			t.Errorf("Register without lease and TTL, drained = %+v, %v; want the defaults of the writer", r.Instance, err)
		}
		if r, err = p.writes.Register(ctx, sample("a1")); err != nil || r.Did != registry.Renewed {
			t.Errorf("the same again = %+v, %v; want Renewed", r, err)
		}
		time.Sleep(time.Second)
		if r, err = p.writes.Renew(ctx, key("a1"), 7); err != nil || r.Did != registry.Renewed || r.ExpiresIn != 15*time.Second {
			t.Errorf("Renew = %+v, %v", r, err)
		}
		if own, _ := p.own.Instance(key("a1")); r.Instance != own.Instance {
			t.Errorf("the receipt of a renewal has another copy of the instance than the own registry")
		}
		all, err := p.writes.RenewAll(ctx, []registry.Renewal{{Key: key("a1"), Incarnation: 7}, {Key: key("a2")}, {Key: key("a3")}, {Key: key("a1"), Incarnation: 6}})
		if err != nil || all.Count != 2 || !slices.Equal(all.Unknown, []registry.Key{key("a3")}) || !slices.Equal(all.Replaced, []registry.Key{key("a1")}) {
			t.Errorf("RenewAll = %+v, %v", all, err)
		}
		if r, err = p.writes.Drain(ctx, key("a1"), true); err != nil || r.Instance.State != registry.Drained || !r.Instance.Sticky {
			t.Errorf("Drain = %+v, %v", r, err)
		}
		if r, err = p.writes.Undrain(ctx, key("a1")); err != nil || r.Did != registry.Changed || r.Instance.State != registry.Up {
			t.Errorf("Undrain = %+v, %v", r, err)
		}
		if r, err = p.writes.Deregister(ctx, key("a1"), &incarnation); err != nil || r.Did != registry.Removed || r.Instance.Key != key("a1") {
			t.Errorf("Deregister = %+v, %v", r, err)
		}
		if _, ok := p.own.Instance(key("a1")); ok {
			t.Errorf("it was answered before it was gone here")
		}
		if r, err = p.writes.Unfence(ctx, key("a1")); err != nil || r.Did != registry.Forgotten {
			t.Errorf("Unfence = %+v, %v", r, err)
		}
		if r, err = p.writes.ReleaseGuard(ctx, ""); err != nil || r.Did != registry.Nothing {
			t.Errorf("ReleaseGuard = %+v, %v", r, err)
		}
		if r, err = p.writes.ConnectionLost(ctx, key("a2"), 1); err != nil || r.Did != registry.Nothing || r.Instance.Key != key("a2") {
			t.Errorf("ConnectionLost = %+v, %v", r, err)
		}
	})
}

// A refusal of the writer is the same error for the caller as one of the own registry.
func TestRefusalsArePassedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ctx := newPair(t), t.Context()
		var fenced *registry.FencedError
		var field *registry.FieldError
		if _, err := p.writes.Renew(ctx, key("a1"), 7); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("Renew: %v; want ErrNotFound", err)
		}
		if _, err := p.writes.Register(ctx, sample("a1")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.writes.Renew(ctx, key("a1"), 6); !errors.As(err, &fenced) || fenced.Live != 7 || fenced.Given != 6 || fenced.Key != key("a1") {
			t.Errorf("Renew: %v; want a FencedError", err)
		}
		short := sample("a2")
		short.Lease = time.Second
		if _, err := p.writes.Register(ctx, short); !errors.As(err, &field) || field.Field != "lease" {
			t.Errorf("Register: %v; want a FieldError about the lease", err)
		}
		if got := len(p.wire.seen()); got != 4 {
			t.Errorf("%d requests for 4 operations", got)
		}
		for name, in := range map[string]registry.Instance{
			"meta":    {Key: key("a2"), Host: "10.0.0.7", Port: 1, Meta: map[string]string{"a": "\xff"}},
			"host":    {Key: key("a2"), Host: "\xff", Port: 1},
			"id":      {Key: key("\xff"), Host: "10.0.0.7", Port: 1},
			"service": {Key: registry.Key{Service: "\xff", ID: "a2"}, Host: "10.0.0.7", Port: 1},
		} {
			if _, err := p.writes.Register(ctx, in); !errors.As(err, &field) || field.Field != name {
				t.Errorf("Register with text that is no UTF-8 in %s: %v; want a FieldError", name, err)
			}
		}
	})
}

// A write is answered when its change is here, but does not wait for that for long.
func TestAnswerWaitsForTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		if _, err := p.writes.Register(t.Context(), sample("a1")); err != nil {
			t.Fatal(err)
		}
		p.detach()
		seen := &registrytest.Mirror{TB: t}
		defer p.writer.Attach(seen)()
		began := time.Now()
		time.AfterFunc(300*time.Millisecond, func() { (&feed{t: t, to: p.own}).Apply(seen.History()[1:]) }) // a2
		if _, err := p.writes.Register(t.Context(), sample("a2")); err != nil || time.Since(began) != 300*time.Millisecond {
			t.Errorf("after %v: %v; want an answer when the change is here", time.Since(began), err)
		}
		began = time.Now()
		if _, err := p.writes.Deregister(t.Context(), key("a1"), nil); err != nil || time.Since(began) != awaitTime {
			t.Errorf("after %v: %v; want an answer after %v", time.Since(began), err, awaitTime)
		}
		began = time.Now()
		if _, err := p.writes.Renew(t.Context(), key("a2"), 7); err != nil || time.Since(began) != 0 {
			t.Errorf("after %v: %v; a renewal is no change", time.Since(began), err)
		}
		if _, err := p.writer.Drain(t.Context(), key("a2"), false); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if done, err := p.writes.Drain(t.Context(), key("a2"), false); err != nil || done.Did != registry.Nothing || time.Since(began) != awaitTime {
			t.Errorf("a drain of what another client has drained: %v after %v: %v; want an answer after %v", done.Did, time.Since(began), err, awaitTime)
		}
		// Here a1 is registered still, but no attempt of this request has removed it.
		if _, err := p.writes.Deregister(t.Context(), key("a1"), nil); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("again: %v; want ErrNotFound", err)
		}
	})
}

// Without a writer an operation waits for one, but not for long.
func TestWaitsForAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.members.set(Target{}, errors.New("the store is away"))
		began := time.Now()
		_, err := p.writes.Register(t.Context(), sample("a1"))
		if !errors.Is(err, registry.ErrNotWriter) || !strings.Contains(err.Error(), "the store is away") || time.Since(began) != patience {
			t.Errorf("after %v: %v; want ErrNotWriter with the cause after %v", time.Since(began), err, patience)
		}
		if !p.writes.Refusing() {
			t.Error("it does not know that it refuses writes")
		}
		began = time.Now()
		time.AfterFunc(patience-time.Millisecond, func() { p.members.set(p.target, nil) })
		if _, err := p.writes.Register(t.Context(), sample("a1")); err != nil || time.Since(began) != patience-time.Millisecond {
			t.Errorf("after %v: %v; want success when there is a writer", time.Since(began), err)
		}
		if p.writes.Refusing() {
			t.Error("a write has reached the writer, and it says that none does")
		}
	})
}

// A connection that breaks before anything was sent costs nothing.
func TestUnsentOperationIsTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := newPair(t), time.Now()
		p.wire.before = func(_ context.Context, n int) error {
			if n == 1 {
				return errRefused
			}
			return nil
		}
		if r, err := p.writes.Register(t.Context(), sample("a1")); err != nil || r.Did != registry.Created || time.Since(began) != 0 {
			t.Errorf("after %v: %+v, %v", time.Since(began), r, err)
		}
		p.wire.before = func(_ context.Context, n int) error { return errRefused }
		began = time.Now()
		_, err := p.writes.ReleaseGuard(t.Context(), "") // also one that must not be executed twice
		if took := time.Since(began); !errors.Is(err, registry.ErrNotWriter) || errors.Is(err, registry.ErrUncertain) || !strings.Contains(err.Error(), "connection refused") || took < patience || took > patience+lastPause {
			t.Errorf("after %v: %v; want ErrNotWriter with the cause", took, err)
		}
		if n := len(p.wire.seen()); n > 50 {
			t.Errorf("%d attempts in %v", n, patience)
		}
	})
}

// An operation whose answer was lost is sent again.
func TestLostAnswer(t *testing.T) {
	incarnation := uint64(7)
	for name, c := range map[string]struct {
		do   func(ctx context.Context, w *Writes) (registry.Receipt, error)
		did  registry.Did
		fail error
	}{
		"register": {func(ctx context.Context, w *Writes) (registry.Receipt, error) { return w.Register(ctx, sample("b1")) }, registry.Renewed, nil},
		"renew":    {func(ctx context.Context, w *Writes) (registry.Receipt, error) { return w.Renew(ctx, key("a1"), 7) }, registry.Renewed, nil},
		"drain":    {func(ctx context.Context, w *Writes) (registry.Receipt, error) { return w.Drain(ctx, key("a1"), false) }, registry.Nothing, nil},
		"deregister": {func(ctx context.Context, w *Writes) (registry.Receipt, error) {
			return w.Deregister(ctx, key("a1"), &incarnation)
		}, registry.Removed, nil},
		"deregister what was not there": {func(ctx context.Context, w *Writes) (registry.Receipt, error) {
			return w.Deregister(ctx, key("b1"), nil)
		}, registry.Nothing, registry.ErrNotFound},
		"release": {func(ctx context.Context, w *Writes) (registry.Receipt, error) { return w.ReleaseGuard(ctx, "") }, registry.Nothing, registry.ErrUncertain},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				if _, err := p.writes.Register(t.Context(), sample("a1")); err != nil {
					t.Fatal(err)
				}
				p.wire.after = func(_ context.Context, n int) error {
					if n == 2 {
						return errors.New("broken pipe")
					}
					return nil
				}
				r, err := c.do(t.Context(), p.writes)
				if r.Did != c.did || !errors.Is(err, c.fail) {
					t.Errorf("got %+v, %v; want %v, %v", r, err, c.did, c.fail)
				}
				if n := len(p.wire.seen()); (n == 2) != (c.fail == registry.ErrUncertain) {
					t.Errorf("%d requests", n)
				}
				if r.Did == registry.Removed && (r.Instance == nil || r.Instance.Key != key("a1") || r.Revision != p.writer.Revision() || r.Count != 1) {
					t.Errorf("the receipt of the removal is %+v, the registry is at %d", r, p.writer.Revision())
				}
			})
		})
	}
}

// A removal without an answer, of what was registered a moment before: here it is not known
// yet, so the next attempt finds nothing. Package history allows that of dnsd.
func TestALostAnswerAboutWhatIsNotHereYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.detach()
		if _, err := p.writer.Register(t.Context(), sample("a1")); err != nil {
			t.Fatal(err)
		}
		p.wire.after = func(_ context.Context, n int) error {
			if n == 1 {
				return errors.New("broken pipe")
			}
			return nil
		}
		_, err := p.writes.Deregister(t.Context(), key("a1"), nil)
		_, there := p.writer.Instance(key("a1"))
		if n := len(p.wire.seen()); !errors.Is(err, registry.ErrNotFound) || there || n != 2 {
			t.Errorf("after %d requests: %v; registered: %v; want ErrNotFound, and that it was removed", n, err, there)
		}
	})
}

// If no writer says what became of an operation, the caller is told that, in time.
func TestUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := newPair(t), time.Now()
		p.wire.before = func(ctx context.Context, n int) error { return errors.New("broken pipe") }
		_, err := p.writes.Register(t.Context(), sample("a1"))
		if took := time.Since(began); !errors.Is(err, registry.ErrUncertain) || errors.Is(err, registry.ErrNotWriter) || !strings.Contains(err.Error(), "broken pipe") || took > answerTime+lastPause {
			t.Errorf("after %v: %v; want ErrUncertain with the cause", took, err)
		}
		p.wire.before = func(ctx context.Context, n int) error { <-ctx.Done(); return ctx.Err() } // a process that is stopped
		began = time.Now()
		if _, err := p.writes.Register(t.Context(), sample("a1")); !errors.Is(err, registry.ErrUncertain) || time.Since(began) != answerTime {
			t.Errorf("after %v: %v; want ErrUncertain after %v", time.Since(began), err, answerTime)
		}
	})
}

// A request to a writer that is stopped ends when another member becomes the writer.
func TestNextWriterTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, next, began := newPair(t), identity(t).Fingerprint(), time.Now()
		p.serve("b", next, p.writer)
		p.wire.before = func(ctx context.Context, n int) error {
			if n == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		time.AfterFunc(3*time.Second, func() { p.members.set(p.target, nil) }) // nothing new
		time.AfterFunc(3500*time.Millisecond, func() { p.members.set(Target{Name: "b", Fingerprint: next}, nil) })
		if r, err := p.writes.Register(t.Context(), sample("a1")); err != nil || r.Did != registry.Created || time.Since(began) != 3500*time.Millisecond {
			t.Errorf("after %v: %+v, %v", time.Since(began), r, err)
		}
	})
}

// When this member becomes the writer, what waits is done here; when it ceases to be, what
// comes is passed on.
func TestRoleChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.members.set(Target{}, errors.New("election"))
		var running sync.WaitGroup
		for i := range 10 {
			running.Go(func() {
				if r, err := p.writes.Register(t.Context(), sample(fmt.Sprint("a", i))); err != nil || r.Did != registry.Created {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
		synctest.Wait()
		p.detach()
		lead := &term{valid: true}
		p.own.Lead(lead)
		p.members.set(Target{}, errors.New("it is this one"))
		running.Wait()
		if n := p.own.Stats().Instances; n != 10 || len(p.wire.seen()) != 0 {
			t.Errorf("%d instances here, %d requests", n, len(p.wire.seen()))
		}

		began := time.Now()
		lead.set(false)
		time.AfterFunc(time.Second, func() {
			p.own.Yield()
			p.members.set(p.target, nil)
		})
		p.wire.before = func(context.Context, int) error { return nil }
		if r, err := p.writes.Register(t.Context(), sample("b1")); err != nil || r.Did != registry.Created || time.Since(began) < time.Second {
			t.Errorf("after %v: %+v, %v", time.Since(began), r, err)
		}
		if _, ok := p.writer.Instance(key("b1")); !ok {
			t.Errorf("it was not passed on")
		}
	})
}

// term is that of a test.
type term struct {
	mu    sync.Mutex
	valid bool
}

func (l *term) set(valid bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.valid = valid
}

func (l *term) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.valid
}

func (l *term) Commit(*registry.Batch) error {
	if !l.Valid() {
		return registry.ErrNotWriter
	}
	return nil
}

func TestLongListsAreSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		if _, err := p.writes.Register(t.Context(), sample("a1")); err != nil {
			t.Fatal(err)
		}
		list := make([]registry.Renewal, 20_000)
		for i := range list {
			list[i].Key = key("a1")
			if i%2 == 1 {
				list[i].Key = key(fmt.Sprint("b", i))
			}
		}
		got, err := p.writes.RenewAll(t.Context(), list)
		if err != nil || got.Count != 10_000 || len(got.Unknown) != 10_000 || got.Did != registry.Renewed || got.Unknown[0] != key("b1") || got.Unknown[9_999] != key("b19999") {
			t.Errorf("RenewAll = %d of %v, %d unknown, %v", got.Count, got.Did, len(got.Unknown), err)
		}
		for _, part := range parts(list) {
			if n := len(marshal((&operation{kind: renewAll, renewals: part}).json())); n > renewalsPart+100 {
				t.Errorf("a part has %d octets", n)
			}
		}
		if none, err := p.writes.RenewAll(t.Context(), nil); err != nil || none.Revision != p.own.Revision() || none.Did != registry.Nothing {
			t.Errorf("RenewAll of nothing = %+v, %v", none, err)
		}
	})
}
