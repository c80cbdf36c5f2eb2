package history

import (
	"maps"
	"slices"
)

// checkAsked looks for changes that no client asked for, that were refused, or that were
// made again after they were answered.
//
// Without History.Once, a request may be done twice until it is answered: a dnsd that has passed it on, and
// does not know what became of it, passes it on again. Then the answer is that of the
// last time: if the first has removed the instance, it may be that there is none.
func (h *History) checkAsked(r *report, lives []*timeline) {
	wrote := map[string]*Op{} // by value
	by := map[string][]*Op{}  // by id
	for _, o := range h.Ops {
		if o.Kind == Register {
			wrote[o.Value] = o
		}
		if o.Kind.writes() {
			by[o.ID] = append(by[o.ID], o)
		}
	}
	for n, t := range lives {
		for _, id := range slices.Sorted(maps.Keys(t.own)) {
			a := asked{report: r, id: id, life: n, ops: by[id], wrote: wrote, once: h.Once, gone: map[string]bool{}}
			for i, v := range t.own[id] {
				if i > 0 {
					a.change(t.own[id][i-1], v)
				}
			}
			a.removals(t.own[id])
		}
		for _, e := range t.events {
			if e.Service == h.Service && !e.Deleted && e.State != "up" && e.State != "drained" {
				r.addf("%s is %s at revision %d: no lease of it has ended", e.ID, e.State, e.Revision)
			}
		}
	}
}

// asked goes through the changes of one instance.
type asked struct {
	*report
	id    string
	life  int
	ops   []*Op // that write to it
	wrote map[string]*Op
	once  bool            // as in History
	gone  map[string]bool // values that were replaced or removed
}

// change looks at a change from one version to the next.
func (a *asked) change(before, v version) {
	if before.there && (!v.there || v.Value != before.Value) {
		a.gone[before.Value] = true
	}
	switch {
	case !v.there && !before.there:
		a.addf("%s is removed at revision %d, but it was not there", a.id, v.from)
	case !v.there:
		a.explain(Deregister, v)
	case !before.there || before.Value != v.Value:
		a.written(before, v)
	case v.Rest != before.Rest:
		a.addf("%s changes at revision %d from %q to %q, for which no client asked", a.id, v.from, before.Rest, v.Rest)
	case v.Drained == before.Drained:
		a.addf("%s changes at revision %d, but %v is as before", a.id, v.from, v.Instance)
	case v.Drained:
		a.explain(Drain, v)
	default:
		a.explain(Undrain, v)
	}
}

// written looks at a version with another value than the one before.
func (a *asked) written(before, v version) {
	o := a.wrote[v.Value]
	switch {
	case o == nil || o.ID != a.id:
		a.addf("%s becomes %v, for which no client asked", a.id, v.Instance)
		return
	case o.Outcome == Refused:
		a.addf("%s becomes %v, which was refused: %v", a.id, v.Instance, o)
	case o.Life > a.life:
		a.addf("%s becomes %v in life %d, but was asked for later: %v", a.id, v.Instance, a.life, o)
	case v.seen < o.Call:
		a.addf("%s becomes %v at %v, before it was asked for: %v", a.id, v.Instance, v.seen, o)
	case a.gone[v.Value] && a.once:
		a.addf("%s becomes %v again: %v", a.id, v.Instance, o)
	case a.gone[v.Value] && o.Outcome == Done && v.from > o.Seen.Revision:
		a.addf("%s becomes %v again, after the answer: %v", a.id, v.Instance, o)
	}
	if v.Drained != (before.there && before.Drained) {
		a.addf("%s becomes %v, but a registration does not change whether it is drained", a.id, v.Instance)
	}
}

// explain looks for a request that may have made the change.
func (a *asked) explain(k Kind, v version) {
	for _, o := range a.ops {
		switch {
		case o.Kind != k || o.Outcome == Refused || o.Call > v.seen:
		case o.Outcome == Unknown && o.Life <= a.life:
			return
		case o.Life != a.life:
		case k != Deregister && o.Found && v.from <= o.Seen.Revision:
			return
		case (k == Deregister || !o.Found) && v.during(o):
			// What was not there any more at the end may have been there before.
			return
		}
	}
	a.addf("%s: no client asked for the %v at revision %d", a.id, k, v.from)
}

// removals looks for removals that were acknowledged, but did not happen. Two requests at
// the same time may both be told of one.
func (a *asked) removals(all []version) {
	for _, o := range a.ops {
		if o.Kind != Deregister || o.Outcome != Done || !o.Found || o.Life != a.life {
			continue
		}
		if !slices.ContainsFunc(all, func(v version) bool { return !v.there && v.seen >= o.Call }) {
			a.addf("%s was not removed: %v", a.id, o)
		}
	}
}

// Tests: check_test.go.
