package rpcclient

import (
	"math/rand/v2"
	"time"
)

// redial says how long a node's dialler pauses before its next dial. It knows the results
// of the dials so far and nothing else: no call that waits, no hint and no other
// connection makes a pause shorter. Only a connection that was made after the last
// failure, and has lasted, makes the pauses begin again.
type redial struct {
	fruitless int       // failed dials and connections that did not last, since one that did
	failedAt  time.Time // when the last of them ended
	lost      bool      // a connection was lost since the last dial
	misfit    bool      // and so was one because of a value that did not fit
	draining  bool      // the server said that it drains, and no connection was made since
}

const (
	// stable is how long a connection must live to have lasted, so that a server that
	// accepts and hangs up is not dialled in a loop.
	stable = 5 * time.Second
	// spread is the random part of every pause. The dials of a thousand clients that
	// have lost the same server are spread evenly over it.
	spread = time.Second
	// afterMisfit is the pause after a connection that a value has cost, at most. It does
	// not grow, because the server works: one method whose values do not fit must not stop
	// the calls of the others. It bounds the dials when the method is called often.
	afterMisfit = 200 * time.Millisecond
)

// pauses are the shortest pauses after one, two, ... fruitless dials. The last one is five
// seconds at most with its spread: a call waits as long for a node by default, so a call
// that begins when the server is back finds it. On average it is 4.5 s; a name with a TTL
// of 5 s is queried as often.
var pauses = [...]time.Duration{
	50 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 4 * time.Second,
}

// afterDrain is the number of fruitless dials that a drain counts as: the server closes
// its listener now, and is back in a second or not at all.
const afterDrain = 2

// pause returns how long to wait now.
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
	case r.misfit:
		return draw(afterMisfit)
	}
	return 0 // a new node, or another connection to one that works
}

// dialled notes that a dial begins.
func (r *redial) dialled() { r.lost, r.misfit = false, false }

// failed notes a dial that failed, or a connection that was dead before it was used.
func (r *redial) failed(now time.Time) {
	r.fruitless++
	r.failedAt = now
}

// made notes a connection.
func (r *redial) made() { r.draining = false }

// lasts notes a connection in use that was made at the given time.
func (r *redial) lasts(since, now time.Time) {
	if now.Sub(since) > stable && since.After(r.failedAt) {
		r.fruitless = 0
	}
}

// ended notes that a connection is dead. last: it was the node's only one. If it had
// lasted, failures from before are forgotten: the server that is dialled next is probably
// another one. misfit: a value that did not fit has cost the connection.
func (r *redial) ended(since, now time.Time, last, misfit bool) {
	switch lasted := now.Sub(since) > stable; {
	case !lasted && misfit:
		r.misfit = true
	case !lasted:
		r.failed(now)
	case last:
		r.fruitless = 0
	default:
		r.lasts(since, now)
	}
}

// pauseAfter is the pause after n failures in a row, n at least 1.
func pauseAfter(n int) time.Duration { return pauses[min(n, len(pauses))-1] + draw(spread) }

// draw is a random duration from 0 to d.
func draw(d time.Duration) time.Duration { return rand.N(d) }
