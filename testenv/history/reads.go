package history

import (
	"cmp"
	"slices"
	"time"
)

// Ahead is how long a dnsd waits, after the writer has acknowledged a change, until it has
// the change itself. An acknowledgement that took that long may come before the change is
// in the answers of the dnsd that gave it.
const Ahead = time.Second

// checkReads goes through the reads of each dnsd. What it is at is not known exactly: each
// answer is right for a range of revisions. The least of them is a lower bound for what is
// asked for after the answer.
func (h *History) checkReads(r *report, lives []*timeline) {
	type track struct {
		at, life int
		dns      bool
	}
	tracks := map[track]*reads{}
	for _, o := range h.Ops {
		if o.Outcome != Done {
			continue
		}
		for _, dns := range []bool{false, true} {
			if !o.Kind.writes() && (o.Kind == Query) != dns {
				continue
			}
			k := track{o.At, o.Life, dns}
			if tracks[k] == nil {
				tracks[k] = &reads{report: r, timeline: lifeOf(lives, o.Life)}
			}
			tracks[k].ops = append(tracks[k].ops, o)
		}
	}
	for _, t := range tracks {
		if t.timeline != nil {
			t.check()
		}
	}
}

// reads are those of one dnsd, by one way.
type reads struct {
	*report
	*timeline
	ops []*Op

	atLeast uint64 // the dnsd is at this revision, or later
	because *Op
}

func (t *reads) check() {
	type step struct {
		at  time.Duration
		end bool
		op  *Op
	}
	var steps []step
	for _, o := range t.ops {
		steps = append(steps, step{o.Call, false, o}, step{o.Return, true, o})
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		// Of the same moment, begins come first: the two were at the same time.
		return cmp.Or(cmp.Compare(a.at, b.at), compareBool(a.end, b.end))
	})
	least := map[*Op]uint64{}
	for _, s := range steps {
		if !s.end {
			least[s.op] = t.least(s.op)
			continue
		}
		if n := least[s.op]; n > t.atLeast {
			t.atLeast, t.because = n, s.op
		}
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// least is the lowest revision that the dnsd may have been at when it answered.
func (t *reads) least(o *Op) uint64 {
	switch o.Kind {
	case Register, Drain, Undrain:
		if o.Found && o.Return-o.Call < Ahead {
			return o.Seen.Revision
		}
		return 0
	case Read, Query:
		return t.instance(o)
	case List:
		return t.service(o)
	}
	return 0 // a renewal or a removal says no revision
}

// instance is least for the answer about an instance.
func (t *reads) instance(o *Op) uint64 {
	all := t.own[o.ID]
	if len(all) == 0 {
		all = []version{{from: t.base, to: forever}}
	}
	was := false
	for _, v := range all {
		if !fits(o, v) {
			continue
		}
		was = true
		if v.to > t.atLeast {
			if v.after > o.Return {
				break // it came later, and so did all that follow
			}
			return v.from
		}
	}
	if was {
		t.addf("it goes back: %v\n\tthis dnsd was at revision %d already: %v", o, t.atLeast, t.because)
	} else {
		t.addf("it was never so: %v", o)
	}
	return 0
}

// fits says whether a version of an instance explains an answer about it. DNS has no
// drained instances, and no revisions.
func fits(o *Op, v version) bool {
	there := v.there && (o.Kind == Read || !v.Drained)
	switch {
	case !there || !o.Found:
		return there == o.Found
	case o.Kind == Query:
		return v.Value == o.Seen.Value
	}
	return v.Instance == o.Seen
}

// service is least for the answer about all instances.
func (t *reads) service(o *Op) uint64 {
	if !o.Found {
		for i, from := range t.turns {
			to := forever
			if i+1 < len(t.turns) {
				to = t.turns[i+1]
			}
			if to > t.atLeast && len(t.listedAt(from)) == 0 {
				return from
			}
		}
		t.addf("it goes back, or was never so: %v\n\tthis dnsd was at revision %d already: %v", o, t.atLeast, t.because)
		return 0
	}
	revision := max(o.Revision, t.base) // lower: not changed since then
	from, to := t.turn(revision)
	switch {
	case from != revision:
		t.addf("it was never so: %v: the service did not change at this revision", o)
		return 0
	}
	switch {
	case !slices.Equal(o.Listed, t.listedAt(from)):
		t.addf("it was never so: %v: %v; the changes lead to %v", o, o.Listed, t.listedAt(from))
	case to <= t.atLeast:
		t.addf("it goes back: %v\n\tthis dnsd was at revision %d already: %v", o, t.atLeast, t.because)
	default:
		return from
	}
	return 0
}

// Tests: check_test.go.
