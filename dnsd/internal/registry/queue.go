package registry

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxBatch bounds the requests that share one commit, and so the time that the first of
// them waits.
const maxBatch = 4096

// op is one request in the queue.
type op struct {
	// decide plans the changes. If it returns an error, it must have planned none. It
	// is called with mu held, and a second time if the commit failed and unstored is set.
	decide func(*plan) error
	// unstored says that the changes are made even if they cannot be stored, and are then
	// owed to the store. It is not for changes that add an instance.
	unstored bool
	owed     error // why the changes, which were made, are not stored
	settle   bool  // commits what is owed, even if nothing changed
	// after is called without mu, after the changes of the batch were published and before
	// the next batch.
	after  func()
	err    error
	turn   chan bool // true: lead the next batch; false: done
	single bool      // nothing else is in its batch
	last   bool      // the queue is closed after it
	taken  bool      // by a leader; guarded by queue.mu
}

// queue gathers requests while a commit is running. The first request that finds the
// queue idle becomes the leader. It commits its own change together with everything
// queued, then makes the first request that waits the next leader. So concurrent
// requests share a sync, a request to an idle registry needs no other goroutine, and
// the queue has no goroutine that must be stopped.
type queue struct {
	mu     sync.Mutex
	ops    []*op         // guarded by mu
	led    bool          // guarded by mu
	closed bool          // guarded by mu
	last   lastCommit    // guarded by mu
	most   int           // requests in one commit
	want   int           // guarded by mu; the number of ops that the leader waits for; 0: it does not wait
	full   chan struct{} // gets one value when want ops are there
	vain   int           // guarded by mu; waits one after the other that were not worth it
	skip   int           // guarded by mu; how many leaders do not wait
}

// mostVain bounds how rarely a leader waits: one of 63.
const mostVain = 6

// mostPatience bounds what a leader waits: another dnsd has passed on by then what its
// clients send after their answers.
const mostPatience = 5 * time.Millisecond

// lastCommit tells the next leader how long to wait for other requests.
type lastCommit struct {
	ended   time.Time
	took    time.Duration
	clients int // requests that it answered, and requests that waited at its end
}

// submit runs o in its turn and returns its error. When ctx is canceled it takes o back,
// unless a leader has taken o already: then it waits for the outcome.
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

// gather returns the batch that o leads. Clients that were just answered usually send the
// next request immediately. If the leader did not wait briefly for them, the clients
// would split into two groups that alternate, and every commit would carry half as many
// changes; or the first client that comes again would have a commit of its own, for which
// all others wait. So if less than half of them are there, the leader waits for as many
// requests as the last commit had, but no longer than half of the time that it took.
//
// Clients may come later than that, above all those of another registry, which passes
// their requests on. After a wait that brought less than half of the requests, fewer and
// fewer leaders wait, until one wait was worth it.
func (q *queue) gather(o *op) []*op {
	const worthwhile = 20 * time.Microsecond // a shorter wait costs more than it saves
	q.mu.Lock()
	defer q.mu.Unlock()
	others := q.last.clients - 1
	if missing := others - len(q.ops); 2*missing >= q.last.clients && missing > 0 && time.Since(q.last.ended) < q.last.took {
		patience := min(q.last.took/2, mostPatience)
		switch {
		case patience < worthwhile:
		case q.skip > 0:
			q.skip--
		default:
			q.want = others
			q.mu.Unlock()
			timer := time.NewTimer(patience)
			select {
			case <-q.full:
			case <-timer.C:
			}
			timer.Stop()
			q.mu.Lock()
			if q.want == 0 { // full has a value, which may have come after the timer
				select {
				case <-q.full:
				default:
				}
			}
			q.want = 0
			if q.vain++; 2*(others-len(q.ops)) <= missing {
				q.vain = 0
			}
			q.vain = min(q.vain, mostVain)
			q.skip = 1<<q.vain - 1
		}
	}
	n := min(len(q.ops), q.most-1)
	if o.single {
		n = 0
	} else if i := slices.IndexFunc(q.ops[:n], func(x *op) bool { return x.single }); i >= 0 {
		n = i
	}
	batch := append(make([]*op, 0, n+1), o)
	batch = append(batch, q.ops[:n]...)
	q.ops = append(q.ops[:0], q.ops[n:]...)
	for _, x := range batch {
		x.taken = true
	}
	return batch
}

// lead commits a batch, wakes the requests of the batch, and appoints the next leader.
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
