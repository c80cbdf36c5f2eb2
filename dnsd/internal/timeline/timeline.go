package timeline

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"iter"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

const (
	// mostChanges is 40 seconds of the churn that a registry of 10,000 instances has when
	// all of them are deployed within two minutes; it takes about 1 MiB.
	mostChanges = 8192
	// mostSigned bounds the signatures of changes that are not here yet: a follower gets a
	// change from the store, at about the time of the writer's answer.
	mostSigned = 64
	// mostNotes bounds the events that are no change, and mostLate the late renewals. Each
	// have a ring of their own: instances that renew late every time must push neither the
	// changes out nor what operators did.
	mostNotes, mostLate = 1024, 1024
)

// Timeline has the last events. It is safe for concurrent use.
type Timeline struct {
	mu   sync.Mutex // guards what follows
	id   string     // of this timeline, so that a cursor of another one is known as such
	last uint64     // number of the newest event
	// Revisions grow, until a load brings lower ones: those of another store. Then before
	// is the number of the last event with the earlier ones.
	before  uint64
	known   uint64 // the newest revision of those that grow
	moved   bool   // the next load is by another registry
	changes ring
	notes   ring
	late    ring
	signed  []signature   // of changes that are not here yet, the oldest first
	added   chan struct{} // closed when an event is added; nil: no one waits
}

// record is an event as it is kept.
type record struct {
	registry.Change
	seq  uint64
	kind kind
	who  string
	left time.Duration // of a lease that was renewed late
	note *Note
}

// signature is the sender of the request for the change at a revision.
type signature struct {
	revision uint64
	who      string
}

// kind says what a record is.
type kind uint8

const (
	change kind = iota
	lateRenewal
	noted
	loaded // the content was replaced: changes may be missing
)

// Note is an event that is no change of an instance.
type Note struct {
	What, Who, Why string
	Service        string // "": it concerns all of them
}

// New returns an empty timeline.
func New() *Timeline {
	return &Timeline{id: newID(), changes: ring{most: mostChanges}, notes: ring{most: mostNotes}, late: ring{most: mostLate}}
}

func newID() string {
	var b [4]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Reset forgets everything: what follows is of another zone, whose readers may not know of
// this one. No registry may be attached.
func (t *Timeline) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.id, t.last, t.before, t.known, t.moved, t.signed = newID(), 0, 0, 0, false, nil
	for _, r := range t.ringsLocked() {
		*r = ring{most: r.most}
	}
	t.wakeLocked()
}

// Move says that the next load is by another registry of the same zone.
func (t *Timeline) Move() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moved = true
}

var _ registry.LateSink = (*Timeline)(nil)

// Apply implements registry.Sink.
func (t *Timeline) Apply(changes []registry.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		e := record{Change: c}
		if len(t.signed) > 0 {
			i := slices.IndexFunc(t.signed, func(s signature) bool { return s.revision == c.Revision })
			if i >= 0 {
				e.who = t.signed[i].who
				t.signed = slices.Delete(t.signed, i, i+1)
			}
		}
		t.known = c.Revision
		t.addLocked(&t.changes, e)
	}
}

// Load implements registry.Sink. A new timeline begins with the changes that the registry
// still knows. Later a load without a history replaces the content of a follower, which
// has missed changes. A load with one, although it may be empty, is by a registry that has told
// all changes already, unless it is another registry.
func (t *Timeline) Load(revision uint64, _ iter.Seq[*registry.Instance], history []registry.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	falls := revision < t.known
	if (falls || revision > t.known && (history == nil || t.moved)) && t.last > 0 {
		t.addLocked(&t.notes, record{kind: loaded, Change: registry.Change{Revision: revision, Time: time.Now()}})
	}
	t.moved = false
	if falls {
		t.before, t.known, t.signed = t.last, 0, nil
	}
	for _, c := range history {
		if c.Revision > t.known {
			t.addLocked(&t.changes, record{Change: c})
		}
	}
	t.known = revision
}

// Late implements registry.LateSink.
func (t *Timeline) Late(in *registry.Instance, left time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(&t.late, record{kind: lateRenewal, left: left, Change: registry.Change{Time: time.Now(), New: in}})
}

// Add adds an event that is no change.
func (t *Timeline) Add(n Note) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(&t.notes, record{kind: noted, who: n.Who, note: &n, Change: registry.Change{Time: time.Now()}})
}

// Sign names the sender of the request for the change at a revision. It may come before the change. A
// revision that is no longer there is ignored.
func (t *Timeline) Sign(revision uint64, who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if revision > t.known {
		if len(t.signed) == mostSigned {
			t.signed = slices.Delete(t.signed, 0, 1)
		}
		t.signed = append(t.signed, signature{revision, who})
		return
	}
	first := t.changes.after(t.before)
	i := first + sort.Search(t.changes.len()-first, func(i int) bool { return t.changes.at(first+i).Revision >= revision })
	if i < t.changes.len() && t.changes.at(i).Revision == revision {
		t.changes.at(i).who = who
	}
}

func (t *Timeline) addLocked(r *ring, e record) {
	t.last++
	e.seq = t.last
	r.add(e)
	t.wakeLocked()
}

func (t *Timeline) wakeLocked() {
	if t.added != nil {
		close(t.added)
		t.added = nil
	}
}

// Cursor is a place in a timeline, after an event. The zero value is before all of them.
type Cursor struct {
	timeline string
	seq      uint64
}

// String is "9f86d081-57".
func (c Cursor) String() string { return c.timeline + "-" + strconv.FormatUint(c.seq, 10) }

// ParseCursor reads what String returns.
func ParseCursor(s string) (Cursor, error) {
	id, seq, ok := strings.Cut(s, "-")
	n, err := strconv.ParseUint(seq, 10, 64)
	if _, bad := hex.DecodeString(id); !ok || err != nil || bad != nil || len(id) != 8 {
		return Cursor{}, errors.New("timeline: no cursor")
	}
	return Cursor{id, n}, nil
}

// Page is a part of the events, oldest first.
type Page struct {
	Events []Event
	Next   Cursor // after the last event that was looked at
	// Missed: there were events between the cursor and these that are no longer known.
	Missed bool
}

// Last returns the newest events of which wanted says yes, at most most.
func (t *Timeline) Last(most int, wanted func(service string) bool) Page {
	t.mu.Lock()
	p := Page{Next: Cursor{t.id, t.last}}
	var found []record
	for e := range t.backwardLocked() {
		if len(found) == most {
			break
		}
		if wanted(e.service()) {
			found = append(found, *e)
		}
	}
	t.mu.Unlock()
	slices.Reverse(found)
	p.Events = describe(found)
	return p
}

// After returns the events after a cursor, oldest first, at most most.
func (t *Timeline) After(c Cursor, most int, wanted func(service string) bool) Page {
	t.mu.Lock()
	p := Page{Next: Cursor{t.id, t.last}}
	after := c.seq
	if c.timeline != t.id || after > t.last {
		after = 0
		// What another timeline had after the cursor is not known here. The next page
		// follows on this one, and does not say it.
		p.Missed = c.timeline != "" || t.last > 0
	}
	var found []record
	for e := range t.forwardLocked(after) {
		if !wanted(e.service()) {
			continue
		}
		if len(found) == most {
			p.Next.seq = found[most-1].seq
			break
		}
		found = append(found, *e)
	}
	// A ring that has dropped events after the cursor has missed them.
	for _, r := range t.ringsLocked() {
		p.Missed = p.Missed || r.dropped > after
	}
	t.mu.Unlock()
	p.Events = describe(found)
	return p
}

// Added returns a channel that is closed when there is an event after c. nil: there is one.
func (t *Timeline) Added(c Cursor) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.timeline != t.id || c.seq != t.last {
		return nil
	}
	if t.added == nil {
		t.added = make(chan struct{})
	}
	return t.added
}

// ringsLocked are all rings. Each has its events in order.
func (t *Timeline) ringsLocked() [3]*ring { return [...]*ring{&t.changes, &t.notes, &t.late} }

// backwardLocked yields all events, the newest first.
func (t *Timeline) backwardLocked() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		rings := t.ringsLocked()
		var left [len(rings)]int // events of each ring that were not yielded
		for i, r := range rings {
			left[i] = r.len()
		}
		for {
			var e *record
			from := 0
			for i, r := range rings {
				if left[i] > 0 && (e == nil || r.at(left[i]-1).seq > e.seq) {
					e, from = r.at(left[i]-1), i
				}
			}
			if e == nil || !yield(e) {
				return
			}
			left[from]--
		}
	}
}

// forwardLocked yields the events after one, the oldest first.
func (t *Timeline) forwardLocked(after uint64) iter.Seq[*record] {
	return func(yield func(*record) bool) {
		rings := t.ringsLocked()
		var next [len(rings)]int
		for i, r := range rings {
			next[i] = r.after(after)
		}
		for {
			var e *record
			from := 0
			for i, r := range rings {
				if next[i] < r.len() && (e == nil || r.at(next[i]).seq < e.seq) {
					e, from = r.at(next[i]), i
				}
			}
			if e == nil || !yield(e) {
				return
			}
			next[from]++
		}
	}
}

// ring is the last most records. It grows up to there.
type ring struct {
	most    int
	records []record
	first   int    // index of the oldest one
	dropped uint64 // number of the newest event that was dropped
}

func (r *ring) len() int { return len(r.records) }

func (r *ring) at(i int) *record {
	if i += r.first; i >= len(r.records) {
		i -= len(r.records)
	}
	return &r.records[i]
}

// after is the index of the first event with a higher number than seq.
func (r *ring) after(seq uint64) int {
	return sort.Search(r.len(), func(i int) bool { return r.at(i).seq > seq })
}

func (r *ring) add(e record) {
	if len(r.records) < r.most {
		r.records = append(r.records, e)
		return
	}
	old := &r.records[r.first]
	r.dropped = old.seq
	*old = e
	if r.first++; r.first == r.most {
		r.first = 0
	}
}

// Tests: timeline_test.go.
