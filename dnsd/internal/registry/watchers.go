package registry

import (
	"sync"
	"sync/atomic"
)

// watchers are the live watches.
type watchers struct {
	limit int
	n     atomic.Int64  // number of live watches
	cut   atomic.Uint64 // number of watches that were too slow

	// joinMu guards joined and closing. It is never held for long: Watch takes it while
	// renewals wait.
	joinMu  sync.Mutex
	joined  []*Watch // live, and not in by yet
	closing bool

	mu sync.Mutex                     // held while events are delivered; taken before joinMu
	by map[string]map[*Watch]struct{} // by service, "" for all services; guarded by mu
}

// join makes w live: events that are published later are delivered to it. It returns
// false if the registry is closed.
func (ws *watchers) join(w *Watch) bool {
	ws.joinMu.Lock()
	defer ws.joinMu.Unlock()
	if ws.closing {
		return false
	}
	ws.joined = append(ws.joined, w)
	ws.n.Add(1)
	return true
}

// admitLocked moves the watches that joined into by. Events that were published after a
// watch joined are delivered after admitLocked.
func (ws *watchers) admitLocked() {
	ws.joinMu.Lock()
	joined := ws.joined
	ws.joined = nil
	ws.joinMu.Unlock()
	for _, w := range joined {
		set := ws.by[w.service]
		if set == nil {
			set = make(map[*Watch]struct{})
			ws.by[w.service] = set
		}
		set[w] = struct{}{}
	}
}

func (ws *watchers) remove(w *Watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.admitLocked()
	ws.removeLocked(w)
}

func (ws *watchers) removeLocked(w *Watch) {
	set := ws.by[w.service]
	if _, ok := set[w]; !ok {
		return
	}
	delete(set, w)
	ws.n.Add(-1)
	if len(set) == 0 {
		delete(ws.by, w.service)
	}
}

// deliver pushes events to the watches of their services. A watch that became live after
// an event was published and before it is delivered has that event already.
func (ws *watchers) deliver(events []*Event) {
	if ws.n.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.admitLocked()
	for _, e := range events {
		for _, service := range [...]string{"", e.Key().Service} {
			for w := range ws.by[service] {
				if e.Revision > w.from && !w.push(e, ws.limit) {
					ws.removeLocked(w)
					ws.cut.Add(1)
				}
			}
		}
	}
}

// cutAll ends all live watches with a reason. Further ones may begin.
func (ws *watchers) cutAll(reason error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.admitLocked()
	for _, set := range ws.by {
		for w := range set {
			w.cut(reason)
			ws.n.Add(-1)
		}
	}
	clear(ws.by)
}

func (ws *watchers) close() {
	ws.joinMu.Lock()
	ws.closing = true
	ws.joinMu.Unlock()
	ws.cutAll(ErrClosed)
}
