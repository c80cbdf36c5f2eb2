package history

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"time"
)

// A timeline is all changes of one life of the registry, from what all watchers saw.
type timeline struct {
	life   string
	base   uint64               // the revision at which the recording begins
	events []Event              // all after base
	unused map[uint64]bool      // revisions between those of the events, see History.Unused
	own    map[string][]version // of the clients' instances, by id
	once   bool                 // as in History
	turns  []uint64             // the revisions at which the clients' service changed; the first is that of the base
}

// A version is an instance, or that there is none, for a range of revisions.
type version struct {
	from, to uint64 // it is there at from, and no longer at to
	there    bool
	Instance
	// It was made between these two times: the second is when the first watcher saw it. 0
	// is the beginning.
	after, seen time.Duration
}

// end is the revision of the last change.
func (t *timeline) end() uint64 {
	if len(t.events) == 0 {
		return t.base
	}
	return t.events[len(t.events)-1].Revision
}

// at returns the version of an instance at a revision.
func (t *timeline) at(id string, revision uint64) version {
	for _, v := range t.own[id] {
		if v.from <= revision && revision < v.to {
			return v
		}
	}
	return version{from: t.base, to: forever}
}

// listedAt returns the instances of the clients at a revision, sorted by id.
func (t *timeline) listedAt(revision uint64) []Listed {
	var all []Listed
	for _, id := range slices.Sorted(maps.Keys(t.own)) {
		if v := t.at(id, revision); v.there {
			all = append(all, Listed{id, v.Instance})
		}
	}
	return all
}

const forever = ^uint64(0)

// whole is what all watchers saw of one life.
type whole struct {
	first  *Part // that began with the state, at the lowest revision
	events map[uint64]Event
}

// gather puts together what all watchers saw. If they saw different things at one
// revision, it says so.
func (h *History) gather(r *report) map[string]*whole {
	lives := map[string]*whole{}
	for _, s := range h.Streams {
		for i := range s.Parts {
			p := &s.Parts[i]
			w := lives[p.Life]
			if w == nil {
				w = &whole{events: map[uint64]Event{}}
				lives[p.Life] = w
			}
			if p.Whole && (w.first == nil || p.Since < w.first.Since) {
				w.first = p
			}
			for _, e := range p.Events {
				other, ok := w.events[e.Revision]
				switch {
				case !ok || e.Data == other.Data && e.Time < other.Time:
					w.events[e.Revision] = e
				case e.Data != other.Data:
					r.addf("two watchers saw different changes at revision %d of life %s:\n\t%s: %s\n\tbefore: %s", e.Revision, p.Life, s.Name, e.Data, other.Data)
				}
			}
		}
	}
	return lives
}

// timelines are the lives of the registry, the oldest first.
func (h *History) timelines(r *report) []*timeline {
	wrote := map[string]*Op{}
	for _, o := range h.Ops {
		if o.Kind == Register {
			wrote[o.Value] = o
		}
	}
	lives := h.gather(r)
	var all []*timeline
	for life, w := range lives {
		if w.first == nil {
			r.addf("no watcher began with the state of life %s", life)
			continue
		}
		t := &timeline{life: life, once: h.Once, base: w.first.Since, events: slices.Collect(maps.Values(w.events))}
		slices.SortFunc(t.events, func(a, b Event) int { return cmp.Compare(a.Revision, b.Revision) })
		t.replay(h.Service, w.first)
		t.date(wrote)
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *timeline) int { return cmp.Compare(a.base, b.base) })
	if len(all) != h.Lives {
		r.addf("the registry had %d lives, expected %d: %v", len(all), h.Lives, slices.Sorted(maps.Keys(lives)))
	}
	for n, t := range all {
		if n > 0 {
			if last := all[n-1].end(); t.base <= last {
				r.addf("life %s begins at revision %d, but life %s was at %d already", t.life, t.base, all[n-1].life, last)
			}
		}
		h.checkUnused(r, t)
	}
	return all
}

// checkUnused looks for revisions at which no watcher saw a change.
func (h *History) checkUnused(r *report, t *timeline) {
	t.unused = map[uint64]bool{}
	next := t.base + 1
	for _, e := range t.events {
		for ; next < e.Revision; next++ {
			if len(t.unused) == h.Unused {
				r.addf("no watcher saw the change at revision %d of life %s; the next one that was seen is %d", next, t.life, e.Revision)
				return
			}
			t.unused[next] = true
		}
		next = e.Revision + 1
	}
}

// replay makes the versions of the clients' instances.
func (t *timeline) replay(service string, first *Part) {
	t.own = map[string][]version{}
	t.turns = []uint64{t.base}
	for _, l := range first.Listed {
		t.own[l.ID] = []version{{from: t.base, to: forever, there: true, Instance: l.Instance}}
	}
	for _, e := range t.events {
		if e.Service != service || e.Revision <= first.ListedAt {
			continue
		}
		all := t.own[e.ID]
		if len(all) == 0 {
			all = []version{{from: t.base, to: forever}}
		}
		all[len(all)-1].to = e.Revision
		v := version{from: e.Revision, to: forever, there: !e.Deleted, seen: e.Time}
		if v.there {
			v.Instance = e.Instance
		}
		t.own[e.ID] = append(all, v)
		t.turns = append(t.turns, e.Revision)
	}
}

// date notes a time after which each version was made: all changes before it were made
// before it, and each registration was made after it was asked for.
func (t *timeline) date(wrote map[string]*Op) {
	after := map[uint64]time.Duration{} // by revision
	latest := time.Duration(0)
	done := map[string]bool{}
	for _, e := range t.events {
		if o := wrote[e.Instance.Value]; o != nil && !e.Deleted && !done[o.Value] {
			latest, done[o.Value] = max(latest, o.Call), true
		}
		after[e.Revision] = latest
	}
	for _, all := range t.own {
		for i := range all {
			all[i].after = after[all[i].from]
		}
	}
}

// turn returns the range of revisions in which the clients' service is as it is at a
// revision.
func (t *timeline) turn(revision uint64) (from, to uint64) {
	i := sort.Search(len(t.turns), func(i int) bool { return t.turns[i] > revision })
	from, to = t.base, forever
	if i > 0 {
		from = t.turns[i-1]
	}
	if i < len(t.turns) {
		to = t.turns[i]
	}
	return from, to
}

// byCall and byReturn are the operations in that order.
func byCall(ops []*Op) []*Op {
	return slices.SortedStableFunc(slices.Values(ops), func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
}

func byReturn(ops []*Op) []*Op {
	return slices.SortedStableFunc(slices.Values(ops), func(a, b *Op) int { return cmp.Compare(a.Return, b.Return) })
}

// Tests: check_test.go, timeline_test.go.
