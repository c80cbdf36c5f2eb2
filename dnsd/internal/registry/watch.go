package registry

import (
	"context"
	"sync"
)

// Event is a change as watchers get it, shared by all of them.
type Event struct {
	Change
	Life    Life // in which it happened
	once    sync.Once
	encoded []byte
}

// Position of the event, to resume after it.
func (e *Event) Position() Position { return Position{e.Life, e.Revision} }

// Encoded returns what enc makes of the event. It is made once for all
// watchers, who must all use the same enc and not change the bytes.
func (e *Event) Encoded(enc func(*Event) []byte) []byte {
	e.once.Do(func() { e.encoded = enc(e) })
	return e.encoded
}

// Watch delivers changes in order of revision: each once, none left out. It is
// for one reader at a time.
type Watch struct {
	r       *Registry
	service string // "": all
	since   uint64 // where it began
	cursor  uint64 // the reader's: seen up to here, while it catches up
	from    uint64 // live events are those after this; written before it is added
	live    bool   // the reader's: it has caught up
	spare   []*Event

	mu     sync.Mutex
	queue  []*Event      // guarded by mu
	err    error         // guarded by mu; why there is nothing after the queue
	signal chan struct{} // one when there may be something
}

// catchUp is how many events of the history Next returns at once: a reader that
// comes back after long costs memory for no more than these.
const catchUp = 256

// lookAt is how many events catchUp looks at while it holds up renewals.
const lookAt = 2048

// Watch begins to watch a service ("": all): everything after since; nil: from now
// on. The service need not exist.
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

// Since is the revision after which the watch began.
func (w *Watch) Since() uint64 { return w.since }

// Next waits for events, at least one. The slice is the caller's until the next
// call.
//
// Errors: ctx's, ErrSlow (the reader was too slow and was cut off),
// ErrCompacted (the history went away while it caught up), ErrClosed.
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

// catchUp reads from the history; when it reaches the end, the watch is live.
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
	// Nothing is published while mu is held: what comes next is delivered.
	w.live, w.from = true, r.revision
	if !r.watchers.join(w) {
		return nil, ErrClosed
	}
	return events, nil
}

// Close ends the watch; a Next that waits returns ErrClosed.
func (w *Watch) Close() {
	w.r.watchers.remove(w)
	w.cut(ErrClosed)
}

// push queues an event; false: the reader is too slow.
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

// cut ends it for a reason; what was queued is dropped.
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
