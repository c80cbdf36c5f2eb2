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
	// idleMemory is the greatest time constant for a node without calls. It is 20 times
	// the latency where that is less, because a fast node may soon be tried again. With
	// memory, a few slow answers (a garbage collection, a first connection) would keep
	// one of two or three fast nodes idle for half a minute.
	idleMemory = time.Second
	// hiccup is how late two answers in a row may come without any effect: a scheduler or
	// a garbage collector can cause such a delay.
	hiccup = float32(10 * time.Millisecond)
	// latencyGain lets the latency fall faster than memory at high rates: one good answer
	// takes back an eighth of a bad one.
	latencyGain = 1.0 / 8
	// minGain lets the share of failures change faster than memory at high rates: it
	// is an average over at most the last 128 timed calls.
	minGain = 1.0 / 128
	// penalty is what a failure costs beyond the time it took, so that a node that
	// fails at once never looks better than one that takes a while to succeed. A second
	// is about what a failure costs a caller that has to back off.
	penalty = float32(time.Second)
	// forget is the cost below which a node without calls counts as not measured.
	forget = float32(time.Microsecond)
)

// meter keeps the averages and the failures of one node.
type meter struct {
	mu       sync.Mutex // guards all below
	latency  float32    // peak-EWMA, nanoseconds
	last     [2]float32 // the latest two samples of latency, the newest first
	failing  float32    // share of failed calls, 0..1
	stamp    int64      // when the last sample or fading was; 0: nothing is known
	sampled  bool       // there was a sample since the last fading
	failures uint64     // calls that were Failed or Refused
	refusals uint64     // those of them that were Refused
}

// fault is the last failure of a node. The mu of the node's meter guards it.
type fault struct {
	err error
	at  int64
}

// success takes the time of a call that succeeded. If another goroutine holds the lock,
// the sample is dropped: there will be others.
func (n *Node) success(now, start int64) {
	m := &n.meter
	if !m.mu.TryLock() {
		return
	}
	m.feedLocked(now, start, OK)
	cost := n.publishLocked()
	m.mu.Unlock()
	n.g.learn(cost)
	n.g.keepFading(now)
}

// trouble takes a call that did not succeed. start is 0 if it was not timed.
func (n *Node) trouble(now, start int64, o Outcome, err error) {
	m := &n.meter
	m.mu.Lock()
	if o != Canceled {
		m.failures++
		if o == Refused {
			m.refusals++
		}
		n.fault.at = now
		if err != nil {
			n.fault.err = err
		}
	}
	if start != 0 {
		m.feedLocked(now, start, o)
		n.publishLocked()
	}
	m.mu.Unlock()
	if start != 0 {
		n.g.keepFading(now)
	}
}

// feedLocked updates the averages.
func (m *meter) feedLocked(now, start int64, o Outcome) {
	took := max(float32(now-start), 1)
	if o == Canceled && took <= m.latency {
		return // the whole call would have taken longer: nothing is learnt
	}
	past := float32(0) // the weight of what was measured before
	if m.stamp != 0 {
		past = exp(float32(m.stamp-now) / float32(memory))
	}
	peak := took
	if o == OK && m.last[0] != 0 {
		// One late answer changes nothing, nor do two that are a little late.
		peak = min(peak, m.last[0])
		if peak-m.latency < hiccup {
			peak = min(peak, m.last[1])
		}
	}
	first := m.last[1] == 0 // the first or second sample: too few for an average
	m.last[0], m.last[1] = took, m.last[0]
	switch {
	case peak >= m.latency || first && o == OK:
		m.latency = peak // a rise is believed at once
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

// fade lets the cost of a node without calls fall, so that one bad measurement does not
// keep it idle for ever. It reports whether any cost is left.
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

// publishLocked makes the cost visible to pickers. The caller holds meter.mu.
func (n *Node) publishLocked() (cost float32) {
	cost = n.meter.latency + n.meter.failing*penalty
	n.cost.Store(math.Float32bits(cost))
	return cost
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }
