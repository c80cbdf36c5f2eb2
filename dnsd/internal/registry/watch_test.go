package registry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
)

// A reader that always resumes at its last position sees each change of its service once
// and in order.
func TestWatchResumesWithoutLossOrDuplicate(t *testing.T) {
	services := []string{"", "_math._tcp", "_text._tcp"}
	rapid.Check(t, func(rt *rapid.T) {
		rapid.SyncTest(rt, func(rt *rapid.T) {
			ctx := context.Background()
			r, err := registry.OpenTuned(registry.Config{}, func(_ *registry.Config, n *registry.Tuning) { n.WatchQueue = 20 })
			if err != nil {
				rt.Fatal(err)
			}
			m := &registrytest.Mirror{TB: rt}
			r.Attach(m)
			type reader struct {
				w    *registry.Watch
				last uint64
				seen []uint64
			}
			readers := make([]*reader, len(services))
			for i := range readers {
				readers[i] = &reader{}
			}
			// read reads the events that are there, and does not wait for more.
			read := func(rt *rapid.T, i, calls int) {
				p := readers[i]
				if p.w == nil {
					w, err := r.Watch(services[i], at(r, p.last))
					if err != nil {
						rt.Fatal(err)
					}
					p.w = w
				}
				for range calls {
					short, cancel := context.WithTimeout(ctx, time.Millisecond)
					events, err := p.w.Next(short)
					cancel()
					if errors.Is(err, registry.ErrSlow) {
						p.w.Close()
						p.w = nil
						return
					}
					if errors.Is(err, context.DeadlineExceeded) {
						return
					}
					if err != nil || len(events) == 0 {
						rt.Fatalf("Next = %d events, %v", len(events), err)
					}
					for _, e := range events {
						p.seen = append(p.seen, e.Revision)
						p.last = e.Revision
					}
				}
			}
			change := func(rt *rapid.T) {
				for n := range rapid.IntRange(1, 30).Draw(rt, "changes") {
					in := math(fmt.Sprintf("a%d", n%5))
					in.Service = rapid.SampledFrom(services[1:]).Draw(rt, "service")
					in.Weight = rapid.Uint16().Draw(rt, "weight")
					if _, err := r.Register(ctx, in); err != nil {
						rt.Fatal(err)
					}
				}
			}
			rt.Repeat(map[string]func(*rapid.T){
				"change": change,
				"read": func(rt *rapid.T) {
					read(rt, rapid.IntRange(0, len(readers)-1).Draw(rt, "reader"), rapid.IntRange(1, 3).Draw(rt, "calls"))
				},
				"leave": func(rt *rapid.T) {
					p := readers[rapid.IntRange(0, len(readers)-1).Draw(rt, "reader")]
					if p.w != nil {
						p.w.Close()
						p.w = nil
					}
				},
			})
			for i, p := range readers {
				read(rt, i, 1000)
				if p.w == nil {
					read(rt, i, 1000)
				}
				var want []uint64
				for _, c := range m.History() {
					if services[i] == "" || services[i] == c.Key().Service {
						want = append(want, c.Revision)
					}
				}
				if fmt.Sprint(p.seen) != fmt.Sprint(want) {
					rt.Fatalf("%q has seen\n%v\nand these changes were made:\n%v", services[i], p.seen, want)
				}
				p.w.Close()
			}
			if s := r.Stats(); s.Watchers != 0 {
				rt.Errorf("%d watchers left", s.Watchers)
			}
			r.Close()
		})
	})
}

// The same, with readers and writers in parallel.
func TestWatchSeesEachChangeOnceUnderLoad(t *testing.T) {
	r, m := start(t, registry.Config{})
	const writers, changes, readers = 4, 200, 4
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			in := math(fmt.Sprintf("a%d", w))
			for i := range changes {
				in.Weight = uint16(i)
				if _, err := r.Register(context.Background(), in); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range readers {
		wg.Go(func() {
			for last := uint64(0); last < writers*changes; {
				w, err := r.Watch("_math._tcp", at(r, last))
				if err != nil {
					t.Error(err)
					return
				}
				for range 3 {
					events, err := w.Next(context.Background())
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range events {
						if e.Revision != last+1 {
							t.Errorf("revision %d after %d", e.Revision, last)
						}
						last = e.Revision
					}
					if last == writers*changes {
						break
					}
				}
				w.Close()
			}
		})
	}
	wg.Wait()
	if m.Revision() != writers*changes {
		t.Errorf("%d changes, want %d", m.Revision(), writers*changes)
	}
}

func TestWatchEncodesOnceForAll(t *testing.T) {
	r, _ := start(t, registry.Config{})
	var encoded atomic.Int32
	enc := func(c *registry.Event) []byte {
		encoded.Add(1)
		return fmt.Append(nil, c.Revision)
	}
	var wg sync.WaitGroup
	for range 50 {
		w, err := r.Watch("", nil)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer w.Close()
			events, err := w.Next(context.Background())
			if err != nil || string(events[0].Encoded(enc)) != "1" {
				t.Errorf("Next = %v, %v", events, err)
			}
		})
	}
	register(t, r, math("a1"))
	wg.Wait()
	if encoded.Load() != 1 {
		t.Errorf("encoded %d times", encoded.Load())
	}
}

func TestWatchCutsASlowReader(t *testing.T) {
	r, _ := startTuned(t, registry.Config{}, func(n *registry.Tuning) { n.WatchQueue = 3 })
	slow, _ := r.Watch("", nil)
	other, _ := r.Watch("_text._tcp", nil)
	for i := range 4 {
		register(t, r, math(fmt.Sprintf("a%d", i)))
	}
	if _, err := slow.Next(t.Context()); !errors.Is(err, registry.ErrSlow) {
		t.Errorf("Next = %v, want ErrSlow", err)
	}
	if s := r.Stats(); s.Watchers != 1 || s.Cut != 1 {
		t.Errorf("stats %+v, want one watcher left and one cut", s)
	}
	in := math("a1")
	in.Service = "_text._tcp"
	register(t, r, in)
	if events, err := other.Next(t.Context()); err != nil || len(events) != 1 {
		t.Errorf("the other got %v, %v", events, err)
	}
	other.Close()
	if _, err := other.Next(t.Context()); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Next after Close = %v", err)
	}
}

func TestWatchTellsWhenTheHistoryIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, registry.Config{History: registry.History{Changes: 100, Age: time.Hour}})
		in := math("a1")
		for i := range 300 {
			in.Weight = uint16(i)
			register(t, r, in)
		}
		if h := r.Stats().History; h < 100 || h > 107 {
			t.Errorf("%d changes kept, want about 100", h)
		}
		if _, err := r.Watch("", at(r, 100)); !errors.Is(err, registry.ErrCompacted) {
			t.Errorf("Watch since 100 = %v, want ErrCompacted", err)
		}
		if _, err := r.Watch("", at(r, 301)); !errors.Is(err, registry.ErrCompacted) {
			t.Errorf("Watch since the future = %v, want ErrCompacted", err)
		}
		behind, err := r.Watch("", at(r, 250))
		if err != nil {
			t.Fatal(err)
		}
		defer behind.Close()
		for range 8 {
			time.Sleep(10 * time.Minute)
			in.Weight++
			register(t, r, in)
		}
		// Each time there are a registration, a suspect and an expiry. The history is trimmed a
		// sixteenth late.
		if h := r.Stats().History; h < 18 || h > 21 {
			t.Errorf("%d changes kept, the oldest older than an hour", h)
		}
		if _, err := behind.Next(t.Context()); !errors.Is(err, registry.ErrCompacted) {
			t.Errorf("Next = %v, want ErrCompacted", err)
		}
	})
}

func TestCloseCutsWatchers(t *testing.T) {
	r, err := registry.Open(registry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := r.Watch("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Next = %v, want ErrClosed", err)
	}
	if _, err := r.Watch("", nil); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Watch = %v, want ErrClosed", err)
	}
	if _, err := r.Register(t.Context(), math("a1")); !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Register = %v, want ErrClosed", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("the second Close = %v", err)
	}
}

// at returns a position of the current life of r.
func at(r *registry.Registry, revision uint64) *registry.Position {
	p := r.At(revision)
	return &p
}

// A reader that resumes at an old position reads the history in parts.
func TestWatchReadsALongHistory(t *testing.T) {
	r, _ := start(t, registry.Config{History: registry.History{Changes: 10_000}})
	in := math("a1")
	const changes = 5000
	for i := range changes {
		in.Weight = uint16(i)
		register(t, r, in)
	}
	other := math("b1")
	other.Service = "_text._tcp"
	register(t, r, other)
	// The history has one change of this service, the last one.
	w, err := r.Watch("_text._tcp", at(r, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if events, err := w.Next(t.Context()); err != nil || len(events) != 1 || events[0].Key() != other.Key {
		t.Errorf("Next = %v, %v", events, err)
	}
	if n := r.Stats().Watchers; n != 1 {
		t.Errorf("%d watchers, want 1", n)
	}
	w.Close()
	if n := r.Stats().Watchers; n != 0 {
		t.Errorf("%d watchers after the end, want 0", n)
	}
}
