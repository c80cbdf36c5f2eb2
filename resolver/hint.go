package resolver

import "time"

const (
	// seriesSpan is how long the questions of a series take. The event that makes a client
	// give a hint makes others do so at the same moment. It is the shortest time over which
	// a thousand clients are an even load.
	seriesSpan = time.Second
	// seriesSize is how many questions a series has. One client sees a change after a tenth
	// of a second on average: about as long as a server needs to start again.
	seriesSize = 5
	// seriesPause is the longest time from a series that found nothing to the next,
	// unless the TTL is longer.
	seriesPause = 10 * time.Minute
)

// hint is what a caller of Refresh wants: that the name is asked for sooner than it is due.
// It makes a series of questions, one at a random moment of each part of seriesSpan.
//
// Connections may fail for a day while DNS has no news. So after each series that found
// nothing, the next one waits twice as long, from a TTL on, and has one question less, down
// to one. A changed answer ends that.
type hint struct {
	begun time.Time // when the last series began
	size  int       // how many questions it has
	done  int       // how many of them have begun
	next  time.Time // when the next question is due; zero: the series is over
	more  bool      // another series is wanted after this one
	news  bool      // the endpoints have changed since it began
	vain  int       // how many series in a row found no news
	pause time.Time // without news, no series begins before this
}

func (h *hint) pending() bool { return !h.next.IsZero() }

// take takes a hint, and reports whether it changes anything.
func (h *hint) take(now time.Time, random func() float64) bool {
	switch {
	case h.pending():
		h.more = h.more || h.news
		return false
	case !h.news && now.Before(h.pause):
		return false
	case h.news:
		h.vain = 0
	}
	h.begin(now, random)
	return true
}

func (h *hint) begin(now time.Time, random func() float64) {
	h.begun, h.done, h.more, h.news = now, 0, false, false
	h.size = max(seriesSize-h.vain, 1)
	h.plan(random)
}

// plan draws the moment of the next question.
func (h *hint) plan(random func() float64) {
	part := float64(seriesSpan) / float64(h.size)
	h.next = h.begun.Add(time.Duration(part * (float64(h.done) + random())))
}

// asked notes that a question begins. The series is over with its last one.
func (h *hint) asked(now time.Time, ttl time.Duration, random func() float64) {
	for h.pending() && !h.next.After(now) {
		if h.done++; h.done < h.size {
			h.plan(random)
			continue
		}
		h.next = time.Time{}
		switch {
		case h.more:
			h.vain = 0
			h.begin(h.begun.Add(seriesSpan), random) // not from now: the load of many clients stays even
			return
		case h.news: // the next hint is as good as the first
			h.vain = 0
			return
		}
		const doubled = 16 // enough to pass any limit
		wait := min(ttl<<min(h.vain, doubled), max(ttl, seriesPause))
		h.pause = now.Add(time.Duration(float64(wait) * (1 + random()/2)))
		h.vain++
	}
}
