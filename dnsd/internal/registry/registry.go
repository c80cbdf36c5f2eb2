package registry

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Registry knows which instances are registered.
type Registry struct {
	cfg     atomic.Pointer[Config]
	backend Backend
	queue   queue
	plan    *plan                 // used by the leader of the queue
	debt    debt                  // used by the leader of the queue
	ceiling ceiling               // used by the leader of the queue
	sinks   []Sink                // used by the leader of the queue
	sick    atomic.Pointer[error] // why the last commit failed; nil: it did not fail

	mu        sync.RWMutex // guards what follows, up to advanced
	life      Life
	began     uint64 // the revision at which this life began, or at which it was loaded
	loaded    bool   // it has content
	term      Term   // in which it is the writer; nil: it follows
	clock     clock
	catalog   catalog
	revision  uint64
	history   history
	fences    fences
	reprieves map[*entry]reprieve
	refused   losses // instances that were removed because they refused a connection
	late      lateness
	heard     time.Duration // lease time of the last renewal of any instance; -1: none yet
	published uint64        // all sinks have everything up to it
	advanced  chan struct{} // closed when published grows; nil: no one waits

	watchers     watchers
	probes       chan struct{} // has a value for each probe under way
	probeTimeout time.Duration
	stats        counters
	stallsLogged atomic.Uint64
}

type counters struct {
	registered, renewed, late, deregistered, expired, reprieved, proven, commits, failures atomic.Uint64
	unstored                                                                               atomic.Int64
	took                                                                                   durations // of commits
}

// Open loads the content of the backend. Every lease begins again. Leases end only while
// Run runs. Close closes the registry and its backend. If Open fails, it closes the
// backend.
func Open(cfg Config) (*Registry, error) {
	full, err := Check(cfg)
	if err != nil {
		if cfg.Backend != nil {
			cfg.Backend.Close()
		}
		return nil, fmt.Errorf("registry: configure: %w", err)
	}
	return open(full, usual())
}

func open(cfg Config, t tuning) (*Registry, error) {
	r := &Registry{
		life:         newLife(),
		backend:      cfg.Backend,
		queue:        queue{full: make(chan struct{}, 1), most: maxBatch},
		plan:         &plan{},
		ceiling:      ceiling{path: cfg.Ceiling, log: cfg.Logger},
		clock:        newClock(),
		catalog:      catalog{services: make(map[string]*service)},
		history:      history{max: cfg.History.Changes, age: cfg.History.Age},
		fences:       fences{max: t.Fences, age: t.FenceAge},
		reprieves:    make(map[*entry]reprieve),
		heard:        -1,
		watchers:     watchers{limit: t.WatchQueue, by: make(map[string]map[*Watch]struct{})},
		probes:       make(chan struct{}, cfg.Guard.Probes),
		probeTimeout: t.ProbeTimeout,
	}
	r.cfg.Store(&cfg)
	if cfg.Follow {
		r.queue.most = sharedBatch
		return r, nil
	}
	if err := r.load(); err != nil {
		cfg.Backend.Close()
		return nil, fmt.Errorf("registry: open: %w", err)
	}
	return r, nil
}

// load begins a life with the content of the backend. The history of earlier lives is
// not continued, because clients may remember changes that this store does not hold.
// Every instance gets the revision at which the life begins, which is higher than any
// that was given out.
func (r *Registry) load() error {
	snap, err := r.backend.Load()
	if err != nil {
		return err
	}
	r.began = r.first(snap.Revision)
	r.revision = r.began
	now := r.clock.read()
	for in, err := range snap.Instances {
		if err != nil {
			return err
		}
		in.Revision = r.revision
		e := r.catalog.insert(in, now+in.Lease)
		r.catalog.unheard(e)
		e.service.revision = r.revision
		if in.State == Suspect {
			r.reprieves[e] = reprieve{since: now}
		}
	}
	r.rankAll()
	for f, err := range snap.Fences {
		if err != nil {
			return err
		}
		r.fences.apply(f)
	}
	r.loaded, r.term, r.published = true, alone{r.backend}, r.revision
	if r.revision > snap.Revision {
		if err := r.backend.Commit(&Batch{Revision: r.revision}); err != nil {
			r.tell(err) // the ceiling and the clock also keep the revision
		}
	}
	return nil
}

// first returns the revision at which a life begins: above those of the backend and of
// the ceiling, and not below the clock.
func (r *Registry) first(stored uint64) uint64 {
	first := r.above(stored)
	if !r.ceiling.cover(first) {
		first += r.ceiling.since(r.settings().Revision) // or the next life, which reads the same file, would begin here as well
	}
	return first
}

// above is first without a note in the ceiling. It runs in the queue, or before there is
// one.
func (r *Registry) above(stored uint64) uint64 {
	first := uint64(0)
	if stored > 0 {
		first = stored + lifeStep
	}
	if high := r.ceiling.read(); high > 0 {
		first = max(first, high+1)
	}
	if clock := r.settings().Revision; first == 0 || clock < first+farthest {
		first = max(first, clock)
	}
	return first
}

// Update changes the defaults, bounds, limits, guard, history and logger while the
// registry works. Instances keep their leases and TTLs until they register again.
// Backend, Follow, Revision, Ceiling, Probe and Guard.Probes stay as they were at Open. After an
// error nothing has changed.
func (r *Registry) Update(cfg Config) error {
	old := r.settings()
	cfg.Backend, cfg.Revision, cfg.Ceiling = old.Backend, old.Revision, old.Ceiling
	cfg.Probe, cfg.Guard.Probes, cfg.Follow = old.Probe, old.Guard.Probes, old.Follow
	cfg, err := Check(cfg)
	if err != nil {
		return fmt.Errorf("registry: configure: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cfg.Store(&cfg)
	r.history.max, r.history.age = cfg.History.Changes, cfg.History.Age
	return nil
}

// settings returns the current configuration.
func (r *Registry) settings() *Config { return r.cfg.Load() }

// Close waits for earlier requests, then cuts off all watches and closes the backend. A
// second Close does nothing.
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
