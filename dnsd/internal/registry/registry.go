package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Registry is the one place that knows who is registered.
type Registry struct {
	cfg     atomic.Pointer[Config]
	life    Life
	backend Backend
	queue   queue
	plan    *plan                 // the leader's
	sinks   []Sink                // the leader's
	sick    atomic.Pointer[error] // why the last commit failed; nil: it did not

	mu       sync.RWMutex // guards what follows
	clock    clock
	catalog  catalog
	revision uint64
	history  history
	forget   uint64 // history that the backend still has and we do not
	fences   fences
	holds    map[*entry]hold
	heard    time.Duration // lease time of the last sign of life from anybody; -1: none yet

	watchers     watchers
	probes       chan struct{} // holds one for each probe under way
	stats        counters
	stallsLogged atomic.Uint64
}

type counters struct {
	registered, renewed, deregistered, expired, held, proven, commits, failures atomic.Uint64
}

// Open loads what the backend has kept; every lease begins anew. Leases end only
// while Run runs. Close closes the registry and its backend; when Open fails the
// backend is closed too.
func Open(cfg Config) (*Registry, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Registry{
		life:     newLife(),
		backend:  cfg.Backend,
		queue:    queue{full: make(chan struct{}, 1)},
		plan:     &plan{},
		clock:    newClock(),
		catalog:  catalog{services: make(map[string]*service)},
		history:  history{max: cfg.History, age: cfg.HistoryAge},
		fences:   fences{max: cfg.Fences, age: cfg.FenceAge},
		holds:    make(map[*entry]hold),
		heard:    -1,
		watchers: newWatchers(cfg.WatchQueue),
		probes:   make(chan struct{}, cfg.Guard.Probes),
	}
	r.cfg.Store(&cfg)
	if err := r.load(); err != nil {
		cfg.Backend.Close()
		return nil, fmt.Errorf("registry: open: %w", err)
	}
	return r, nil
}

func (r *Registry) load() error {
	snap, err := r.backend.Load()
	if err != nil {
		return err
	}
	now := r.clock.read()
	r.revision = cmp.Or(max(snap.Revision, r.settings().Revision), r.settings().First)
	for in, err := range snap.Instances {
		if err != nil {
			return err
		}
		if in.State == Up {
			in.State = Unconfirmed // not shared yet
		}
		e := r.catalog.insert(in, now+in.Lease)
		e.service.revision = max(e.service.revision, in.Revision)
		if in.State == Suspect {
			r.holds[e] = hold{since: now}
		}
	}
	for c, err := range snap.History {
		if err != nil {
			return err
		}
		if c.New != nil { // share what is still so
			if e := r.catalog.find(c.New.Key); e != nil && e.in.Revision == c.New.Revision {
				c.New = e.in
			}
		}
		if s := r.catalog.services[c.Key().Service]; s != nil {
			s.revision = max(s.revision, c.Revision)
		}
		r.history.add(&Event{Change: c, Life: r.life})
	}
	if n := len(r.history.events); n > 0 && r.history.events[n-1].Revision != r.revision {
		r.history.events = nil // there is a gap up to cfg.Revision
		r.forget = snap.Revision
	}
	for f, err := range snap.Fences {
		if err != nil {
			return err
		}
		r.fences.apply(f)
	}
	return nil
}

// Update takes new defaults, bounds, limits, guard, history and logger while the
// registry works; instances keep the leases and TTLs they have until they are
// registered anew. Backend, Probe, Guard.Probes, Fences, FenceAge, WatchQueue,
// Revision and First stay what they were at Open. On an error nothing has changed.
func (r *Registry) Update(cfg Config) error {
	old := r.settings()
	cfg.Backend, cfg.Probe, cfg.Guard.Probes = old.Backend, old.Probe, old.Guard.Probes
	cfg.Fences, cfg.FenceAge, cfg.WatchQueue = old.Fences, old.FenceAge, old.WatchQueue
	cfg.Revision, cfg.First = old.Revision, old.First
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg.Store(&cfg)
	r.history.max, r.history.age = cfg.History, cfg.HistoryAge
	return nil
}

// settings is the configuration of the moment.
func (r *Registry) settings() *Config { return r.cfg.Load() }

// Attach loads s and then keeps it informed, until detach.
func (r *Registry) Attach(s Sink) (detach func()) {
	attached := &op{after: func() {
		// The leader's turn: nobody but renewals changes anything meanwhile.
		r.mu.RLock()
		names := r.namesLocked()
		r.mu.RUnlock()
		slices.Sort(names)
		r.mu.RLock()
		all := make([]*Instance, 0, r.catalog.instances)
		for _, name := range names {
			for _, e := range r.catalog.services[name].entries {
				all = append(all, e.in)
			}
		}
		changes := make([]Change, len(r.history.events))
		for i, e := range r.history.events {
			changes[i] = e.Change
		}
		revision := r.revision
		r.mu.RUnlock()
		s.Load(revision, slices.Values(all), changes)
		r.sinks = append(r.sinks, s)
	}}
	r.submit(context.Background(), attached) // only ErrClosed: then there is nothing to be told
	return func() {
		r.submit(context.Background(), &op{after: func() {
			if i := slices.Index(r.sinks, s); i >= 0 {
				r.sinks = slices.Delete(r.sinks, i, i+1)
			}
		}})
	}
}

// Close lets finish what was asked before, then closes the backend and cuts off
// all watchers. A second Close does nothing.
func (r *Registry) Close() error {
	var err error
	last := &op{last: true, after: func() {
		r.watchers.close()
		err = r.backend.Close()
	}}
	if r.submit(context.Background(), last) != nil {
		return nil
	}
	return err
}
