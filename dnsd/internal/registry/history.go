package registry

import (
	"sort"
	"time"
)

// history is the last changes of this life, one for each revision, without gaps. It is
// bounded by count and age. It is trimmed in steps, so that few events are moved.
type history struct {
	events []*Event // ordered; events[i].Revision == events[0].Revision + i
	max    int
	age    time.Duration
}

// add appends a change that was committed.
func (h *history) add(e *Event) { h.events = append(h.events, e) }

// trim drops changes that are too many or too old.
func (h *history) trim(now time.Time) {
	n := 0
	if over := len(h.events) - h.max; over > h.max/16 {
		n = over
	}
	limit := now.Add(-h.age)
	if old := sort.Search(len(h.events), func(i int) bool { return h.events[i].Time.After(limit) }); old > n &&
		(old > h.max/16 || h.events[0].Time.Before(limit.Add(-h.age/16))) {
		n = old
	}
	if n > 0 {
		kept := copy(h.events, h.events[n:])
		clear(h.events[kept:])
		h.events = h.events[:kept]
	}
}

// index returns the index of the first event not before revision.
func (h *history) index(revision uint64) int {
	if len(h.events) == 0 || revision <= h.events[0].Revision {
		return 0
	}
	return int(min(revision-h.events[0].Revision, uint64(len(h.events))))
}

// since returns the events after revision. It returns false if the history does not reach
// so far back, or if revision is above current.
func (h *history) since(revision, current uint64) ([]*Event, bool) {
	if revision > current {
		return nil, false
	}
	if revision == current {
		return nil, true
	}
	if len(h.events) == 0 || h.events[0].Revision > revision+1 {
		return nil, false
	}
	return h.events[h.index(revision+1):], true
}

// Tests: watch_test.go.
