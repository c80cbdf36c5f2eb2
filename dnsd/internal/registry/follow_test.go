package registry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/registrytest"
)

// TestFollowerIsEqual: at every revision, a follower publishes what the writer publishes,
// also one that joins later, and any of them may be the next writer.
func TestFollowerIsEqual(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			var s sharedStore
			first, m := leading(t, &s)
			all := []*registry.Registry{first}
			mirrors := []*registrytest.Mirror{m}
			writer, seen := 0, []int{0}
			known := tags{}
			join := func() {
				r, m := start(t, registry.Config{Follow: true})
				c := all[writer].Content()
				if err := r.Reset(written(c)); err != nil {
					rt.Fatal(err)
				}
				all, mirrors, seen = append(all, r), append(mirrors, m), append(seen, len(s.had()))
			}
			follow := func() {
				for i, r := range all {
					for i != writer && seen[i] < len(s.had()) {
						b := s.had()[seen[i]]
						if err := r.Follow(&registry.Batch{Revision: b.Revision, Changes: copies(b.Changes), Fences: b.Fences}); err != nil {
							rt.Fatalf("follower %d: %v", i, err)
						}
						seen[i]++
						equal(rt, r, all[writer], mirrors[i], mirrors[writer])
					}
				}
			}
			step := rapid.SampledFrom([]string{"register", "register", "register", "deregister", "drain", "undrain", "sleep", "skip", "join", "move"})
			for range rapid.IntRange(1, 30).Draw(rt, "steps") {
				id := fmt.Sprintf("a%d", rapid.IntRange(0, 5).Draw(rt, "id"))
				w, ctx := all[writer], context.Background()
				var err error
				switch step.Draw(rt, "step") {
				case "register":
					in := math(id)
					in.Weight = uint16(rapid.IntRange(0, 2).Draw(rt, "weight"))
					in.Incarnation = uint64(rapid.IntRange(0, 2).Draw(rt, "incarnation"))
					_, err = w.Register(ctx, in)
				case "deregister":
					_, err = w.Deregister(ctx, math(id).Key, nil)
				case "drain":
					_, err = w.Drain(ctx, math(id).Key, rapid.Bool().Draw(rt, "sticky"))
				case "undrain":
					_, err = w.Undrain(ctx, math(id).Key)
				case "sleep":
					time.Sleep(time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second)
					synctest.Wait()
				case "skip":
					_, err = w.Skip(ctx)
					mirrors[writer].AllowGaps()
				case "join":
					if len(all) < 4 {
						join()
					}
				case "move":
					follow()
					w.Yield()
					seen[writer] = len(s.had())
					writer = rapid.IntRange(0, len(all)-1).Draw(rt, "writer")
					all[writer].Lead(&s)
				}
				var fenced *registry.FencedError
				if err != nil && !errors.Is(err, registry.ErrNotFound) && !errors.As(err, &fenced) {
					rt.Fatal(err)
				}
				for i := range mirrors {
					mirrors[i].AllowGaps()
				}
				if rapid.Bool().Draw(rt, "follow") {
					follow()
				}
				known.check(rt, all)
			}
			follow()
			for i, r := range all {
				equal(rt, r, all[writer], mirrors[i], mirrors[writer])
			}
		})
	})
}

// tags is what a service was at a life and its revision. Clients remember these two, and
// are not sent again what they have.
type tags map[string]string

// check compares the services of all registries with what was there before, anywhere.
func (known tags) check(rt *rapid.T, all []*registry.Registry) {
	for i, r := range all {
		_, views := r.Services()
		for v := range views {
			tag, text := fmt.Sprint(v.Service, " at ", r.At(v.Revision)), ""
			for _, in := range v.Instances {
				record := registry.NewRecord(in.Instance)
				if record.State == registry.Unconfirmed { // it becomes so, and Up again, without a revision
					record.State = registry.Up
				}
				text += fmt.Sprintln(record)
			}
			if was, ok := known[tag]; ok && was != text {
				rt.Fatalf("registry %d: %s is\n%s\nand was\n%s", i, tag, text, was)
			}
			known[tag] = text
		}
	}
}

// written is content as it comes out of a store.
func written(c registry.Content) registry.Content {
	out := c
	out.Instances = func(yield func(*registry.Instance, error) bool) {
		for in := range c.Instances {
			if !yield(registry.NewRecord(in).Instance()) {
				return
			}
		}
	}
	return out
}

// equal compares a follower with the writer, if they are at the same revision.
func equal(rt *rapid.T, r, w *registry.Registry, m, of *registrytest.Mirror) {
	if r.Revision() != w.Revision() {
		return
	}
	if r.Life() != w.Life() {
		rt.Fatalf("life %v, the writer's is %v", r.Life(), w.Life())
	}
	for name, sets := range map[string][2]map[registry.Key]*registry.Instance{
		"sinks": {m.Instances(), of.Instances()}, "contents": {contents(r), contents(w)},
	} {
		if len(sets[0]) != len(sets[1]) {
			rt.Fatalf("%s at revision %d: %d instances, the writer has %d", name, r.Revision(), len(sets[0]), len(sets[1]))
		}
		for k, in := range sets[0] {
			was := sets[1][k]
			if was == nil || fmt.Sprint(registry.NewRecord(in)) != fmt.Sprint(registry.NewRecord(was)) {
				rt.Fatalf("%s at revision %d: %+v, the writer has %+v", name, r.Revision(), in, was)
			}
		}
	}
}

func contents(r *registry.Registry) map[registry.Key]*registry.Instance {
	all := map[registry.Key]*registry.Instance{}
	for in := range r.Content().Instances {
		all[in.Key] = in
	}
	return all
}

func TestFollowRefusesWhatDoesNotContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		w, _ := leading(t, &s)
		r, m := start(t, registry.Config{Follow: true})
		if r.Loaded() {
			t.Error("it has content")
		}
		register(t, w, math("a1"))
		if err := r.Follow(s.had()[0]); !errors.Is(err, registry.ErrGap) {
			t.Errorf("without content: %v", err)
		}
		if err := r.Reset(written(w.Content())); err != nil {
			t.Fatal(err)
		}
		at := r.Revision()
		in := func(id string, revision uint64) *registry.Instance {
			c := math(id)
			c.TTL, c.Lease, c.Revision = time.Second, lease, revision
			return &c
		}
		gone := math("a9")
		for name, b := range map[string]registry.Batch{
			"the same again":          {Revision: at, Changes: []registry.Change{{Revision: at, New: in("a1", at)}}},
			"a later one":             {Revision: at + 2, Changes: []registry.Change{{Revision: at + 2, New: in("a2", at+2)}}},
			"a hole inside":           {Revision: at + 2, Changes: []registry.Change{{Revision: at + 1, New: in("a2", at+1)}, {Revision: at + 3, New: in("a3", at+3)}}},
			"an instance of another":  {Revision: at + 1, Changes: []registry.Change{{Revision: at + 1, New: in("a2", at)}}},
			"a removal of none":       {Revision: at + 1, Changes: []registry.Change{{Revision: at + 1, Old: &gone}}},
			"more revisions than due": {Revision: at + 2, Changes: []registry.Change{{Revision: at + 1, New: in("a2", at+1)}}},
			"backwards":               {Revision: at - 1},
		} {
			if err := r.Follow(&b); !errors.Is(err, registry.ErrGap) {
				t.Errorf("%s: %v, want ErrGap", name, err)
			}
		}
		if len(m.Instances()) != 1 || r.Revision() != at {
			t.Errorf("it changed: %v at %d", m.Instances(), r.Revision()-at)
		}
	})
}

// TestResetEndsWatches: a reader must not take what follows for a difference.
func TestResetEndsWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		w, _ := leading(t, &s)
		r, m := start(t, registry.Config{Follow: true})
		content := func() registry.Content { return written(w.Content()) }
		if err := r.Reset(content()); err != nil {
			t.Fatal(err)
		}
		live, err := r.Watch("", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := r.At(r.Revision())
		if err := r.Reset(content()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := live.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after a Reset that changes nothing: %v", err)
		}
		register(t, w, math("a1"))
		if err := r.Reset(content()); err != nil {
			t.Fatal(err)
		}
		if _, err := live.Next(t.Context()); !errors.Is(err, registry.ErrCompacted) {
			t.Errorf("after a Reset: %v", err)
		}
		if _, err := r.Watch("", &began); !errors.Is(err, registry.ErrCompacted) {
			t.Errorf("a watch from before: %v", err)
		}
		if got := published(m); got != "_math._tcp/a1 up 10:100" || r.Stats().Watchers != 0 {
			t.Errorf("the sink has %q, %d watches", got, r.Stats().Watchers)
		}
		if err := w.Reset(content()); err == nil {
			t.Error("a writer took another content")
		}
		bad := content()
		bad.Revision++
		bad.Instances = func(yield func(*registry.Instance, error) bool) { yield(nil, errors.New("damaged")) }
		if err := r.Reset(bad); err == nil || published(m) != "_math._tcp/a1 up 10:100" {
			t.Errorf("a damaged content: %v", err)
		}
	})
}

// TestAwaitIsAboutSinks: after it, the revision is in DNS.
func TestAwaitIsAboutSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		w, _ := leading(t, &s)
		r, m := start(t, registry.Config{Follow: true})
		if err := r.Reset(written(w.Content())); err != nil {
			t.Fatal(err)
		}
		done := make(chan int, 1)
		go func() {
			if err := r.Await(context.Background(), r.Revision()+1); err != nil {
				t.Error(err)
			}
			done <- len(m.Instances())
		}()
		synctest.Wait()
		register(t, w, math("a1"))
		if err := r.Follow(s.had()[0]); err != nil {
			t.Fatal(err)
		}
		if n := <-done; n != 1 {
			t.Errorf("the sink had %d instances", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Await(ctx, r.Revision()+1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a revision that does not come: %v", err)
		}
	})
}

// TestSkipEndsTheHistory: no reader gets a difference over it.
func TestSkipEndsTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharedStore
		w, _ := leading(t, &s)
		r, _ := start(t, registry.Config{Follow: true})
		if err := r.Reset(written(w.Content())); err != nil {
			t.Fatal(err)
		}
		register(t, w, math("a1"))
		before := w.At(w.Revision() - 1)
		done, err := w.Skip(t.Context())
		if err != nil || done.Revision != w.Revision() {
			t.Fatalf("%+v, %v", done, err)
		}
		for _, b := range s.had() {
			if err := r.Follow(b); err != nil {
				t.Fatal(err)
			}
		}
		for name, g := range map[string]*registry.Registry{"writer": w, "follower": r} {
			if _, err := g.Watch("", &before); !errors.Is(err, registry.ErrCompacted) {
				t.Errorf("%s: a watch from before: %v", name, err)
			}
			if g.Revision() != done.Revision {
				t.Errorf("%s: revision %d, want %d", name, g.Revision(), done.Revision)
			}
		}
	})
}
