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
			if o.Life == n && o.Kind.writes() || o.Life < n && o.Kind.writes() && o.Outcome == Unknown {
				if p, ok := t.operation(o, n); ok {
					by[o.ID] = append(by[o.ID], p)
				}
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

// operation is a request as the checker wants it. One that was certainly never done is
// none.
func (t *timeline) operation(o *Op, life int) (porcupine.Operation, bool) {
	p := porcupine.Operation{ClientId: o.Client, Input: o, Output: o.Seen.Revision, Call: int64(o.Call), Return: int64(o.Return)}
	if o.Life < life {
		p.Call = math.MinInt64
	}
	switch o.Outcome {
	case Refused:
		return p, false
	case Unknown:
		p.Return = math.MaxInt64
		if o.Kind == Register { // the watchers know
			for _, v := range t.own[o.ID] {
				if v.there && v.Value == o.Value && v.from > t.base {
					p.Output = v.from
					return p, true
				}
			}
			return p, false
		}
	}
	return p, true
}

// state is that of one instance. The revision is a lower bound of its last change.
type state struct {
	there bool
	Instance
}

// model is the sequential specification of one instance.
func model(begin version) porcupine.Model {
	return porcupine.Model{
		Init: func() any {
			return state{begin.there, Instance{Value: begin.Value, Drained: begin.Drained, Revision: begin.from}}
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
		return false, s
	}
	next := s
	next.Revision = max(s.Revision, revision)
	switch o.Kind {
	case Register:
		next.there, next.Value, next.Drained = true, o.Value, s.there && s.Drained
		return revision > s.Revision && (o.Outcome == Unknown || o.Seen.Drained == next.Drained), next
	case Deregister:
		return true, state{Instance: Instance{Revision: s.Revision}}
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
