package balancer

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Budget limits retries and hedges to a share of the calls, so that when everything
// fails, clients do not make it worse. It is a token bucket: each call puts in Ratio,
// each second PerSecond, and each retry or hedge takes one. Over any time, the extra
// attempts are at most Ratio of the calls, plus PerSecond for each second, plus Burst.
//
// The zero value is ready, holds ten seconds' worth to begin with, and must not be
// copied once in use. It is safe for concurrent use.
type Budget struct {
	Ratio     float64 // of the calls. Default 0.1; negative, or not a number: 0
	PerSecond float64 // for those who call rarely. Default 3; negative, or not a number: 0
	Burst     float64 // what the bucket holds at most. Default 100

	once   sync.Once
	tokens atomic.Int64 // in 1/milli
	ratio  int64
	burst  int64

	mu     sync.Mutex // guards below
	rate   float64    // tokens a second
	filled time.Time  // up to when PerSecond has been put in
}

// milli is the unit of tokens: a ratio of 0.1 % still counts.
const milli = 1000

// unlimited is as good as infinite, and no overflow when counted in milli.
const unlimited = 1e12

func (b *Budget) start() {
	orDefault := func(v, def float64) float64 {
		switch {
		case v == 0:
			return def
		case !(v > 0): // NaN, too
			return 0
		}
		return min(v, unlimited)
	}
	b.ratio = int64(orDefault(b.Ratio, 0.1) * milli)
	b.rate = orDefault(b.PerSecond, 3)
	b.burst = int64(orDefault(b.Burst, 100) * milli)
	b.filled = time.Now()
	b.tokens.Store(min(int64(10*b.rate*milli), b.burst))
}

// Call counts a call, not its retries.
func (b *Budget) Call() {
	b.once.Do(b.start)
	if b.tokens.Load() < b.burst {
		b.tokens.Add(b.ratio)
	}
}

// Take takes what one retry or hedge costs. When it returns false, there must be none.
func (b *Budget) Take() bool {
	b.once.Do(b.start)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if put := int64(now.Sub(b.filled).Seconds() * b.rate * milli); put > 0 {
		// Not to now: what is less than one in milli would be lost each time.
		b.filled = b.filled.Add(time.Duration(math.Ceil(float64(put) / (b.rate * milli) * float64(time.Second))))
		b.tokens.Store(min(b.tokens.Load()+put, b.burst))
	}
	if b.tokens.Load() < milli {
		return false
	}
	b.tokens.Add(-milli)
	return true
}

// Left returns how many retries could be had now.
func (b *Budget) Left() float64 {
	b.once.Do(b.start)
	b.mu.Lock()
	defer b.mu.Unlock()
	left := float64(b.tokens.Load())/milli + time.Since(b.filled).Seconds()*b.rate
	return min(left, float64(b.burst)/milli)
}
