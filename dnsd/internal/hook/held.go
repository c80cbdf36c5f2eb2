package hook

import (
	"iter"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// held is one instance whose hold is open. All fields but why belong to its goroutine.
type held struct {
	bearer *exchange // the sender, without the rest of its request
	key    registry.Key
	in     *registry.Instance // as last seen
	line   line
	beats  bool // the client sends heartbeats
	// renewed is when the lease was renewed last, or, with heartbeats, when one came.
	renewed time.Time
	again   time.Time // when a renewal that no writer took is tried again; zero: it was taken
	asked   time.Time // when its host was asked, after the end of the lease; zero: not yet

	mu  sync.Mutex // guards why
	why string     // the reason to end; "": there is none yet
}

// end makes the hold end. The first reason counts. It does not block.
func (h *held) end(reason string) {
	h.mu.Lock()
	if h.why == "" {
		h.why = reason
	}
	h.mu.Unlock()
	h.line.wake()
}

func (h *held) ending() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}

// holds has the newest hold of each instance.
type holds struct {
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	n      int        // places taken
	byKey  map[registry.Key]*held
	closed bool
}

func newHolds() *holds { return &holds{byKey: make(map[registry.Key]*held)} }

// enter takes a place for one more hold; leave gives it back. It returns false if
// there are most already, or if no hold may begin any more.
func (hs *holds) enter(most int) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.closed || hs.n >= most {
		return false
	}
	hs.n++
	hs.running.Add(1)
	return true
}

func (hs *holds) leave() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.n--
	hs.running.Done()
}

// take makes h the hold of its instance. The former hold ends. h looks at its instance,
// because it was not told of changes before this.
func (hs *holds) take(h *held) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.closed {
		h.end(endShutdown)
		return
	}
	if old := hs.byKey[h.key]; old != nil {
		old.end(endSuperseded)
	}
	hs.byKey[h.key] = h
	h.line.wake()
}

// drop forgets h, and says whether it was still the hold of its instance.
func (hs *holds) drop(h *held) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byKey[h.key] != h {
		return false
	}
	delete(hs.byKey, h.key)
	return true
}

// Apply lets the holds of instances that changed look at them again: it makes holds a
// registry.Sink. It costs one map access a change. If each hold watched the registry
// instead, every change of a service would cost all of its holds.
func (hs *holds) Apply(changes []registry.Change) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if len(hs.byKey) == 0 {
		return
	}
	for i := range changes {
		if h := hs.byKey[changes[i].Key()]; h != nil {
			h.line.wake()
		}
	}
}

// Load is Apply of any changes.
func (hs *holds) Load(uint64, iter.Seq[*registry.Instance], []registry.Change) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, h := range hs.byKey {
		h.line.wake()
	}
}

// close ends all holds. No further hold begins.
func (hs *holds) close() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.closed = true
	for _, h := range hs.byKey {
		h.end(endShutdown)
	}
}

func (hs *holds) count() int {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return len(hs.byKey)
}

// Tests: heartbeat_test.go, hold_test.go.
