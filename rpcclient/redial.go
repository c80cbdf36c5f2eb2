package rpcclient

import (
	"math/rand/v2"
	"time"
)

// redial says how long a node's dialler pauses before its next dial. It knows what
// came of the dials so far and nothing else: no call that waits, no hint and no
// other connection makes a pause shorter. Only a connection that was made after the
// last failure, and has lasted, begins anew.
type redial struct {
	fruitless int       // failed dials and connections that did not last, since one that did
	failedAt  time.Time // when the last of them ended
	lost      bool      // a connection was lost since the last dial
	draining  bool      // the server said that it goes; until a connection is made
}

const (
	// stable is how long a connection must live to have lasted: a server that accepts
	// and hangs up is not dialled in a loop.
	stable = 5 * time.Second
	// spread is the width of every pause: what a thousand clients do because one
	// server died, or came back, is spread evenly over it.
	spread = time.Second
)

// pauses are the least pauses after one, two, ... fruitless dials. The last one and
// spread make five seconds at most: as long as a call waits for a node by default, so
// that a call which begins when the server is back finds it. On average it is 4.5 s,
// as often as a name with a TTL of 5 s is asked for.
var pauses = [...]time.Duration{
	50 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 4 * time.Second,
}

// afterDrain is the place in pauses of a server that drains: it closes its listener
// now, and is back in a second or not at all.
const afterDrain = 2

// pause is how long to wait now.
func (r *redial) pause(draw func(time.Duration) time.Duration) time.Duration {
	n := r.fruitless
	if r.draining {
		n = max(n, afterDrain)
	}
	switch {
	case n > 0:
		return pauses[min(n, len(pauses))-1] + draw(spread)
	case r.lost:
		return draw(spread)
	}
	return 0 // a new node, or a further connection to one that is well
}

// dialled notes that a dial begins.
func (r *redial) dialled() { r.lost = false }

// failed notes a dial that failed, or a connection that was dead before it was used.
func (r *redial) failed(now time.Time) {
	r.fruitless++
	r.failedAt = now
}

// made notes a connection.
func (r *redial) made() { r.draining = false }

// lasts notes a connection that is in use and was made at the given time.
func (r *redial) lasts(since, now time.Time) {
	if now.Sub(since) > stable && since.After(r.failedAt) {
		r.fruitless = 0
	}
}

// ended notes that a connection is dead. last: it was the node's only one. If that one
// had lasted, what is found now is another server than the one that refused more.
func (r *redial) ended(since, now time.Time, last bool) {
	switch lasted := now.Sub(since) > stable; {
	case !lasted:
		r.failed(now)
	case last:
		r.fruitless = 0
	default:
		r.lasts(since, now)
	}
}

// pauseAfter is the pause after so many fruitless tries, at least one.
func pauseAfter(n int) time.Duration { return pauses[min(n, len(pauses))-1] + draw(spread) }

// draw is a random duration from 0 to d.
func draw(d time.Duration) time.Duration { return rand.N(d) }
