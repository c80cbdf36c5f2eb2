package registry

import (
	"slices"
	"time"
)

// leaseAction says what a step does to the lease.
type leaseAction uint8

const (
	keepLease     leaseAction = iota
	renewLease                // begins anew
	reprieveLease             // goes on as a suspect
	trialLease                // goes on as a suspect, for one lease
	loseLease                 // ended by silence or refusal: counts for the guard
)

// step is one planned change, or (Revision 0) something done to a lease only.
type step struct {
	Change
	entry *entry // as it was when the batch began; nil: not there
	key   Key
	lease leaseAction
}

// plan gathers the changes of one batch. What earlier requests of the batch will
// change is in it and not in the catalog yet.
type plan struct {
	r        *Registry
	now      time.Duration
	wall     time.Time
	revision uint64
	steps    []step
	overlay  map[Key]*Instance // as this batch leaves it; nil: removed
	added    []Key             // which have no entry yet
	tallies  map[string]tally
	total    int // instances, after the batch
	fenced   map[Key]Fence
	marked   []Key // those of fenced, in order
	refused  int   // how many it removes because they refuse
	overdue  int   // how many are silent that should have been heard; -1: not counted yet
	changed  Batch
	failure  error // why this batch is not stored; nil: it will be, or else it did not happen
}

// tally is what a batch does to a service.
type tally struct {
	instances int // more or fewer
	lost      int // gone by silence or refusal
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
	p.failure = nil
	p.changed = Batch{Changes: p.changed.Changes[:0], Fences: p.changed.Fences[:0]}
}

// find returns the instance as it will be, and its entry if it has one already.
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

// size of a service as it will be.
func (p *plan) size(service string) int {
	n := p.tallies[service].instances
	if s := p.r.catalog.services[service]; s != nil {
		n += len(s.entries)
	}
	return n
}

// fence is what is remembered of k, as this batch leaves it.
func (p *plan) fence(k Key) Fence {
	if f, ok := p.fenced[k]; ok {
		return f
	}
	return p.r.fences.by[k]
}

// floor is the incarnation below which k is fenced when it does not live.
func (p *plan) floor(k Key) uint64 { return p.fence(k).Incarnation }

// put plans in (not shared yet) to become what k is, and returns it.
func (p *plan) put(old, in *Instance, e *entry, lease leaseAction) *Instance {
	p.revision++
	in.Revision = p.revision
	p.step(step{Change: Change{p.revision, p.wall, old, in}, entry: e, key: in.Key, lease: lease})
	if old == nil {
		p.count(in.Service, tally{instances: 1})
	}
	floor := p.floor(in.Key)
	if in.Incarnation > 0 && in.Incarnation >= floor {
		floor = 0 // the living one fences now
	}
	p.remember(in.Key, floor, false)
	return in
}

// remove plans old to go.
func (p *plan) remove(old *Instance, e *entry, lease leaseAction) {
	p.revision++
	p.step(step{Change: Change{p.revision, p.wall, old, nil}, entry: e, key: old.Key, lease: lease})
	t := tally{instances: -1}
	if lease == loseLease {
		t.lost = 1
	}
	p.count(old.Service, t)
	p.remember(old.Key, max(old.Incarnation, p.floor(old.Key)), old.Sticky)
}

// renew plans only that a lease begins anew.
func (p *plan) renew(in *Instance, e *entry) {
	p.step(step{Change: Change{New: in}, entry: e, key: in.Key, lease: renewLease})
}

// reprieve plans only that a suspect goes on as one.
func (p *plan) reprieve(in *Instance, e *entry) {
	p.step(step{Change: Change{New: in}, entry: e, key: in.Key, lease: reprieveLease})
}

// pending notes that what this batch is about waits for a commit, or no more.
func (p *plan) pending(yes bool) {
	for i := range p.steps {
		if e := p.steps[i].entry; e != nil {
			e.pending = yes
		}
	}
}

// changes says whether there are some among the steps from one on.
func (p *plan) changes(from int) bool {
	return slices.ContainsFunc(p.steps[from:], func(s step) bool { return s.Revision > 0 })
}

// touched says whether this batch already does something to k.
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

// remember plans what is to be known of k beside who lives there.
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

// batch is what is to be committed.
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
		if _, ok := p.fenced[f.Key]; !ok { // not one that was just set
			b.Fences = append(b.Fences, f)
		}
	}
	return b
}

// apply publishes what was committed.
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
		if e != nil && s.New != nil { // what a later step removes is still there
			switch s.lease {
			case renewLease:
				r.renewLocked(e, p.now)
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
	return events
}
