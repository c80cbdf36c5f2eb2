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
	// is called with mu held, and again when the commit failed and unstored is set.
	decide func(*plan) error
	// unstored: when the changes cannot be stored, they are made nevertheless,
	// and owed to the store. Only for what takes nobody in.
	unstored bool
	owed     error // why the changes, which were made, are not stored
	settle   bool  // tries to store, though nothing may have changed
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
