package history

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Recorder runs clients and watchers, and writes down what they see. Start makes it,
// Finish ends it. Its methods are for one goroutine.
type Recorder struct {
	cfg   Config
	began time.Time
	http  *http.Client // for requests
	long  *http.Client // for streams

	clients  []*client
	watchers []*watcher
	sampler  *sampler

	stopClients, stopAll context.CancelFunc
	working, watching    sync.WaitGroup

	// turn is held for reading by each request and transfer while it runs, and for
	// writing by Restore.
	turn sync.RWMutex
	life int // guarded by turn

	mu      sync.Mutex    // guards what follows
	writes  []int         // that were acknowledged, by dnsd
	another chan struct{} // closed after the next one
}

// retry is the pause after which the recorder itself looks again.
const retry = 20 * time.Millisecond

// Start begins to record. It returns when the watchers of all dnsd have the present
// state, or with an error when the context ends. The recording itself goes on until
// Finish, or until the context ends.
func Start(ctx context.Context, cfg Config) (*Recorder, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	transport := func() *http.Transport {
		return &http.Transport{DialContext: cfg.Dial, MaxIdleConnsPerHost: cfg.Clients, ResponseHeaderTimeout: cfg.Timeout}
	}
	r := &Recorder{
		cfg: cfg, began: time.Now(), writes: make([]int, len(cfg.Hooks)), another: make(chan struct{}),
		http: &http.Client{Transport: transport(), Timeout: cfg.Timeout}, long: &http.Client{Transport: transport()},
	}
	all, stopAll := context.WithCancel(ctx)
	r.stopAll = stopAll
	for i := range cfg.Hooks {
		r.watchers = append(r.watchers, &watcher{r: r, stream: Stream{Name: fmt.Sprintf("watcher %d", i)}, at: i, ready: make(chan struct{})})
	}
	r.watchers = append(r.watchers, &watcher{r: r, stream: Stream{Name: "wanderer"}, wanders: true, ready: make(chan struct{})})
	for _, w := range r.watchers {
		r.watching.Go(func() { w.run(all) })
	}
	for _, w := range r.watchers {
		select {
		case <-w.ready:
		case <-ctx.Done():
			err := fmt.Errorf("history: %s has not begun: %w", w.stream.Name, errors.Join(ctx.Err(), w.problem()))
			r.end()
			return nil, err
		}
	}
	work, stopClients := context.WithCancel(all)
	r.stopClients = stopClients
	if len(cfg.DNS) > 0 {
		r.sampler = &sampler{r: r}
		r.watching.Go(func() { r.sampler.run(all) })
	}
	for i := range cfg.Clients {
		c := newClient(r, i)
		r.clients = append(r.clients, c)
		r.working.Go(func() { c.run(work) })
	}
	return r, nil
}

// Now is the time of the recording, as in Op.Call.
func (r *Recorder) Now() time.Duration { return time.Since(r.began) }

// acknowledged counts a write.
func (r *Recorder) acknowledged(at int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes[at]++
	close(r.another)
	r.another = make(chan struct{})
}

// AwaitWrites returns when n more writes were acknowledged by a dnsd, or, if at is
// negative, by any.
func (r *Recorder) AwaitWrites(ctx context.Context, at, n int) error {
	count := func() (sum int, another chan struct{}) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, w := range r.writes {
			if at < 0 || at == i {
				sum += w
			}
		}
		return sum, r.another
	}
	begun, another := count()
	for {
		select {
		case <-another:
		case <-ctx.Done():
			have, _ := count()
			return fmt.Errorf("history: of %d writes at dnsd %d, %d were acknowledged: %w", n, at, have-begun, ctx.Err())
		}
		var have int
		if have, another = count(); have >= begun+n {
			return nil
		}
	}
}

// Restore lets the clients pause while f brings the registry into another life, as the
// restore of its store from a copy does. It returns when all dnsd and watchers are in
// that life.
// What was acknowledged before may be lost by it. It begins when all dnsd have the same
// revision: one that had more than the next writer would begin another life after it.
func (r *Recorder) Restore(ctx context.Context, f func()) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	before, err := r.agreed(ctx, func(listing) bool { return true })
	if err != nil {
		return err
	}
	f()
	_, err = r.agreed(ctx, func(l listing) bool {
		for _, w := range r.watchers {
			if w.position().Life != l.Life {
				return false
			}
		}
		return l.Life != before[0].Life
	})
	if err != nil {
		return fmt.Errorf("history: no other life has begun: %w", err)
	}
	r.life++
	return nil
}

// agreed waits until all dnsd are at the same revision of one life.
func (r *Recorder) agreed(ctx context.Context, ok func(listing) bool) ([]listing, error) {
	for {
		all, err := r.lists(ctx)
		if err == nil && ok(all[0]) {
			return all, nil
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// lists returns the state of all dnsd, or an error if they differ.
func (r *Recorder) lists(ctx context.Context) ([]listing, error) {
	var all []listing
	for i := range r.cfg.Hooks {
		l, err := r.list(ctx, i)
		if err != nil {
			return nil, err
		}
		if i > 0 && (l.Life != all[0].Life || l.Revision != all[0].Revision) {
			return nil, fmt.Errorf("history: dnsd %d is at revision %d of life %s, dnsd 0 at %d of %s", i, l.Revision, l.Life, all[0].Revision, all[0].Life)
		}
		all = append(all, l)
	}
	return all, nil
}

// Finish ends the clients, waits until all dnsd and watchers have come to the same
// revision, and returns what was recorded. With an error, because they did not until the
// context ended, the history is what there is.
func (r *Recorder) Finish(ctx context.Context) (*History, error) {
	r.stopClients()
	r.working.Wait()
	finals, err := r.finals(ctx)
	r.end()
	h := &History{Zone: r.cfg.Zone, Service: r.cfg.Service, Lives: r.life + 1, Finals: finals}
	for _, c := range r.clients {
		h.Ops = append(h.Ops, c.ops...)
	}
	for _, w := range r.watchers {
		h.Streams = append(h.Streams, w.stream)
	}
	if r.sampler != nil {
		h.Transfers = r.sampler.transfers
		for _, f := range finals {
			h.Transfers = append(h.Transfers, f.Zone)
		}
	}
	return h, err
}

// end stops everything that still runs.
func (r *Recorder) end() {
	if r.stopClients != nil {
		r.stopClients()
	}
	r.stopAll()
	r.working.Wait()
	r.watching.Wait()
	r.http.CloseIdleConnections()
	r.long.CloseIdleConnections()
}

func (r *Recorder) finals(ctx context.Context) ([]Final, error) {
	var why error
	for {
		all, err := r.agreed(ctx, func(l listing) bool {
			for _, w := range r.watchers {
				if w.position() != l.position {
					why = fmt.Errorf("history: %s is at %v, the registry is at %v", w.stream.Name, w.position(), l.position)
					return false
				}
			}
			return true
		})
		if err != nil {
			return nil, errors.Join(err, why)
		}
		var finals []Final
		for i, l := range all {
			f := Final{At: i, Life: l.Life, Revision: l.Revision, Listed: l.Listed}
			if len(r.cfg.DNS) > 0 {
				if f.Zone, err = r.transfer(ctx, i); err != nil {
					return nil, fmt.Errorf("history: transfer of %s from dnsd %d: %w", r.cfg.Zone, i, err)
				}
			}
			finals = append(finals, f)
		}
		// If something has changed meanwhile, these do not belong together.
		if again, err := r.lists(ctx); err == nil && again[0].position == all[0].position {
			return finals, nil
		}
	}
}
