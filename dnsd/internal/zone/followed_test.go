package zone

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestNoDifferenceReachesOverALoadWithoutHistory: a follower of another registry is
// loaded whenever it cannot continue, at a higher revision and perhaps with other
// content; and a registry may use up a revision, of which the zone does not hear, because
// another member publishes other name servers from there on. From every serial that a
// secondary can hold, a difference leads to the present exactly, or there is none.
func TestNoDifferenceReachesOverALoadWithoutHistory(t *testing.T) {
	for _, cfg := range []Config{testConfig(), reverseConfig("10.in-addr.arpa.")} {
		t.Run(cfg.Origin, rapid.MakeCheck(func(t *rapid.T) {
			f := &followed{cfg: cfg, live: make(map[registry.Key]*registry.Instance), past: make(map[uint64][]string)}
			f.revision = rapid.SampledFrom([]uint64{0, 41, 1<<32 - 12}).Draw(t, "revision")
			f.begin, f.floor = f.revision, f.revision
			f.replace(t, nil)
			for range rapid.IntRange(1, 12).Draw(t, "actions") {
				f.act(t, rapid.SampledFrom([]string{"apply", "apply", "apply", "skip", "load", "attach"}).Draw(t, "action"))
				f.check(t)
			}
		}))
	}
}

// followed is a zone that follows a registry, and what secondaries can know of it.
type followed struct {
	cfg      Config
	zone     *Zone
	revision uint64 // of the registry
	floor    uint64 // where the history begins that the zone has been given, or has seen
	begin    uint64 // where the registry's history begins
	skipped  bool   // a revision was used up after that of the zone
	history  []registry.Change
	live     map[registry.Key]*registry.Instance
	past     map[uint64][]string // the zone by revision
}

// replace lets another zone take the place of this one, as a reload of dnsd does.
func (f *followed) replace(t *rapid.T, history []registry.Change) {
	z, err := New(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.zone = z
	z.Load(f.revision, maps.Values(f.live), history)
	f.note(t)
}

// note remembers the content of the registry at this revision.
func (f *followed) note(t *rapid.T) {
	z, err := New(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	z.Load(f.revision, maps.Values(f.live), nil)
	_, records := z.Transfer()
	f.past[f.revision] = text(collect(records))
}

func (f *followed) act(t *rapid.T, action string) {
	switch action {
	case "apply":
		var batch []registry.Change
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			f.revision++
			batch = append(batch, drawChange(t, f.live, f.revision))
			f.note(t)
		}
		f.history = append(f.history, batch...)
		f.zone.Apply(batch)
		if f.skipped {
			f.floor, f.skipped = f.begin, false
		}
	case "skip": // another member publishes other name servers from here on
		f.revision++
		f.history, f.begin = nil, f.revision
		f.skipped = true
		f.note(t)
	case "load": // the registry was reset; the content may be another
		if jump := rapid.SampledFrom([]uint64{0, 1, 5, 1 << 20}).Draw(t, "jump"); jump > 0 {
			f.revision += jump
			for range rapid.IntRange(0, 3).Draw(t, "other") {
				drawChange(t, f.live, f.revision)
			}
		}
		f.history, f.begin, f.floor, f.skipped = nil, f.revision, f.revision, false
		f.zone.Load(f.revision, maps.Values(f.live), nil)
		f.note(t)
	case "attach":
		f.replace(t, f.history)
		f.floor, f.skipped = f.begin, false
	}
}

// check asks for the difference from every serial that a secondary can hold, and from
// some that none can.
func (f *followed) check(t *rapid.T) {
	now := f.zone.current.Load().revision
	for since, was := range f.past {
		d, ok := f.zone.Journal(uint32(since))
		switch {
		case ok && since >= f.floor && since <= now:
			checkDelta(t, f.zone, d, since, was, f.past[now])
		case ok:
			t.Fatalf("a difference from %d, but the history begins at %d", since, f.floor)
		}
	}
	for _, never := range []uint64{f.floor - 1, f.floor + 1<<19, now + 1} {
		if _, ok := f.zone.Journal(uint32(never)); ok && f.past[never] == nil {
			t.Fatalf("a difference from %d, which was never published", never)
		}
	}
}

// drawChange changes one of the live instances.
func drawChange(t *rapid.T, live map[registry.Key]*registry.Instance, revision uint64) registry.Change {
	in := drawInstance(t)
	in.Revision = revision
	c := registry.Change{Revision: revision, Old: live[in.Key], New: in}
	if c.Old != nil && rapid.Bool().Draw(t, "remove") {
		c.New = nil
		delete(live, in.Key)
	} else {
		live[in.Key] = in
	}
	return c
}
