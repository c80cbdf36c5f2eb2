package history

import (
	"cmp"
	"maps"
	"slices"
)

// checkAsked looks for changes that no client asked for, that were refused, or that were
// made twice.
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
			a := asked{report: r, id: id, life: n, ops: by[id], wrote: wrote, gone: map[string]bool{}}
			for i, v := range t.own[id] {
				if i > 0 {
					a.change(t.own[id][i-1], v)
				}
			}
			a.counts()
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
	gone  map[string]bool // values that were replaced or removed

	drained, undrained, deleted int
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
		a.deleted++
	case before.there && before.Value == v.Value:
		switch {
		case before.Drained == v.Drained:
			a.addf("%s changes at revision %d, but %v is as before", a.id, v.from, v.Instance)
		case v.Drained:
			a.drained++
		default:
			a.undrained++
		}
		if v.Rest != before.Rest {
			a.addf("%s changes at revision %d from %q to %q, for which no client asked", a.id, v.from, before.Rest, v.Rest)
		}
	default:
		a.written(before, v)
	}
}

// written looks at a version with another value than the one before.
func (a *asked) written(before, v version) {
	o := a.wrote[v.Value]
	switch {
	case o == nil || o.ID != a.id:
		a.addf("%s becomes %v, for which no client asked", a.id, v.Instance)
		return
	case a.gone[v.Value]:
		a.addf("%s becomes %v again, after it was replaced or removed: the request was done twice: %v", a.id, v.Instance, o)
	case o.Outcome == Refused:
		a.addf("%s becomes %v, which was refused: %v", a.id, v.Instance, o)
	case o.Life > a.life:
		a.addf("%s becomes %v in life %d, but was asked for later: %v", a.id, v.Instance, a.life, o)
	case v.seen < o.Call:
		a.addf("%s becomes %v at %v, before it was asked for: %v", a.id, v.Instance, v.seen, o)
	}
	if v.Drained != (before.there && before.Drained) {
		a.addf("%s becomes %v, but a registration does not change whether it is drained", a.id, v.Instance)
	}
}

// counts compares how often something happened with how often it was asked for.
func (a *asked) counts() {
	for _, c := range []struct {
		kind Kind
		is   int
	}{{Drain, a.drained}, {Undrain, a.undrained}, {Deregister, a.deleted}} {
		certain, possible := 0, 0
		for _, o := range a.ops {
			switch {
			case o.Kind != c.kind:
			case o.Life == a.life && o.Outcome == Done && o.Found:
				certain++
				possible++
			case o.Life <= a.life && o.Outcome == Unknown:
				possible++
			}
		}
		if c.is > possible {
			a.addf("%s: %v happened %d times, but was asked for at most %d times", a.id, c.kind, c.is, possible)
		}
		if c.kind == Deregister && c.is < certain {
			a.addf("%s: %v was acknowledged %d times, but happened %d times", a.id, c.kind, certain, c.is)
		}
	}
}

// checkFinals compares the ends of all dnsd with each other, with the changes, and with
// what was acknowledged.
func (h *History) checkFinals(r *report, lives []*timeline) {
	if len(h.Finals) == 0 {
		return
	}
	first := h.Finals[0]
	if t := find(lives, first.Life); t != nil {
		if want := t.listedAt(first.Revision); !slices.Equal(first.Listed, want) {
			r.addf("at the end, dnsd %d has %v; the changes lead to %v", first.At, first.Listed, want)
		}
	}
	for _, f := range h.Finals[1:] {
		if f.Life != first.Life || f.Revision != first.Revision || !slices.Equal(f.Listed, first.Listed) {
			r.addf("at the end, dnsd %d is at revision %d of life %s with %v; dnsd %d is at %d of life %s with %v",
				f.At, f.Revision, f.Life, f.Listed, first.At, first.Revision, first.Life, first.Listed)
		}
		if !slices.Equal(f.Zone.Records, first.Zone.Records) {
			r.addf("at the end, the zones of dnsd %d and %d differ: %s", f.At, first.At, difference(f.Zone.Records, first.Zone.Records))
		}
	}
	removed := map[string]*Op{} // the last that may have been
	for _, o := range h.Ops {
		if b := removed[o.ID]; o.Kind == Deregister && (o.Outcome == Unknown || o.Outcome == Done && o.Found) && (b == nil || b.Outcome == Done && cmp.Compare(o.Return, b.Return) > 0) {
			removed[o.ID] = o
		}
	}
	for _, f := range h.Finals {
		at := map[string]uint64{}
		for _, l := range f.Listed {
			at[l.ID] = l.Revision
		}
		for _, o := range h.acknowledged() {
			d := removed[o.ID]
			if o.Life == h.Lives-1 && at[o.ID] < o.Seen.Revision && (at[o.ID] != 0 || d == nil || d.Outcome == Done && d.Return < o.Call) {
				r.addf("at the end, dnsd %d has lost what was acknowledged: %v", f.At, o)
			}
		}
	}
}

// Tests: check_test.go.
