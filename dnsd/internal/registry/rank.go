package registry

import (
	"cmp"
	"math"
	"slices"
)

// rank makes sure that, in each service of the batch, the suspects are published after all
// live instances, and ordered by their own priorities. A suspect that is not gets
// another published priority, which is a change.
func (p *plan) rank() {
	var done map[string]bool
	for i := 0; i < len(p.steps); i++ { // rankService may append steps, of services that are done
		s := &p.steps[i]
		if s.Revision == 0 || done[s.key.Service] {
			continue
		}
		if svc := p.r.catalog.services[s.key.Service]; (svc == nil || svc.suspects == 0) && (s.New == nil || s.New.State != Suspect) {
			continue
		}
		if done == nil {
			done = make(map[string]bool)
		}
		done[s.key.Service] = true
		p.rankService(s.key.Service)
	}
}

// ranked is a suspect after the batch.
type ranked struct {
	in    *Instance
	entry *entry
}

func (p *plan) rankService(name string) {
	var suspects []ranked
	top := -1
	look := func(in *Instance, e *entry) {
		switch {
		case in == nil:
		case in.State == Suspect:
			suspects = append(suspects, ranked{in, e})
		default:
			if priority, ok := in.Published(); ok {
				top = max(top, int(priority))
			}
		}
	}
	if s := p.r.catalog.services[name]; s != nil {
		for _, e := range s.entries {
			in := e.in
			if planned, ok := p.overlay[in.Key]; ok {
				in = planned
			}
			look(in, e)
		}
	}
	for _, k := range p.added {
		if k.Service == name {
			look(p.overlay[k], nil)
		}
	}
	for i, behind := range behindAll(suspects, top) {
		s := suspects[i]
		switch priority, _ := s.in.Published(); {
		case priority == behind:
		case s.in.Revision > p.r.revision: // made by this batch, and not shared yet
			s.in.behind = behind
		default:
			next := s.in.with(Suspect)
			next.behind = behind
			p.put(s.in, next, s.entry, keepLease)
			p.because(Ranked)
		}
	}
}

// behindAll sorts suspects by priority, and returns the priority to publish for each: the
// current ones, if they are all higher than top and in order.
func behindAll(suspects []ranked, top int) []uint16 {
	slices.SortFunc(suspects, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.in.Priority, b.in.Priority), a.in.Key.Compare(b.in.Key))
	})
	out := make([]uint16, len(suspects))
	inOrder := true
	for i, s := range suspects {
		out[i], _ = s.in.Published()
		inOrder = inOrder && int(out[i]) > top
		if i > 0 {
			before := suspects[i-1].in.Priority
			inOrder = inOrder && cmp.Compare(before, s.in.Priority) == cmp.Compare(out[i-1], out[i])
		}
	}
	if inOrder || len(suspects) == 0 {
		return out
	}
	first, last := int(suspects[0].in.Priority), int(suspects[len(suspects)-1].in.Priority)
	shift := max(suspectBehind, top+1-first)
	tier := -1
	for i, s := range suspects {
		if i == 0 || s.in.Priority != suspects[i-1].in.Priority {
			tier++
		}
		if last+shift <= math.MaxUint16 {
			out[i] = uint16(int(s.in.Priority) + shift)
		} else { // there is no room for the distances between them
			out[i] = uint16(min(lastLive+1+tier, math.MaxUint16))
		}
	}
	return out
}

// rankAll ranks the suspects that were loaded. No sink has seen them yet.
func (r *Registry) rankAll() {
	for _, s := range r.catalog.services {
		if s.suspects == 0 {
			continue
		}
		var suspects []ranked
		top := -1
		for _, e := range s.entries {
			if e.in.State == Suspect {
				suspects = append(suspects, ranked{e.in, e})
				if len(s.entries) < guardMin {
					r.reprieves[e] = reprieve{since: r.reprieves[e].since, trial: true}
				}
			} else if priority, ok := e.in.Published(); ok {
				top = max(top, int(priority))
			}
		}
		for i, behind := range behindAll(suspects, top) {
			if priority, _ := suspects[i].in.Published(); priority != behind {
				suspects[i].in.behind = behind
			}
		}
	}
}
