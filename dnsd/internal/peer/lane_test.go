package peer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Operations that arrive while requests are under way go together into the next.
func TestOperationsAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		hold := make(chan struct{})
		p.wire.before = func(ctx context.Context, n int) error {
			if n <= p.writes.changes.most {
				<-hold
			}
			return nil
		}
		var running sync.WaitGroup
		for i := range 64 {
			running.Go(func() {
				if _, err := p.writes.Register(t.Context(), sample(fmt.Sprint("a", i))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if got := len(p.wire.seen()); got != p.writes.changes.most {
			t.Errorf("%d requests under way, want %d", got, p.writes.changes.most)
		}
		close(hold)
		running.Wait()
		sizes := p.wire.seen()
		if len(sizes) != p.writes.changes.most+1 || sizes[len(sizes)-1] != 64-p.writes.changes.most {
			t.Errorf("the requests have %v operations", sizes)
		}
	})
}

// Callers that were answered together and come again one after the other share the next
// request. Those that come later than half of the time that a request takes are not waited
// for. There are two groups at most, because two requests are under way.
func TestCallersThatComeAgainShareARequest(t *testing.T) {
	const (
		callers = 40
		each    = 50
		took    = 8 * time.Millisecond
		spread  = 25 * time.Microsecond // from one caller to the next
	)
	for _, c := range []struct {
		name    string
		away    time.Duration // of the first caller that was answered
		late    time.Duration // more of the last one
		most    int           // requests
		longest time.Duration
	}{
		{"soon", time.Millisecond, 0, 2*each + 8, (each + 8) * (took + took/2)},
		{"one is late", time.Millisecond, took, 3*each + 8, (each + 8) * (2*took + took/2)},
		{"all are late", took, 0, 4*each + 8, (each + 8) * 3 * took},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				p.wire.before = func(ctx context.Context, n int) error {
					time.Sleep(took)
					return nil
				}
				var running sync.WaitGroup
				began := time.Now()
				for i := range callers {
					running.Go(func() {
						for n := range each {
							if _, err := p.writes.Register(t.Context(), sample(fmt.Sprint("a", i, "-", n))); err != nil {
								t.Error(err)
							}
							time.Sleep(c.away + time.Duration(i)*spread)
							if i == callers-1 {
								time.Sleep(c.late)
							}
						}
					})
				}
				running.Wait()
				if n, t1 := len(p.wire.seen()), time.Since(began); n > c.most || t1 > c.longest {
					t.Errorf("%d requests in %v, want at most %d in %v", n, t1, c.most, c.longest)
				}
			})
		})
	}
}

// Operations may leave, and others come, between the moment when all are there that a
// sender waits for, and that in which it goes on.
func TestAnOperationLeavesWhenAllAreThere(t *testing.T) {
	w := &Writes{life: t.Context()}
	l := &lane{w: w, most: 1, room: 10, space: mostOctets, full: make(chan struct{}), want: 1, senders: 1}
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		c := &call{ctx: ctx, end: time.Now().Add(time.Hour), done: make(chan outcome, 1)}
		if err := l.enter(c); err != nil {
			t.Fatal(err)
		}
		if cancel(); l.leave(c, time.Now()) == nil {
			t.Fatal("it did not leave")
		}
	}
	select {
	case <-l.full:
	default:
		t.Error("the sender was not told")
	}
}

// A lone operation is sent at once: no fake time passes.
func TestLoneOperationDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := newPair(t), time.Now()
		for range 10 {
			if _, err := p.writes.Register(t.Context(), sample("a1")); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// Neither a renewal nor a change waits for probes, and a renewal does not wait for
// changes, which wait for the store.
func TestSlowOperationsDelayNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		if _, err := p.writes.Register(t.Context(), sample("a1")); err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		p.serve("a", p.target.Fingerprint, slowRegistry{p.writer, hold, nil})
		var running sync.WaitGroup
		for i := range 100 {
			running.Go(func() { p.writes.ConnectionLost(t.Context(), key("a1"), 7) })
			running.Go(func() { p.writes.Register(t.Context(), sample(fmt.Sprint("b", i))) })
			synctest.Wait()
		}
		if _, err := p.writes.Renew(t.Context(), key("a1"), 7); err != nil {
			t.Errorf("Renew: %v", err)
		}
		close(hold)
		running.Wait()
	})
}

// slowRegistry is a registry whose store and probes hang.
type slowRegistry struct {
	Registry
	hold  chan struct{}
	begun chan struct{} // gets a value for each probe; may be nil
}

func (r slowRegistry) Register(ctx context.Context, in registry.Instance) (registry.Receipt, error) {
	<-r.hold
	return r.Registry.Register(ctx, in)
}

func (r slowRegistry) ConnectionLost(ctx context.Context, key registry.Key, incarnation uint64) (registry.Receipt, error) {
	if r.begun != nil {
		r.begun <- struct{}{}
	}
	<-r.hold
	return r.Registry.ConnectionLost(ctx, key, incarnation)
}

// A context that ends takes its own operation back, and no other.
func TestCanceledOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		hold := make(chan struct{})
		p.wire.before = func(ctx context.Context, n int) error {
			if n <= p.writes.changes.most {
				<-hold
			}
			return nil
		}
		var running sync.WaitGroup
		results := make([]error, 10)
		for i := range results {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if i%2 == 0 {
				ctx = t.Context()
			}
			running.Go(func() { _, results[i] = p.writes.Register(ctx, sample(fmt.Sprint("a", i))) })
			synctest.Wait()
		}
		time.Sleep(1500 * time.Millisecond)
		close(hold)
		running.Wait()
		for i, err := range results {
			_, ok := p.writer.Instance(key(fmt.Sprint("a", i)))
			switch sent := i < p.writes.changes.most; {
			case i%2 == 0 || sent:
				if err != nil || !ok {
					t.Errorf("operation %d: %v, registered: %v", i, err, ok)
				}
			case !errors.Is(err, context.DeadlineExceeded) || ok:
				t.Errorf("operation %d, which was taken back: %v, registered: %v", i, err, ok)
			}
		}
	})
}

// Too many operations are refused, and cost nothing.
func TestTooManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		p.members.set(Target{}, errors.New("election"))
		var running sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		p.writes.renewals.room = 1000
		for range 1000 + 10 {
			running.Go(func() {
				_, err := p.writes.Renew(t.Context(), key("a1"), 7)
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(err.Error(), "wait for the writer already") && errors.Is(err, registry.ErrNotWriter) {
					refused++
				}
			})
		}
		running.Wait()
		if refused != 10 {
			t.Errorf("%d were refused, want 10", refused)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if l := &p.writes.renewals; len(l.waiting) != 0 || l.senders != 0 {
			t.Errorf("%d wait, %d senders", len(l.waiting), l.senders)
		}
	})
}

// Long operations are bounded by what they have in memory, and not only by their number.
// Nothing of them is kept when they have ended.
func TestTooMuchWaits(t *testing.T) {
	for name, leave := range map[string]func(p *pair, cancel func()){
		"patience ends":      func(*pair, func()) {},
		"their callers go":   func(_ *pair, cancel func()) { cancel() },
		"there is a writer":  func(p *pair, _ func()) { p.members.set(p.target, nil) },
		"the writer hangs":   func(p *pair, _ func()) { p.wire.before = hang; p.members.set(p.target, nil) },
		"it goes to another": func(p *pair, _ func()) { p.wire.before = refuseFirst(); p.members.set(p.target, nil) },
		"Close":              func(p *pair, _ func()) { p.writes.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p.members.set(Target{}, errors.New("election"))
				list := make([]registry.Renewal, 2000)
				for i := range list {
					list[i] = registry.Renewal{Key: key(fmt.Sprint("a", i)), Incarnation: 1 << 60}
				}
				size := len(marshal((&operation{kind: renewAll, renewals: parts(list)[0]}).json()))
				space := mostOctets / 8 // it takes a while to fill all of it
				p.writes.renewals.space = space
				most := space/size + 10
				var running sync.WaitGroup
				var refused atomic.Int32
				for range most {
					running.Go(func() {
						_, err := p.writes.RenewAll(ctx, list[:len(parts(list)[0])])
						if err != nil && errors.Is(err, registry.ErrNotWriter) && strings.Contains(err.Error(), "wait for the writer already") {
							refused.Add(1)
						}
					})
				}
				synctest.Wait()
				if n := refused.Load(); n != 10 && n != 9 {
					t.Errorf("%d of %d were refused, each of %d octets; want about 10", n, most, size)
				}
				leave(p, cancel)
				running.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				if l := &p.writes.renewals; len(l.waiting) != 0 || l.live != 0 || l.octets != 0 {
					t.Errorf("%d wait, %d live, %d octets", len(l.waiting), l.live, l.octets)
				}
			})
		})
	}
}

func hang(ctx context.Context, _ int) error {
	<-ctx.Done()
	return ctx.Err()
}

// refuseFirst refuses the first few requests.
func refuseFirst() func(context.Context, int) error {
	return func(_ context.Context, n int) error {
		if n < 5 {
			return errRefused
		}
		return nil
	}
}

// Close ends what waits at once, and gives what was sent a moment.
func TestClose(t *testing.T) {
	for name, c := range map[string]struct {
		answer time.Duration
		want   error // of what was sent
	}{
		"answered in time": {100 * time.Millisecond, nil},
		"hung":             {time.Hour, registry.ErrUncertain},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				p.wire.before = func(ctx context.Context, n int) error {
					select {
					case <-time.After(c.answer):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				var running sync.WaitGroup
				errs, ends, began := make([]error, 10), make([]time.Duration, 10), time.Now()
				for i := range errs {
					running.Go(func() {
						_, errs[i] = p.writes.Register(t.Context(), sample(fmt.Sprint("a", i)))
						ends[i] = time.Since(began)
					})
					synctest.Wait()
				}
				p.writes.Close()
				if took := time.Since(began); took != min(c.answer, farewell) {
					t.Errorf("Close took %v", took)
				}
				running.Wait()
				for i, err := range errs {
					want, end := c.want, min(c.answer, farewell)
					if i >= p.writes.changes.most { // it waited for a request to end
						want, end = registry.ErrClosed, 0
					}
					if !errors.Is(err, want) || ends[i] > end {
						t.Errorf("operation %d after %v: %v; want %v", i, ends[i], err, want)
					}
				}
				if _, err := p.writes.Renew(t.Context(), key("a1"), 1); !errors.Is(err, registry.ErrClosed) {
					t.Errorf("after Close: %v", err)
				}
			})
		})
	}
}
