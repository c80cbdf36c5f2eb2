package registry

import (
	"context"
	"sync"
)

// Event is a change as watches deliver it. All of them share it.
type Event struct {
	Change
	Life    Life // of the registry
	once    sync.Once
	encoded []byte
}

// Position returns the position from which a watch resumes after the event.
func (e *Event) Position() Position { return Position{e.Life, e.Revision} }

// Encoded returns the event as encoded by enc. It is encoded once for all watches: all
// callers must use the same enc, and must not change the bytes.
func (e *Event) Encoded(enc func(*Event) []byte) []byte {
	e.once.Do(func() { e.encoded = enc(e) })
	return e.encoded
}

// Watch delivers changes, ordered by revision, each exactly once. One goroutine at a time
// may read it.
type Watch struct {
	r       *Registry
	service string // "": all
	since   uint64 // the revision after which it began
	cursor  uint64 // used by the reader: the revision it has seen, while it catches up
	from    uint64 // events after this revision are delivered to queue; set before it joins
	live    bool   // used by the reader: it has caught up
	spare   []*Event

	mu     sync.Mutex
	queue  []*Event      // guarded by mu
	err    error         // guarded by mu; why no events follow those in queue
	signal chan struct{} // has a value if queue or err may have changed
}

// catchUp is how many events of the history Next returns at once. It bounds the memory
// of a reader that resumes after a long time.
const catchUp = 256

// lookAt is how many events catchUp looks at while renewals wait.
const lookAt = 2048

// Watch begins to watch a service ("": all services). It delivers everything after since,
// or, if since is nil, everything from now on. The service need not exist.
//
// Errors: *FieldError, ErrCompacted (also for a position of another life),
// ErrClosed.
func (r *Registry) Watch(service string, since *Position) (*Watch, error) {
	if service != "" {
		if err := CheckService(service); err != nil {
			return nil, err
		}
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	from := r.revision
	if since != nil {
		if since.Life != r.life {
			return nil, ErrCompacted
		}
		from = since.Revision
	}
	w := &Watch{r: r, service: service, since: from, cursor: from, signal: make(chan struct{}, 1)}
	if _, ok := r.history.since(from, r.revision); !ok {
		return nil, ErrCompacted
	}
	if from == r.revision {
		w.live, w.from = true, from
		if !r.watchers.join(w) {
			return nil, ErrClosed
		}
	}
	return w, nil
}

// Since returns the revision after which the watch began.
func (w *Watch) Since() uint64 { return w.since }

// Next waits until there are events, and returns them. The caller may use the slice until
// the next call.
//
// Errors: ctx's, ErrSlow (the reader was too slow, and the watch was cut off),
// ErrCompacted (the history was trimmed while the reader caught up), ErrClosed.
func (w *Watch) Next(ctx context.Context) ([]*Event, error) {
	if !w.live {
		if events, err := w.catchUp(); err != nil || len(events) > 0 {
			return events, err
		}
	}
	for {
		w.mu.Lock()
		if events := w.queue; len(events) > 0 {
			clear(w.spare)
			w.queue, w.spare = w.spare[:0], events
			w.mu.Unlock()
			return events, nil
		}
		err := w.err
		w.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-w.signal:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// catchUp reads from the history. At its end the watch is live.
func (w *Watch) catchUp() ([]*Event, error) {
	for {
		events, err := w.readHistory()
		if err != nil || len(events) > 0 || w.live {
			return events, err
		}
	}
}

// readHistory reads a part of the history.
func (w *Watch) readHistory() ([]*Event, error) {
	r := w.r
	r.mu.RLock()
	defer r.mu.RUnlock()
	history, ok := r.history.since(w.cursor, r.revision)
	if !ok {
		return nil, ErrCompacted
	}
	var events []*Event
	for i, e := range history {
		if len(events) == catchUp || i == lookAt {
			return events, nil
		}
		if w.service == "" || w.service == e.Key().Service {
			events = append(events, e)
		}
		w.cursor = e.Revision
	}
	// Nothing is published while mu is held: the next event is delivered to the queue.
	w.live, w.from = true, r.revision
	if !r.watchers.join(w) {
		return nil, ErrClosed
	}
	return events, nil
}

// Close ends the watch. A Next that waits returns ErrClosed.
func (w *Watch) Close() {
	w.r.watchers.remove(w)
	w.cut(ErrClosed)
}

// push queues an event. It returns false if the reader is too slow.
func (w *Watch) push(e *Event, limit int) bool {
	w.mu.Lock()
	ok := len(w.queue) < limit
	if ok {
		w.queue = append(w.queue, e)
	}
	w.mu.Unlock()
	if !ok {
		w.cut(ErrSlow)
		return false
	}
	w.wake()
	return true
}

// cut ends the watch for a reason. The queue is dropped.
func (w *Watch) cut(reason error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = reason
	}
	w.queue = nil
	w.mu.Unlock()
	w.wake()
}

func (w *Watch) wake() {
	select {
	case w.signal <- struct{}{}:
	default:
	}
}
