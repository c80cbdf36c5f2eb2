package rpcclient

import "sync"

// shares turns counts that only grow into shares since they were last looked at.
type shares struct {
	mu   sync.Mutex // guards last
	last map[string]uint64
}

// since gives each key's share of what was counted since the previous call.
func (s *shares) since(counts map[string]uint64) map[string]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]float64, len(counts))
	var total float64
	for key, n := range counts {
		fresh := n
		if old := s.last[key]; old <= n {
			fresh = n - old
		}
		out[key] = float64(fresh)
		total += float64(fresh)
	}
	s.last = counts
	for key := range out {
		if total > 0 {
			out[key] /= total
		}
	}
	return out
}
