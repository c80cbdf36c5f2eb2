package registry

import (
	"sync/atomic"
	"time"
)

// Durations is a histogram of how long something took.
type Durations struct {
	Counts []uint64 // one for each of DurationBounds, and one for longer times
	Sum    time.Duration
}

// DurationBounds are the upper bounds of the buckets. They reach from a commit in memory
// to a disk that hangs.
func DurationBounds() []time.Duration {
	return []time.Duration{
		100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
		50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second,
	}
}

// durations is a Durations that grows. One goroutine adds at a time.
type durations struct {
	counts [11]atomic.Uint64
	sum    atomic.Int64
}

func (d *durations) add(took time.Duration) {
	i := 0
	for _, bound := range DurationBounds() {
		if took <= bound {
			break
		}
		i++
	}
	d.counts[i].Add(1)
	d.sum.Add(int64(took))
}

func (d *durations) read() Durations {
	out := Durations{Counts: make([]uint64, len(d.counts)), Sum: time.Duration(d.sum.Load())}
	for i := range d.counts {
		out.Counts[i] = d.counts[i].Load()
	}
	return out
}
