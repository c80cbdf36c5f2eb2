//go:build linux

package machines

import (
	"sync"
	"testing"
	"time"
)

// A lag is how late the ticks of this process come, on a machine that has other things to
// do. The dnsd, of which there are several on it, lose as much time, or more.
type lag struct {
	mu    sync.Mutex // guards what follows
	began time.Time
	last  time.Duration // of the last tick, since then
	stops []stop        // in order
}

// stop is a tick that was late.
type stop struct {
	end    time.Duration // since the beginning
	length time.Duration
}

// tick is often enough to see what may matter, and costs little. lateTick is more than what
// a machine with nothing else to do takes from it.
const tick, lateTick = 5 * time.Millisecond, 2 * time.Millisecond

// stillness is the longest stop that the tests bear: servers have a third of their lease
// for a renewal, and a question has two seconds for its answer.
const stillness = lease / 4

// machineLag is that of this process. TestMain starts it.
var machineLag lag

// run notes late ticks, while the process runs.
func (l *lag) run() {
	l.mu.Lock()
	l.began = time.Now()
	l.mu.Unlock()
	for {
		time.Sleep(tick)
		l.tick(time.Since(l.began))
	}
}

// tick notes that a tick has come.
func (l *lag) tick(now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if late := now - l.last - tick; late > lateTick {
		l.stops = append(l.stops, stop{now, late})
	}
	l.last = now
}

// since is how much time was lost since a time, and the longest stop of it.
func (l *lag) since(t time.Time) (lost, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := t.Sub(l.began)
	for i := len(l.stops) - 1; i >= 0 && l.stops[i].end > from; i-- {
		d := min(l.stops[i].length, l.stops[i].end-from)
		lost += d
		longest = max(longest, d)
	}
	return lost, longest
}

// tooLate reports what does not happen in time on a machine that works, since a time. If the
// machine stood still meanwhile, the test is skipped.
func tooLate(t *testing.T, since time.Time, faults ...string) {
	t.Helper()
	if len(faults) == 0 {
		return
	}
	lost, longest := machineLag.since(since)
	if longest > stillness && !t.Failed() {
		t.Skipf("this machine stood still for %v, which is longer than what the tests bear, %v. Meanwhile: %q", longest.Round(time.Millisecond), stillness, faults)
	}
	for _, f := range faults {
		t.Errorf("%s (meanwhile this machine was %v late, %v of it at once)", f, lost.Round(time.Millisecond), longest.Round(time.Millisecond))
	}
}

func TestLag(t *testing.T) {
	l := &lag{began: time.Now()}
	for _, now := range []time.Duration{5, 10, 15, 120, 126, 131, 331} {
		l.tick(now * time.Millisecond)
	}
	for _, c := range []struct{ from, lost, longest time.Duration }{
		{0, 295, 195}, {15, 295, 195}, {60, 255, 195}, {131, 195, 195}, {231, 100, 100}, {331, 0, 0}, {400, 0, 0},
	} {
		lost, longest := l.since(l.began.Add(c.from * time.Millisecond))
		if lost != c.lost*time.Millisecond || longest != c.longest*time.Millisecond {
			t.Errorf("since %d ms: %v, the longest %v; want %d, %d", c.from, lost, longest, c.lost, c.longest)
		}
	}
}
