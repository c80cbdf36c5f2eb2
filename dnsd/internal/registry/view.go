package registry

import (
	"iter"
	"slices"
	"time"
)

// Standing is an instance and the time left of its lease.
type Standing struct {
	*Instance
	ExpiresIn time.Duration // never negative
}

// View is a service at one moment.
type View struct {
	Service   string
	Revision  uint64     // of the last change of this service
	Instances []Standing // ordered by id; the caller's own
}

// Service returns the instances of a service, or false if there are none.
func (r *Registry) Service(name string) (View, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := r.catalog.services[name]
	if s == nil {
		return View{}, false
	}
	now := r.clock.peek()
	v := View{name, s.revision, make([]Standing, len(s.entries))}
	for i, e := range s.entries {
		v.Instances[i] = e.standing(now)
	}
	return v, true
}

// Services returns all services, ordered by name. Each view is taken when it is yielded,
// at revision or later: a client that then watches since revision misses nothing.
func (r *Registry) Services() (revision uint64, views iter.Seq[View]) {
	r.mu.RLock()
	revision, names := r.revision, r.namesLocked()
	r.mu.RUnlock()
	slices.Sort(names)
	return revision, func(yield func(View) bool) {
		for _, name := range names {
			if v, ok := r.Service(name); ok && !yield(v) {
				return
			}
		}
	}
}

// Instance returns one instance, or false if it is not registered.
func (r *Registry) Instance(key Key) (Standing, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e := r.catalog.find(key)
	if e == nil {
		return Standing{}, false
	}
	return e.standing(r.clock.peek()), true
}

// Revision returns the revision of the last change.
func (r *Registry) Revision() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.revision
}

// Sick returns the error of the last commit: changes cannot be stored at the moment. It
// is nil if the last commit worked.
func (r *Registry) Sick() error {
	if err := r.sick.Load(); err != nil {
		return *err
	}
	return nil
}

// Stats are numbers of a registry. Counters begin at Open.
type Stats struct {
	Revision                                   uint64
	Services, Instances                        int
	Up, Unconfirmed, Suspect, Drained          int
	History, Fences, Watchers                  int
	Registered, Renewed, Deregistered, Expired uint64
	Reprieved                                  uint64 // instances that the guard reprieved
	Late                                       uint64 // renewals in the last quarter of a lease
	Proven                                     uint64 // instances that were removed because they refused a connection
	Commits, CommitFailures                    uint64 // of the backend
	CommitTook                                 Durations
	Unstored                                   int           // changes that were published and could not be stored yet
	StoreBytes                                 int64         // that the backend takes on a disk; 0: none, or it does not say
	Sick                                       bool          // changes cannot be stored at the moment
	Cut                                        uint64        // watches that were cut off because they were too slow
	Stalls                                     uint64        // how often the lease clock stood still
	Stalled                                    time.Duration // for how long in all
}

// Stats returns the current numbers.
func (r *Registry) Stats() Stats {
	size := int64(0)
	if s, ok := r.backend.(interface{ Size() int64 }); ok {
		size = s.Size()
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	n, c := &r.catalog.states, &r.stats
	return Stats{
		Revision: r.revision,
		Services: len(r.catalog.services), Instances: r.catalog.instances,
		Up: n[Up], Unconfirmed: n[Unconfirmed], Suspect: n[Suspect], Drained: n[Drained],
		History: len(r.history.events), Fences: len(r.fences.by), Watchers: int(r.watchers.n.Load()),
		Registered: c.registered.Load(), Renewed: c.renewed.Load(),
		Deregistered: c.deregistered.Load(), Expired: c.expired.Load(),
		Reprieved: c.reprieved.Load(), Proven: c.proven.Load(), Late: c.late.Load(),
		Commits: c.commits.Load(), CommitTook: c.took.read(), CommitFailures: c.failures.Load(), Unstored: int(c.unstored.Load()), StoreBytes: size, Sick: r.Sick() != nil,
		Cut: r.watchers.cut.Load(), Stalls: r.clock.stalls, Stalled: r.clock.stalled,
	}
}

func (e *entry) standing(now time.Duration) Standing {
	return Standing{e.shown(), e.left(now)}
}

// shown is the instance as it is reported.
func (e *entry) shown() *Instance {
	if e.unheard {
		return e.in.with(Unconfirmed)
	}
	return e.in
}

// left is the time left of the lease.
func (e *entry) left(now time.Duration) time.Duration {
	return min(max(e.deadline-now, 0), e.in.Lease)
}

// namesLocked returns the services in no order. The caller sorts them without the lock.
func (r *Registry) namesLocked() []string {
	names := make([]string, 0, len(r.catalog.services))
	for name := range r.catalog.services {
		names = append(names, name)
	}
	return names
}

// Tests: backend_test.go, registry_test.go.
