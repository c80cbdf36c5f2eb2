package history

import (
	"errors"
	"fmt"
	"time"
)

// History is what a Recorder has recorded.
type History struct {
	Zone    string // "svc."
	Service string // of the clients' instances: "_history._tcp"
	Lives   int    // of the registry: 1, and one more for each Recorder.Restore
	// Unused bounds the revisions that were used up without a change. A writer that does
	// not know an outcome in a full store uses up one, and its log says so.
	Unused int
	// Once: no request was done twice. Else, the dnsd that was asked may have passed one on
	// twice before it answered, which older members do.
	Once bool

	Ops       []*Op
	Streams   []Stream
	Transfers []Transfer
	Finals    []Final // of each dnsd, after the last operation
}

// Stream is what one watcher saw.
type Stream struct {
	Name  string // "dnsd 0", or "wanderer"
	Parts []Part // in order
}

// Part is what came over one connection of a watcher.
type Part struct {
	At    int    // the dnsd
	Life  string // of the registry
	Since uint64 // the events are those after this revision
	// Whole means that it begins with the state instead of going on where the part before
	// ended. Listed are then the instances of the clients, at revision ListedAt.
	Whole    bool
	Listed   []Listed
	ListedAt uint64
	Events   []Event
	Ended    string // why
}

// Event is one change that a watcher was told, of any service.
type Event struct {
	Life     string // in its id
	Revision uint64
	Service  string
	ID       string
	Deleted  bool
	Instance Instance // as it is, or was
	State    string   // of the instance: "up"
	Data     string   // as it was sent
	Time     time.Duration
}

// Transfer is the zone, as one dnsd sent it.
type Transfer struct {
	At      int
	Life    int // as in Op
	Serial  uint32
	Records []string // in presentation format, in the order in which they came
	Time    time.Duration
}

// Final is the state of one dnsd at the end.
type Final struct {
	At       int
	Life     string
	Revision uint64 // of the registry
	Listed   []Listed
	Zone     Transfer
}

// Check returns nil, or what is wrong: the first twenty findings.
func (h *History) Check() error {
	r := &report{}
	lives := h.timelines(r)
	h.checkStreams(r, lives)
	h.checkAnswers(r, lives)
	h.checkOrder(r)
	h.checkAsked(r, lives)
	h.checkFinals(r, lives)
	h.checkReads(r, lives)
	h.checkTransfers(r, lives)
	h.checkLinear(r, lives)
	return r.err()
}

// most bounds the findings that are told: one fault often causes many.
const most = 20

// report gathers findings.
type report struct {
	all  []error
	more int
}

func (r *report) addf(format string, args ...any) {
	if len(r.all) == most {
		r.more++
		return
	}
	r.all = append(r.all, fmt.Errorf("history: "+format, args...))
}

func (r *report) err() error {
	if r.more > 0 {
		return errors.Join(append(r.all, fmt.Errorf("history: and %d more findings", r.more))...)
	}
	return errors.Join(r.all...)
}

// Gap is the longest time in which no write of the clients was acknowledged, and when it
// began.
func (h *History) Gap() (length, began time.Duration) {
	last := time.Duration(0)
	for _, o := range byReturn(h.Ops) {
		if !o.Kind.writes() || o.Outcome != Done {
			continue
		}
		if o.Return-last > length {
			length, began = o.Return-last, last
		}
		last = o.Return
	}
	return length, began
}

// Count says how many operations of these kinds had an outcome, at one dnsd; -1 is all.
func (h *History) Count(outcome Outcome, at int, kinds ...Kind) int {
	n := 0
	for _, o := range h.Ops {
		for _, k := range kinds {
			if o.Kind == k && o.Outcome == outcome && (at < 0 || o.At == at) {
				n++
			}
		}
	}
	return n
}

// Tests: check_test.go.
