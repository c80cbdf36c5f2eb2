package registry

import (
	"slices"
	"strings"
	"time"
)

// catalog is the set of registered instances. Its fields are guarded by Registry.mu.
type catalog struct {
	services  map[string]*service
	instances int
	states    [len(stateWords)]int // Unconfirmed: those of unheard
	wheel     wheel
}

// service is one service with at least one instance.
type service struct {
	name     string
	revision uint64   // of its last change
	entries  []*entry // ordered by id: 8 octets an instance, and a view needs no sorting
	lost     losses   // when instances were lost, for the guard
	suspects int
	states   [len(stateWords)]int32 // as those of the catalog
}

// entry is one instance and its lease.
type entry struct {
	in       *Instance
	service  *service
	deadline time.Duration // in lease time
	next     *entry        // in the wheel
	prev     *entry        // in the wheel
	slot     uint16        // of the wheel
	pending  bool          // a change of it is being committed: requests for it go through the queue
	unheard  bool          // Up, and not renewed since the leases began: it is reported as Unconfirmed
}

func (c *catalog) find(k Key) *entry {
	s := c.services[k.Service]
	if s == nil {
		return nil
	}
	i, ok := s.search(k.ID)
	if !ok {
		return nil
	}
	return s.entries[i]
}

func (s *service) search(id string) (int, bool) {
	// At start instances come in order, so each belongs at the end.
	if n := len(s.entries); n > 0 && s.entries[n-1].in.ID < id {
		return n, false
	}
	return slices.BinarySearchFunc(s.entries, id, func(e *entry, id string) int {
		return strings.Compare(e.in.ID, id)
	})
}

// insert adds an instance whose key is not registered.
func (c *catalog) insert(in *Instance, deadline time.Duration) *entry {
	s := c.services[in.Service]
	if s == nil {
		s = &service{name: in.Service}
		c.services[in.Service] = s
	}
	e := &entry{in: in, service: s, deadline: deadline, slot: unscheduled}
	i, _ := s.search(in.ID)
	s.entries = slices.Insert(s.entries, i, e)
	c.instances++
	c.count(s, in, 1)
	c.wheel.add(e)
	return e
}

// replace gives an entry another instance of the same key.
func (c *catalog) replace(e *entry, in *Instance) {
	c.heard(e)
	c.count(e.service, e.in, -1)
	c.count(e.service, in, 1)
	e.in = in
}

// unheard notes that nothing was heard of e, if it is Up.
func (c *catalog) unheard(e *entry) {
	if e.in.Shown() == Up && !e.unheard {
		e.unheard = true
		c.move(e, Up, Unconfirmed)
	}
}

// heard notes that e was heard.
func (c *catalog) heard(e *entry) {
	if e.unheard {
		e.unheard = false
		c.move(e, Unconfirmed, Up)
	}
}

// move counts e in another state.
func (c *catalog) move(e *entry, from, to State) {
	c.states[from]--
	c.states[to]++
	e.service.states[from]--
	e.service.states[to]++
}

func (c *catalog) remove(e *entry) {
	s := e.service
	if i, ok := s.search(e.in.ID); ok {
		s.entries = slices.Delete(s.entries, i, i+1)
	}
	if len(s.entries) == 0 {
		delete(c.services, s.name)
	}
	c.instances--
	c.heard(e)
	c.count(s, e.in, -1)
	c.wheel.remove(e)
}

// count adds n to the number of instances in the state of in.
func (c *catalog) count(s *service, in *Instance, n int) {
	c.states[in.Shown()] += n
	s.states[in.Shown()] += int32(n)
	if in.State == Suspect {
		s.suspects += n
	}
}

// extend moves a deadline. A later one costs nothing: when the old one passes, the
// wheel looks at the deadline again.
func (c *catalog) extend(e *entry, deadline time.Duration) {
	earlier := deadline < e.deadline
	e.deadline = deadline
	if earlier || e.slot == unscheduled {
		c.wheel.remove(e)
		c.wheel.add(e)
	}
}

// Tests: registry_test.go, wheel_test.go.
