package balancer

import (
	"math"
	"sync"
	"time"
)

const (
	// memory is the time constant of the averages. Ten seconds is what Finagle and
	// linkerd use for peak-EWMA: long enough to bridge the gaps between calls.
	memory = 10 * time.Second
	// idleMemory is the time constant for a node that nobody calls, at most: it is 20
	// times the latency where that is less, for what costs little is soon tried again.
	// In a group of two or three fast nodes a few slow answers, a collection of garbage
	// or a first connection, would keep a node idle for half a minute.
	idleMemory = time.Second
	// hiccup is how late two answers in a row may come without meaning anything: a
	// scheduler and a garbage collector are good for that.
	hiccup = float32(10 * time.Millisecond)
	// latencyGain keeps the latency from needing the whole memory at high rates: one
	// good answer takes back an eighth of a bad one.
	latencyGain = 1.0 / 8
	// minGain keeps the failure share from needing the whole memory at high rates: it
	// remembers at most the last 128 timed calls.
	minGain = 1.0 / 128
	// penalty is what a failure costs beyond the time it took, so that a node that
	// fails at once never looks better than one that takes a while to succeed. A
	// second is about what a failure costs the caller who has to back off.
	penalty = float32(time.Second)
	// forget is the cost below which a node that nobody calls counts as not known.
	forget = float32(time.Microsecond)
)

// meter keeps the averages and the failures of one node.
type meter struct {
	mu       sync.Mutex // guards all below
	latency  float32    // peak-EWMA, nanoseconds
	last     [2]float32 // the latest samples of it
	failing  float32    // share of failed calls, 0..1
	stamp    int64      // of the last sample or fading; 0: nothing known
	sampled  bool       // since the last fading
	failures uint64
}

// fault is the last failure of a node, guarded by its meter's mu.
type fault struct {
	err error
	at  int64
}

// success feeds the time of a call that went well. When another goroutine is at
// it, the sample is dropped: there are more where it came from.
func (n *Node) success(now, start int64) {
	m := &n.meter
	if !m.mu.TryLock() {
		return
	}
	m.feed(now, start, OK)
	cost := n.publishLocked()
	m.mu.Unlock()
	n.g.learn(cost)
	n.g.keepFading(now)
}

// trouble feeds a call that did not go well. start is 0 when it was not timed.
func (n *Node) trouble(now, start int64, o Outcome, err error) {
	m := &n.meter
	m.mu.Lock()
	if o != Canceled {
		m.failures++
		n.fault.at = now
		if err != nil {
			n.fault.err = err
		}
	}
	if start != 0 {
		m.feed(now, start, o)
		n.publishLocked()
	}
	m.mu.Unlock()
	if start != 0 {
		n.g.keepFading(now)
	}
}

// feed updates the averages; the caller holds mu.
func (m *meter) feed(now, start int64, o Outcome) {
	took := max(float32(now-start), 1)
	if o == Canceled && took <= m.latency {
		return // it would have taken longer than it did: nothing learnt
	}
	past := float32(0) // what is left of it
	if m.stamp != 0 {
		past = exp(float32(m.stamp-now) / float32(memory))
	}
	peak := took
	if o == OK && m.last[0] != 0 {
		// One late answer is no news, and two that are a little late are none either.
		peak = min(peak, m.last[0])
		if peak-m.latency < hiccup {
			peak = min(peak, m.last[1])
		}
	}
	first := m.last[1] == 0 // or the second: an average of one is none
	m.last[0], m.last[1] = took, m.last[0]
	switch {
	case peak >= m.latency || first && o == OK:
		m.latency = peak // bad news is believed at once
	case took < m.latency && o == OK:
		p := min(past, 1-latencyGain)
		m.latency = m.latency*p + took*(1-p)
	}
	if o != Canceled {
		past = min(past, 1-minGain)
		m.failing *= past
		if o != OK {
			m.failing += 1 - past
		}
	}
	m.stamp, m.sampled = now, true
}

// fade lets the cost of a node fall that is not called, so that one bad measurement
// does not keep it idle for ever. It reports whether there is anything left.
func (n *Node) fade(now int64) bool {
	m := &n.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stamp == 0 {
		return false
	}
	if m.sampled || n.InFlight() > 0 {
		m.sampled = false
		return true
	}
	m.latency *= exp(float32(m.stamp-now) / min(20*m.latency, float32(idleMemory)))
	m.failing *= exp(float32(m.stamp-now) / float32(memory))
	m.stamp = now
	if m.latency+m.failing*penalty < forget {
		m.latency, m.failing, m.stamp = 0, 0, 0
	}
	n.publishLocked()
	return m.stamp != 0
}

// publishLocked makes the cost visible to pickers; the caller holds meter.mu.
func (n *Node) publishLocked() (cost float32) {
	cost = n.meter.latency + n.meter.failing*penalty
	n.cost.Store(math.Float32bits(cost))
	return cost
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }
