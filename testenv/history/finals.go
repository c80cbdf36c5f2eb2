package history

import "slices"

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
	for _, f := range h.Finals {
		at := map[string]uint64{}
		for _, l := range f.Listed {
			at[l.ID] = l.Revision
		}
		for _, o := range h.acknowledged() {
			if o.Life == h.Lives-1 && at[o.ID] < o.Seen.Revision && (at[o.ID] != 0 || !h.removedAfter(o, lives)) {
				r.addf("at the end, dnsd %d has lost what was acknowledged: %v", f.At, o)
			}
		}
	}
}

// removedAfter says whether the instance may have been removed after a registration.
func (h *History) removedAfter(o *Op, lives []*timeline) bool {
	return slices.ContainsFunc(h.Ops, func(d *Op) bool {
		if d.Kind != Deregister || d.ID != o.ID || d.Outcome == Refused {
			return false
		}
		t := lifeOf(lives, d.Life)
		return d.Outcome == Unknown || d.Return >= o.Call && (d.Found || t != nil && t.again(d) > 0)
	})
}

// Tests: check_test.go.
