package rpcclient

import (
	"math/bits"
	"sync"
	"time"
)

// latencies knows how long the calls of each hedged method took within the last five to
// ten seconds.
type latencies struct {
	methods sync.Map // string -> *histogram
}

// histogram counts durations in buckets an eighth of a doubling wide, so that a
// quantile is exact to about 10 %.
type histogram struct {
	mu     sync.Mutex // guards what follows
	window int64      // number of the current window
	counts [2][latencyBuckets]uint32
	totals [2]uint32
	credit float64       // hedges that the calls so far allow
	readAt time.Duration // when cached was computed
	share  float64       // of cached
	cached time.Duration
	known  bool
}

const (
	latencyBuckets = 8 * 28 // 1us to about 4 minutes
	latencyWindow  = 5 * time.Second
	quantileFresh  = 50 * time.Millisecond
	// hedgeBurst is how many hedges may be sent at once, when a node stalls after all
	// calls have been quick for long.
	hedgeBurst = 20
	// minHedge is above the jitter of the scheduler, which is no reason to hedge.
	minHedge = 500 * time.Microsecond
)

func latencyBucket(d time.Duration) int {
	us := uint64(max(d/time.Microsecond, 1))
	exp := bits.Len64(us) - 1
	frac := us << 3 >> exp & 7
	return min(exp*8+int(frac), latencyBuckets-1)
}

// latencyBound is the upper end of a bucket.
func latencyBound(i int) time.Duration {
	return time.Duration((uint64(9+i%8)<<(i/8)+7)>>3) * time.Microsecond
}

func (l *latencies) of(method string) *histogram {
	if h, ok := l.methods.Load(method); ok {
		return h.(*histogram)
	}
	h, _ := l.methods.LoadOrStore(method, new(histogram))
	return h.(*histogram)
}

func (l *latencies) record(method string, d, now time.Duration) {
	h := l.of(method)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turnLocked(now)
	w := h.window & 1
	h.counts[w][latencyBucket(d)]++
	h.totals[w]++
}

// turnLocked begins a new window when it is time.
func (h *histogram) turnLocked(now time.Duration) {
	window := int64(now / latencyWindow)
	if window == h.window {
		return
	}
	if window > h.window+1 {
		h.counts, h.totals = [2][latencyBuckets]uint32{}, [2]uint32{}
	} else {
		h.counts[window&1], h.totals[window&1] = [latencyBuckets]uint32{}, 0
	}
	h.window = window
}

// quantile returns the time that this share of the calls takes at most. It is not ok while
// there are too few calls to tell.
func (l *latencies) quantile(method string, share float64, now time.Duration) (d time.Duration, ok bool) {
	h := l.of(method)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.share == share && h.readAt > 0 && now-h.readAt < quantileFresh {
		return h.cached, h.known
	}
	h.turnLocked(now)
	h.share, h.readAt, h.known = share, now, false
	total := h.totals[0] + h.totals[1]
	// With fewer calls than two slow ones are expected in, the slowest is no measure.
	if float64(total)*(1-share) < 2 {
		return 0, false
	}
	rank := uint32(float64(total) * share)
	var seen uint32
	for i := range latencyBuckets {
		if seen += h.counts[0][i] + h.counts[1][i]; seen > rank {
			h.cached, h.known = max(latencyBound(i), minHedge), true
			break
		}
	}
	return h.cached, h.known
}

// earn counts a call of a hedged method, which allows that share of a hedge. Without such
// a credit, all slow calls of a method would be hedged when more of them are slow than its
// share.
func (l *latencies) earn(method string, share float64) {
	h := l.of(method)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.credit = min(h.credit+share, hedgeBurst)
}

// spend asks for a hedge.
func (l *latencies) spend(method string) bool {
	h := l.of(method)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.credit < 1 {
		return false
	}
	h.credit--
	return true
}

// refund takes back the spend of a hedge that was not sent.
func (l *latencies) refund(method string) {
	h := l.of(method)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.credit++
}
