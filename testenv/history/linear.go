package history

import (
	"cmp"
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
			switch porcupine.CheckOperationsTimeout(model(begin), by[id], linearTime) {
			case porcupine.Illegal:
				r.addf("no order of the requests explains the answers about %s, from %v on:%s", id, begin.Instance, lines(by[id]))
			case porcupine.Unknown:
				r.addf("%v were not enough to check the order of %d requests about %s", linearTime, len(by[id]), id)
			}
		}
	}
}

// operations are a request as the checker wants it: none, if it was certainly never done,
// and two, if it was done twice before it was answered.
func (t *timeline) operations(o *Op, life int) (all []porcupine.Operation) {
	p := porcupine.Operation{ClientId: o.Client, Input: o, Output: o.Seen.Revision, Call: int64(o.Call), Return: int64(o.Return)}
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
		return append(all, p)
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

// state is that of one instance. The revision is a lower bound of its last change.
type state struct {
	there bool
	Instance
	removed *Op // what has removed it
}

// model is the sequential specification of one instance.
func model(begin version) porcupine.Model {
	return porcupine.Model{
		Init: func() any {
			// The instance may have been changed last in a life before.
			return state{there: begin.there, Instance: Instance{Value: begin.Value, Drained: begin.Drained, Revision: begin.Revision}}
		},
		Step: func(s, input, output any) (bool, any) {
			ok, next := step(s.(state), input.(*Op), output.(uint64))
			return ok, next
		},
	}
}

// step does one request, and says whether its answer is right. The revision is that of
// the answer, or that which the watchers saw; 0: unknown.
func step(s state, o *Op, revision uint64) (bool, state) {
	if o.Outcome == Done && o.Kind != Register && o.Found != s.there {
		// Two requests at the same time may both be told of one removal, see asked.
		together := o.Kind == Deregister && s.removed != nil && (s.removed.Outcome == Unknown || s.removed.Return >= o.Call)
		return together && o.Found, s
	}
	next := s
	next.Revision = max(s.Revision, revision)
	switch o.Kind {
	case Register:
		next.there, next.Value, next.Drained, next.removed = true, o.Value, s.there && s.Drained, nil
		return revision > s.Revision && (o.Outcome == Unknown || o.Seen.Drained == next.Drained || revision < o.Seen.Revision), next
	case Deregister:
		if !s.there {
			return true, s
		}
		return true, state{Instance: Instance{Revision: s.Revision}, removed: o}
	case Drain, Undrain:
		if !s.there {
			return true, s
		}
		next.Drained = o.Kind == Drain
		if o.Outcome == Unknown {
			return true, next
		}
		return o.Seen.Value == s.Value && revision >= s.Revision && (revision > s.Revision || next.Drained == s.Drained), next
	}
	return true, s
}

// lines are the last requests, one on a line.
func lines(all []porcupine.Operation) string {
	const shown = 30
	slices.SortFunc(all, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	if len(all) > shown {
		b.WriteString("\n\t...")
		all = all[len(all)-shown:]
	}
	for _, p := range all {
		b.WriteString("\n\t" + p.Input.(*Op).String())
	}
	return b.String()
}

// Tests: check_test.go.
