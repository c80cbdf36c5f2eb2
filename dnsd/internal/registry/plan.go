package registry

import (
	"slices"
	"time"
)

// leaseAction is what a step does to the lease.
type leaseAction uint8

const (
	keepLease     leaseAction = iota
	renewLease                // it begins again
	restoreLease              // it begins, and no one was heard: the instance is of a copy
	reprieveLease             // it goes on as a suspect's
	trialLease                // it goes on as a suspect's, for one lease
	loseLease                 // it ended because of silence or a refusal: the guard counts it
)

// step is one planned change, or, if Revision is 0, an action on a lease alone.
type step struct {
	Change
	entry *entry // when the batch began; nil: the key was not registered
	key   Key
	lease leaseAction
}

// plan gathers the changes of one batch. The changes of earlier requests of the batch are
// in the plan, and not in the catalog yet.
type plan struct {
	r        *Registry
	now      time.Duration
	wall     time.Time
	revision uint64
	steps    []step
	overlay  map[Key]*Instance // after the batch; nil: removed
	added    []Key             // that have no entry yet
	tallies  map[string]tally  // by service
	total    int               // number of instances after the batch
	fenced   map[Key]Fence
	marked   []Key // the keys of fenced, in order
	refused  int   // instances that the batch removes because they refuse
	overdue  int   // instances that should have renewed and did not; -1: not counted yet
	changed  Batch
	skipped  bool  // a revision is used up without a change
	failure  error // why this batch is not stored; nil: it is stored, or nothing is changed
}

// tally is how a batch changes the numbers of a service.
type tally struct {
	instances int
	lost      int // after silence or a refusal
}

func (p *plan) begin(r *Registry) {
	p.r = r
	p.now, p.wall = r.clock.read(), time.Now()
	p.revision, p.total, p.overdue, p.refused = r.revision, r.catalog.instances, -1, 0
}

func (p *plan) end() {
	clear(p.steps)
	p.steps = p.steps[:0]
	if cap(p.steps) > maxBatch {
		p.steps, p.overlay, p.added, p.tallies, p.fenced, p.marked = nil, nil, nil, nil, nil, nil
	}
	p.added = p.added[:0]
	clear(p.overlay)
	clear(p.tallies)
	clear(p.fenced)
	p.marked = p.marked[:0]
	clear(p.changed.Changes)
	p.failure, p.skipped = nil, false
	p.changed = Batch{Changes: p.changed.Changes[:0], Fences: p.changed.Fences[:0]}
}

// find returns the instance after the steps so far, and its entry if it has one already.
func (p *plan) find(k Key) (*Instance, *entry) {
	e := p.r.catalog.find(k)
	if in, ok := p.overlay[k]; ok {
		return in, e
	}
	if e == nil {
		return nil, nil
	}
	return e.in, e
}

// size returns the number of instances of a service after the steps so far.
func (p *plan) size(service string) int {
	n := p.tallies[service].instances
	if s := p.r.catalog.services[service]; s != nil {
		n += len(s.entries)
	}
	return n
}

// fence returns the fence of k after the steps so far.
func (p *plan) fence(k Key) Fence {
	if f, ok := p.fenced[k]; ok {
		return f
	}
	return p.r.fences.by[k]
}

// floor is the incarnation below which k is fenced while it is not registered.
func (p *plan) floor(k Key) uint64 { return p.fence(k).Incarnation }

// put plans to replace old by in, which no other goroutine may have yet. It returns in.
func (p *plan) put(old, in *Instance, e *entry, lease leaseAction) *Instance {
	p.revision++
	in.Revision = p.revision
	p.step(step{Change: Change{Revision: p.revision, Time: p.wall, Old: old, New: in}, entry: e, key: in.Key, lease: lease})
	if old == nil {
		p.count(in.Service, tally{instances: 1})
	}
	floor := p.floor(in.Key)
	if in.Incarnation > 0 && in.Incarnation >= floor {
		floor = 0 // the registered instance fences now
	}
	p.remember(in.Key, floor, false)
	return in
}

// remove plans to remove old.
func (p *plan) remove(old *Instance, e *entry, lease leaseAction) {
	p.revision++
	p.step(step{Change: Change{Revision: p.revision, Time: p.wall, Old: old}, entry: e, key: old.Key, lease: lease})
	t := tally{instances: -1}
	if lease == loseLease {
		t.lost = 1
	}
	p.count(old.Service, t)
	p.remember(old.Key, max(old.Incarnation, p.floor(old.Key)), old.Sticky)
}

// renew plans only that a lease begins again.
func (p *plan) renew(in *Instance, e *entry) {
	p.step(step{Change: Change{New: in}, entry: e, key: in.Key, lease: renewLease})
}

// reprieve plans only that a suspect remains one.
func (p *plan) reprieve(in *Instance, e *entry) {
	p.step(step{Change: Change{New: in}, entry: e, key: in.Key, lease: reprieveLease})
}

// pending marks the entries of this batch while it is committed.
func (p *plan) pending(yes bool) {
	for i := range p.steps {
		if e := p.steps[i].entry; e != nil {
			e.pending = yes
		}
	}
}

// changes says whether one of the steps, beginning with the step from, is a change.
func (p *plan) changes(from int) bool {
	return slices.ContainsFunc(p.steps[from:], func(s step) bool { return s.Revision > 0 })
}

// touched says whether this batch has a step for k.
func (p *plan) touched(k Key) bool {
	_, ok := p.overlay[k]
	return ok
}

func (p *plan) step(s step) {
	if p.overlay == nil {
		p.overlay = make(map[Key]*Instance)
	}
	if _, again := p.overlay[s.key]; !again && s.entry == nil {
		p.added = append(p.added, s.key)
	}
	p.overlay[s.key] = s.New
	p.steps = append(p.steps, s)
}

func (p *plan) count(service string, t tally) {
	if p.tallies == nil {
		p.tallies = make(map[string]tally)
	}
	o := p.tallies[service]
	p.tallies[service] = tally{o.instances + t.instances, o.lost + t.lost}
	p.total += t.instances
}

// remember plans the fence of k.
func (p *plan) remember(k Key, incarnation uint64, drained bool) {
	f := Fence{k, incarnation, drained, p.wall}
	if was := p.fence(k); was.Incarnation == f.Incarnation && was.Drained == f.Drained {
		return
	}
	if p.fenced == nil {
		p.fenced = make(map[Key]Fence)
	}
	if _, ok := p.fenced[k]; !ok {
		p.marked = append(p.marked, k)
	}
	p.fenced[k] = f
}

// batch returns the changes to be committed.
func (p *plan) batch() *Batch {
	b := &p.changed
	b.Revision = p.revision
	for i := range p.steps {
		if s := &p.steps[i]; s.Revision > 0 {
			b.Changes = append(b.Changes, s.Change)
		}
	}
	if len(b.Changes) == 0 && len(p.marked) == 0 {
		return b
	}
	more := 0
	for _, k := range p.marked {
		f := p.fenced[k]
		b.Fences = append(b.Fences, f)
		if !f.Empty() {
			more++
		}
	}
	for _, f := range p.r.fences.excess(more, p.wall, more+64) {
		if _, ok := p.fenced[f.Key]; !ok { // this batch has not set it
			b.Fences = append(b.Fences, f)
		}
	}
	return b
}

// apply makes the changes in the catalog, and returns their events.
func (p *plan) apply() []*Event {
	r := p.r
	c := &r.catalog
	events := make([]*Event, 0, len(p.changed.Changes))
	for i := range p.steps {
		s := &p.steps[i]
		e := c.find(s.key)
		switch {
		case s.Revision == 0:
		case s.New == nil:
			c.remove(e)
			e.service.revision = s.Revision
			if s.lease == loseLease {
				e.service.lose(p.now)
			}
			delete(r.reprieves, e)
		case e == nil:
			e = c.insert(s.New, p.now+s.New.Lease)
			e.service.revision = s.Revision
		default:
			c.replace(e, s.New)
			e.service.revision = s.Revision
		}
		if e != nil && s.New != nil { // e is there, even if a later step removes it
			switch s.lease {
			case renewLease:
				if s.Revision > 0 {
					r.beginLocked(e, p.now)
				} else {
					r.renewLocked(e, p.now)
				}
			case restoreLease:
				c.unheard(e)
			case reprieveLease, trialLease:
				r.reprieveLocked(e, p.now, s.lease == trialLease)
			}
		}
		if s.Revision > 0 {
			ev := &Event{Change: s.Change, Life: r.life}
			r.history.add(ev)
			events = append(events, ev)
		}
	}
	for _, f := range p.changed.Fences {
		r.fences.apply(f)
	}
	r.fences.tidy()
	r.noteRefusedLocked(p.refused, p.now)
	r.history.trim(p.wall)
	r.revision = p.revision
	if p.skipped {
		r.history.events = nil
	}
	return events
}

// Tests: backend_test.go, queue_test.go.
