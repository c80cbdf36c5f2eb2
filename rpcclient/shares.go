package rpcclient

import (
	"sync"
	"time"
)

// shares turns counts that only grow into shares of the last minute or so: since the
// oldest look of that time. So several readers do not disturb each other, and nothing
// is kept for a page that nobody reads.
type shares struct {
	mu    sync.Mutex // guards looks
	looks []counted  // oldest first
}

// counted is what a look has seen.
type counted struct {
	at     time.Time
	counts map[string]uint64
}

const (
	lookedFor = time.Minute
	lookEvery = time.Second // looks closer together are not remembered
)

// look gives each key's share of what was counted since an earlier look, and when that
// was; the first look counts everything.
func (s *shares) look(counts map[string]uint64, now time.Time) (map[string]float64, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The last one before the minute serves when there is none within it.
	for len(s.looks) > 1 && now.Sub(s.looks[0].at) > lookedFor {
		s.looks = s.looks[1:]
	}
	var since counted
	if len(s.looks) > 0 {
		since = s.looks[0]
	}
	if n := len(s.looks); n == 0 || now.Sub(s.looks[n-1].at) >= lookEvery {
		s.looks = append(s.looks, counted{now, counts})
	}
	out := make(map[string]float64, len(counts))
	var total float64
	for key, n := range counts {
		fresh := n
		if old := since.counts[key]; old <= n {
			fresh = n - old
		}
		out[key] = float64(fresh)
		total += float64(fresh)
	}
	for key := range out {
		if total > 0 {
			out[key] /= total
		}
	}
	return out, since.at
}
