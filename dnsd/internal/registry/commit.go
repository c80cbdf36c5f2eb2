package registry

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// maxBatch bounds the requests that share one commit, and with it the time that
// the first of them waits.
const maxBatch = 4096

// op is one request in the queue.
type op struct {
	// decide plans the changes, or refuses; then it must have planned none. It
	// is called with mu held.
	decide func(*plan) error
	// after is called in the registry's order once everything is published,
	// without mu.
	after func()
	err   error
	turn  chan bool // true: lead the next batch; false: done
	last  bool      // closes the queue behind it
	taken bool      // guarded by queue.mu
}

// queue gathers requests while a commit is running. Who finds it idle leads: it
// commits its own and all that gathered, then hands over to the first that came
// meanwhile. So concurrent requests share one sync, an idle registry answers
// without a switch of goroutines, and there is none to stop.
type queue struct {
	mu     sync.Mutex
	ops    []*op         // guarded by mu
	led    bool          // guarded by mu
	closed bool          // guarded by mu
	last   lastCommit    // guarded by mu
	want   int           // guarded by mu; the leader waits for so many ops; 0: it does not
	full   chan struct{} // one when they are there
}

// lastCommit is what the next leader goes by.
type lastCommit struct {
	ended   time.Time
	took    time.Duration
	clients int // those it answered, and those who were waiting by then
}

// submit runs o in its turn and returns its error. A canceled ctx gives up only
// what no leader has taken yet: otherwise the outcome is awaited and told.
func (r *Registry) submit(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	q := &r.queue
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.closed = o.last
	if !q.led {
		q.led = true
		o.taken = true
		q.mu.Unlock()
		r.lead(q.gather(o))
		return o.err
	}
	o.turn = make(chan bool, 1)
	q.ops = append(q.ops, o)
	if q.want > 0 && len(q.ops) >= q.want {
		q.want = 0
		q.full <- struct{}{}
	}
	q.mu.Unlock()

	var lead bool
	select {
	case lead = <-o.turn:
	case <-ctx.Done():
		q.mu.Lock()
		if !o.taken {
			for i, x := range q.ops {
				if x == o {
					q.ops = append(q.ops[:i], q.ops[i+1:]...)
					break
				}
			}
			q.mu.Unlock()
			return fmt.Errorf("registry: %w", ctx.Err())
		}
		q.mu.Unlock()
		lead = <-o.turn
	}
	if lead {
		r.lead(q.gather(o))
	}
	return o.err
}

// gather returns the batch that o leads. Those who were just answered are often
// about to ask again; without waiting for them, clients fall into two halves
// that take turns, and each commit carries one half. So the leader waits until
// they are as many as at the last commit, but for no longer than a quarter of
// what that took.
func (q *queue) gather(o *op) []*op {
	const worthwhile = 20 * time.Microsecond // below, waiting costs more than it brings
	q.mu.Lock()
	defer q.mu.Unlock()
	if others := q.last.clients - 1; len(q.ops) < others {
		patience := min(q.last.took/4, 2*time.Millisecond) - time.Since(q.last.ended)
		if patience >= worthwhile {
			q.want = others
			q.mu.Unlock()
			timer := time.NewTimer(patience)
			select {
			case <-q.full:
			case <-timer.C:
			}
			timer.Stop()
			q.mu.Lock()
			if q.want == 0 { // they are there, perhaps only after the timer
				select {
				case <-q.full:
				default:
				}
			}
			q.want = 0
		}
	}
	n := min(len(q.ops), maxBatch-1)
	batch := append(make([]*op, 0, n+1), o)
	batch = append(batch, q.ops[:n]...)
	q.ops = append(q.ops[:0], q.ops[n:]...)
	for _, x := range batch {
		x.taken = true
	}
	return batch
}

// lead commits a batch, wakes those who wait for it, and hands over.
func (r *Registry) lead(batch []*op) {
	took := r.commit(batch)
	q := &r.queue
	q.mu.Lock()
	q.last = lastCommit{clients: len(batch) + len(q.ops), took: took}
	if took > 0 {
		q.last.ended = time.Now()
	}
	q.mu.Unlock()
	for _, o := range batch[1:] {
		o.turn <- false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ops) == 0 {
		q.led = false
		q.ops = nil
		return
	}
	next := q.ops[0]
	q.ops[0] = nil
	q.ops = q.ops[1:]
	next.taken = true
	next.turn <- true
}

// commit decides, makes durable, publishes, and tells how long the backend took.
// Only one runs at a time.
func (r *Registry) commit(batch []*op) (took time.Duration) {
	p := r.plan
	r.mu.Lock()
	p.begin(r)
	for _, o := range batch {
		if o.decide != nil {
			o.err = o.decide(p)
		}
	}
	for i := range p.steps {
		if e := p.steps[i].entry; e != nil {
			e.pending = true
		}
	}
	b := p.batch()
	r.mu.Unlock()

	var err error
	if len(b.Changes) > 0 || len(b.Fences) > 0 {
		r.stats.commits.Add(1)
		began := time.Now()
		if err = r.cfg.Backend.Commit(b); err != nil {
			err = fmt.Errorf("registry: commit: %w", err)
			r.stats.failures.Add(1)
		}
		took = time.Since(began)
	}

	r.mu.Lock()
	for i := range p.steps {
		if e := p.steps[i].entry; e != nil {
			e.pending = false
		}
	}
	var events []*Event
	if err == nil {
		events = p.apply()
	}
	r.mu.Unlock()

	if err != nil {
		for _, o := range batch {
			if o.decide != nil && o.err == nil {
				o.err = err
			}
		}
	}
	r.tell(err, took)
	if len(events) > 0 {
		for _, s := range r.sinks {
			s.Apply(b.Changes)
		}
		r.watchers.deliver(events)
	}
	for _, o := range batch {
		if o.after != nil {
			o.after()
		}
	}
	p.end()
	return took
}

// tell logs when commits begin to fail, and when they work again: a full disk
// must not be filled with words.
func (r *Registry) tell(err error, took time.Duration) {
	switch {
	case err != nil && !r.sick:
		r.cfg.Logger.Error("registry: cannot store changes, they are refused until it works again", "err", err)
	case err == nil && took > 0 && r.sick:
		r.cfg.Logger.Info("registry: changes can be stored again")
	case took == 0:
		return // nothing was to be stored
	}
	r.sick = err != nil
}

// lease says what a step does to the lease.
type leaseAction uint8

const (
	keepLease  leaseAction = iota
	renewLease             // begins anew
	holdLease              // goes on as a suspect
	loseLease              // ended without proof: counts for the guard
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
	tallies  map[string]tally
	total    int // instances, after the batch
	fenced   map[Key]uint64
	changed  Batch
}

// tally is what a batch does to a service.
type tally struct {
	instances int // more or fewer
	lost      int // expired without proof
}

func (p *plan) begin(r *Registry) {
	p.r = r
	p.now, p.wall = r.clock.read(), time.Now()
	p.revision, p.total = r.revision, r.catalog.instances
}

func (p *plan) end() {
	clear(p.steps)
	p.steps = p.steps[:0]
	if cap(p.steps) > maxBatch {
		p.steps, p.overlay, p.tallies, p.fenced = nil, nil, nil, nil
	}
	clear(p.overlay)
	clear(p.tallies)
	clear(p.fenced)
	clear(p.changed.Changes)
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

// floor is the incarnation below which k is fenced when it does not live.
func (p *plan) floor(k Key) uint64 {
	if f, ok := p.fenced[k]; ok {
		return f
	}
	return p.r.fences.floor(k)
}

// put plans in (not shared yet) to become what k is, and returns it.
func (p *plan) put(old, in *Instance, e *entry, lease leaseAction) *Instance {
	p.revision++
	in.Revision = p.revision
	p.step(step{Change: Change{p.revision, p.wall, old, in}, entry: e, key: in.Key, lease: lease})
	if old == nil {
		p.count(in.Service, tally{instances: 1})
	}
	if in.Incarnation > 0 && in.Incarnation >= p.floor(in.Key) && p.floor(in.Key) > 0 {
		p.fence(in.Key, 0) // the living one fences now
	}
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
	if old.Incarnation > p.floor(old.Key) {
		p.fence(old.Key, old.Incarnation)
	}
}

// renew plans only that a lease begins anew.
func (p *plan) renew(in *Instance, e *entry) {
	p.step(step{Change: Change{New: in}, entry: e, key: in.Key, lease: renewLease})
}

// hold plans only that a suspect goes on as one.
func (p *plan) hold(in *Instance, e *entry) {
	p.step(step{Change: Change{New: in}, entry: e, key: in.Key, lease: holdLease})
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

func (p *plan) fence(k Key, incarnation uint64) {
	if p.fenced == nil {
		p.fenced = make(map[Key]uint64)
	}
	p.fenced[k] = incarnation
}

// batch is what is to be committed.
func (p *plan) batch() *Batch {
	b := &p.changed
	for i := range p.steps {
		if s := &p.steps[i]; s.Revision > 0 {
			b.Changes = append(b.Changes, s.Change)
		}
	}
	if len(b.Changes) == 0 {
		return b
	}
	more := 0
	for i := range b.Changes { // in order, not in that of a map
		k := b.Changes[i].Key()
		if n, ok := p.fenced[k]; ok {
			b.Fences = append(b.Fences, Fence{k, n, p.wall})
			delete(p.fenced, k)
			if n > 0 {
				more++
			}
		}
	}
	for _, f := range p.r.fences.excess(more, p.wall, more+64) {
		if in, ok := p.overlay[f.Key]; !ok || in != nil { // not one that was just renewed
			b.Fences = append(b.Fences, f)
		}
	}
	b.Forget = max(p.r.forget, p.r.history.excess(len(b.Changes), p.wall))
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
			delete(r.holds, e)
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
				delete(r.holds, e)
				r.renewLocked(e, p.now)
			case holdLease:
				r.holdLocked(e, p.now)
			}
		}
		if s.Revision > 0 {
			ev := &Event{Change: s.Change}
			r.history.add(ev)
			events = append(events, ev)
		}
	}
	for _, f := range p.changed.Fences {
		r.fences.apply(f)
	}
	r.fences.tidy()
	if p.changed.Forget > 0 {
		r.history.forget(p.changed.Forget)
		r.forget = 0
	}
	r.revision = p.revision
	return events
}
