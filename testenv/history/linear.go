package history

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// linearTime bounds the search for an order of the requests about one instance.
const linearTime = 30 * time.Second

// checkLinear looks, for each instance, for an order of all requests that explains their
// answers. Reads are not among them: those of a follower may be late.
func (h *History) checkLinear(r *report, lives []*timeline) {
	for n, t := range lives {
		by := map[string][]porcupine.Operation{}
		for _, o := range h.Ops {
			if o.Kind.writes() && (o.Life == n || o.Life < n && o.Outcome == Unknown) {
				by[o.ID] = append(by[o.ID], t.operations(o, n)...)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(by)) {
			begin := t.at(id, t.base)
			m := model(begin)
			switch porcupine.CheckOperationsTimeout(m, by[id], linearTime) {
			case porcupine.Illegal:
				r.addf("no order of the requests explains the answers about %s, from %v on:%s", id, begin.Instance, t.lines(m, id, by[id]))
			case porcupine.Unknown:
				r.addf("%v were not enough to check the order of %d requests about %s", linearTime, len(by[id]), id)
			}
		}
	}
}

// request is the input of the model.
type request struct {
	*Op
	// again is an execution that was not answered, of a request that was executed again.
	again bool
}

// operations are a request as the checker wants it: none, if it was certainly never done,
// and several, if it may have been done more than once before it was answered.
func (t *timeline) operations(o *Op, life int) (all []porcupine.Operation) {
	p := porcupine.Operation{ClientId: o.Client, Input: request{Op: o}, Output: o.Seen.Revision, Call: int64(o.Call), Return: int64(o.Return)}
	if o.Life < life {
		p.Call = math.MinInt64
	}
	switch o.Outcome {
	case Refused:
		return nil
	case Unknown:
		p.Return = math.MaxInt64
	}
	if o.Kind != Register {
		all = append(all, p)
		p.Input, p.Output = request{o, true}, uint64(0)
		for range t.again(o) {
			all = append(all, p)
		}
		return all
	}
	before := version{}
	for _, v := range t.own[o.ID] { // the watchers know
		if v.there && v.Value == o.Value && v.from > t.base && before.Value != v.Value {
			p.Output = v.from
			all = append(all, p)
		}
		before = v
	}
	if len(all) == 0 && o.Outcome == Done {
		return append(all, p)
	}
	return all
}

// mostAgain bounds how often a request may have been done more than once: once for each
// writer that fails meanwhile.
const mostAgain = 2

// again is how often a request that was answered may have been done before that. Watchers
// saw a change then that is not the one of the answer.
func (t *timeline) again(o *Op) (n int) {
	if o.Outcome != Done || t.once && o.Found {
		return 0 // what is not there any more at a repeat may have been there before
	}
	all := t.own[o.ID]
	for i := 1; i < len(all); i++ {
		if v := all[i]; v.made(o.Kind, all[i-1]) && v.during(o) && v.from != o.Seen.Revision {
			n++
		}
	}
	if o.Kind == Deregister && o.Found {
		n-- // its answer has no revision
	}
	return min(max(n, 0), mostAgain)
}

// made says whether a version may be what a request of a kind made of the one before.
func (v version) made(k Kind, before version) bool {
	switch k {
	case Deregister:
		return before.there && !v.there
	case Drain, Undrain:
		return before.there && v.there && before.Value == v.Value && before.Drained != v.Drained && v.Drained == (k == Drain)
	}
	return false
}

// during says whether a version may have been made between the begin and the end of a
// request.
func (v version) during(o *Op) bool { return o.Call <= v.seen && v.after <= o.Return }

// state is that of one instance. The revision is a lower bound of its last change.
type state struct {
	there bool
	Instance
	// told: requests that began before it may be told of the removal by another one.
	told time.Duration
}

// model is the sequential specification of one instance.
func model(begin version) porcupine.Model {
	return porcupine.Model{
		Init: func() any {
			// The instance may have been changed last in a life before.
			return state{there: begin.there, Instance: Instance{Value: begin.Value, Drained: begin.Drained, Revision: begin.Revision}, told: never}
		},
		Step: func(s, input, output any) (bool, any) {
			ok, next := step(s.(state), input.(request), output.(uint64))
			return ok, next
		},
	}
}

// step does one request, and says whether its answer is right. The revision is that of
// the answer, or that which the watchers saw; 0: unknown.
func step(s state, o request, revision uint64) (bool, state) {
	answered := o.Outcome == Done && !o.again
	if answered && o.Kind != Register && o.Found != s.there {
		// Two requests at the same time may both be told of one removal, see asked.
		return o.Kind == Deregister && o.Found && s.told >= o.Call, s
	}
	next := s
	next.Revision = max(s.Revision, revision)
	switch o.Kind {
	case Register:
		next.there, next.Value, next.Drained, next.told = true, o.Value, s.there && s.Drained, never
		return revision > s.Revision && (o.Outcome == Unknown || o.Seen.Drained == next.Drained || revision < o.Seen.Revision), next
	case Deregister:
		if !s.there {
			return true, s
		}
		told := o.Return
		if o.Outcome == Unknown {
			told = forLong
		}
		return true, state{Instance: Instance{Revision: s.Revision}, told: told}
	case Drain, Undrain:
		if !s.there {
			return true, s
		}
		next.Drained = o.Kind == Drain
		if !answered {
			return true, next
		}
		return o.Seen.Value == s.Value && revision >= s.Revision && (revision > s.Revision || next.Drained == s.Drained), next
	}
	return true, s
}

// Values of state.told: it was not removed, and its removal may still be going on.
const never, forLong = time.Duration(-1), time.Duration(math.MaxInt64)

// lines are the requests about an instance around the first that fits into no order, one on
// a line, and the changes that watchers saw then.
func (t *timeline) lines(m porcupine.Model, id string, all []porcupine.Operation) string {
	const before, after = 24, 6
	slices.SortFunc(all, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	bad := unfit(m, all)
	from, to := max(0, bad-before), min(len(all), bad+after)
	var b strings.Builder
	if from > 0 {
		b.WriteString("\n\t...")
	}
	for i, p := range all[from:to] {
		r := p.Input.(request)
		b.WriteString("\n\t" + r.String())
		if r.again {
			b.WriteString(", done before, too")
		}
		if from+i == bad {
			b.WriteString(" (this one does not fit)")
		}
	}
	if to < len(all) {
		b.WriteString("\n\t...")
	}
	for _, v := range t.own[id] {
		switch {
		case to == 0 || int64(v.seen) < all[from].Call || int64(v.after) > all[to-1].Return:
		case v.there:
			fmt.Fprintf(&b, "\n\tseen at %v: %v", v.seen.Round(time.Microsecond), v.Instance)
		default:
			fmt.Fprintf(&b, "\n\tseen at %v: not there, at %d", v.seen.Round(time.Microsecond), v.from)
		}
	}
	return b.String()
}

// unfit is the first request that ends and is not in the longest order that was found.
func unfit(m porcupine.Model, all []porcupine.Operation) (first int) {
	_, info := porcupine.CheckOperationsVerbose(m, all, linearTime)
	fits := map[int]bool{}
	for _, partition := range info.PartialLinearizations() {
		for _, order := range partition {
			if len(order) > len(fits) {
				clear(fits)
				for _, i := range order {
					fits[i] = true
				}
			}
		}
	}
	first = -1
	for i, p := range all {
		if !fits[i] && (first < 0 || p.Return < all[first].Return) {
			first = i
		}
	}
	return max(first, 0)
}

// Tests: check_test.go.
