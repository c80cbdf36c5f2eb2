package shed

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sim plays an open-loop load against a control, in virtual time: a server whose calls
// share some workers, as they would share a pool of connections to a database. Calls that
// run wait in a queue for a worker.
type sim struct {
	control *control // nil: no limit
	workers int
	service func(now time.Duration) time.Duration // mean
	rate    func(now time.Duration) float64       // calls a second
	end     time.Duration

	rnd    *rand.Rand
	events events
	busy   int
	queue  []*job

	calls, refused int
	took           []time.Duration
	done           []time.Duration // when each of took ended
}

type job struct {
	ticket ticket
	began  time.Duration
}

// useful is what a caller waits for an answer.
const useful = time.Second

func (s *sim) run() *sim {
	s.rnd = rand.New(rand.NewPCG(1, 2))
	heap.Push(&s.events, event{0, nil})
	for len(s.events) > 0 {
		e := heap.Pop(&s.events).(event)
		if e.job != nil {
			s.finish(e.at, e.job)
			continue
		}
		s.arrive(e.at)
		if next := e.at + time.Duration(s.rnd.ExpFloat64()/s.rate(e.at)*float64(time.Second)); next < s.end {
			heap.Push(&s.events, event{next, nil})
		}
	}
	return s
}

func (s *sim) arrive(now time.Duration) {
	s.calls++
	j := &job{began: now}
	if s.control != nil {
		var ok bool
		if j.ticket, ok = s.control.begin(now); !ok {
			s.refused++
			return
		}
	}
	s.queue = append(s.queue, j)
	s.work(now)
}

func (s *sim) work(now time.Duration) {
	for s.busy < s.workers && len(s.queue) > 0 {
		j := s.queue[0]
		s.queue = s.queue[1:]
		s.busy++
		takes := time.Duration((0.5 + 0.5*s.rnd.ExpFloat64()) * float64(s.service(now)))
		heap.Push(&s.events, event{now + takes, j})
	}
}

func (s *sim) finish(now time.Duration, j *job) {
	s.busy--
	if s.control != nil {
		s.control.end(now, j.ticket)
	}
	s.took = append(s.took, now-j.began)
	s.done = append(s.done, now)
	s.work(now)
}

// good is how many answers a second came in time, between two times.
func (s *sim) good(from, to time.Duration) float64 {
	n := 0
	for i, at := range s.done {
		if at >= from && at < to && s.took[i] <= useful {
			n++
		}
	}
	return float64(n) / (to - from).Seconds()
}

// quantile of the times of the answers between two times.
func (s *sim) quantile(q float64, from, to time.Duration) time.Duration {
	var all []time.Duration
	for i, at := range s.done {
		if at >= from && at < to {
			all = append(all, s.took[i])
		}
	}
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))]
}

type event struct {
	at  time.Duration
	job *job // nil: a call arrives
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func always[T any](v T) func(time.Duration) T { return func(time.Duration) T { return v } }

func newControl() *control {
	c := Config{}.withDefaults().control()
	return &c
}

// TestSimulation: 10 workers of 20 ms can answer 500 calls a second.
func TestSimulation(t *testing.T) {
	const s20, can = 20 * time.Millisecond, 500.0
	t.Run("half of what it can", func(t *testing.T) {
		s := (&sim{control: newControl(), workers: 10, service: always(s20), rate: always(can / 2), end: time.Minute}).run()
		t.Logf("%d of %d refused, limit %.0f, base %v", s.refused, s.calls, s.control.limit, s.control.base)
		if share := float64(s.refused) / float64(s.calls); share > 0.005 {
			t.Errorf("%.2f %% of the calls were refused", 100*share)
		}
	})
	t.Run("half as much again as it can", func(t *testing.T) {
		play := func(c *control) *sim {
			return (&sim{control: c, workers: 10, service: always(s20), rate: always(can * 1.5), end: 5 * time.Minute}).run()
		}
		with, without := play(newControl()), play(nil)
		for from := 10 * time.Second; from < 5*time.Minute; from += 58 * time.Second {
			to := from + 58*time.Second
			good, p99 := with.good(from, to), with.quantile(0.99, from, to)
			t.Logf("from %v: %.0f answers a second in time, p99 %v; without a limit %.0f", from, good, p99, without.good(from, to))
			if good < 0.9*can || p99 > 8*s20 {
				t.Errorf("from %v: %.0f answers a second in time, p99 %v", from, good, p99)
			}
			if without.good(from, to) > 0.1*can {
				t.Errorf("without a limit, the answers are in time, so the simulation shows nothing")
			}
		}
		t.Logf("limit %.0f, base %v", with.control.limit, with.control.base)
	})
	t.Run("it becomes slower and fast again", func(t *testing.T) {
		slow := func(now time.Duration) time.Duration {
			if now > time.Minute && now < 2*time.Minute {
				return 4 * s20
			}
			return s20
		}
		s := (&sim{control: newControl(), workers: 10, service: slow, rate: always(can * 0.8), end: 3 * time.Minute}).run()
		for _, part := range []struct {
			from, to time.Duration
			most     float64 // what it can answer of what comes
		}{
			{10 * time.Second, time.Minute, can * 0.8}, {75 * time.Second, 2 * time.Minute, can / 4}, {135 * time.Second, 3 * time.Minute, can * 0.8},
		} {
			good, p99 := s.good(part.from, part.to), s.quantile(0.99, part.from, part.to)
			t.Logf("from %v: %.0f answers a second in time, p99 %v", part.from, good, p99)
			if good < 0.88*part.most || p99 > useful {
				t.Errorf("from %v: %.0f answers a second in time of %.0f, p99 %v", part.from, good, part.most, p99)
			}
		}
	})
}

func TestLimitStaysWithinItsBounds(t *testing.T) {
	cfg := Config{Least: 3, Most: 30, Begin: 100}.withDefaults()
	c := cfg.control()
	if c.limit != 30 {
		t.Errorf("it begins with %v", c.limit)
	}
	(&sim{control: &c, workers: 1000, service: always(20 * time.Millisecond), rate: always(5000.0), end: 20 * time.Second}).run()
	if c.limit != 30 {
		t.Errorf("with workers for all calls it is %v", c.limit)
	}
	c = cfg.control()
	(&sim{control: &c, workers: 1, service: always(20 * time.Millisecond), rate: always(5000.0), end: 20 * time.Second}).run()
	if c.limit < 3 || c.limit > 10 || c.inFlight != 0 {
		t.Errorf("with one worker it is %v, in flight %d", c.limit, c.inFlight)
	}
}

// settled is a control whose base is 20 ms.
func settled(now *time.Duration) *control {
	c := newControl()
	for c.base == 0 {
		calls(c, now, 1, 20*time.Millisecond)
	}
	return c
}

// calls are n calls, one after the other.
func calls(c *control, now *time.Duration, n int, took time.Duration) {
	for range n {
		t, _ := c.begin(*now)
		*now += took
		c.end(*now, t)
	}
}

// TestCallsThatDoNotEndLeaveTheOtherHalf: a probe, which uses only half of the limit, must not
// refuse all others for as long as they take.
func TestCallsThatDoNotEndLeaveTheOtherHalf(t *testing.T) {
	var now time.Duration
	c := settled(&now)
	c.most = c.limit
	for range c.allowed() / 2 {
		if _, ok := c.begin(now); !ok {
			t.Fatal("refused")
		}
	}
	refused := 0
	for range 2 * probeEvery / (10 * time.Millisecond) {
		if ticket, ok := c.begin(now); ok {
			now += 10 * time.Millisecond
			c.end(now, ticket)
		} else {
			now += 10 * time.Millisecond
			refused++
		}
	}
	if refused == 0 || refused > 50 { // 200 ms twice
		t.Errorf("%d calls were refused", refused)
	}
}

// TestProbeAfterASilenceIsAsLongAsAnother: it takes ten calls.
func TestProbeAfterASilenceIsAsLongAsAnother(t *testing.T) {
	var now time.Duration
	c := settled(&now)
	now += time.Hour
	calls(c, &now, windowCalls-1, 80*time.Millisecond)
	if !c.probing || c.base != 20*time.Millisecond {
		t.Errorf("probing %v, base %v", c.probing, c.base)
	}
	if calls(c, &now, 1, 80*time.Millisecond); c.probing || c.base != 80*time.Millisecond {
		t.Errorf("probing %v, base %v", c.probing, c.base)
	}
}

// TestCallersThatGiveUpDoNotLowerTheBase, by which all others would seem slow.
func TestCallersThatGiveUpDoNotLowerTheBase(t *testing.T) {
	var now time.Duration
	c := settled(&now)
	for range 1000 {
		ticket, ok := c.begin(now)
		if !ok {
			t.Fatal("refused")
		}
		now += time.Millisecond
		c.cut(now, ticket)
	}
	if c.base != 20*time.Millisecond || c.inFlight != 0 {
		t.Errorf("base %v, in flight %d", c.base, c.inFlight)
	}
	ticket, _ := c.begin(now)
	now += time.Second
	before := c.took
	if c.cut(now, ticket); c.took != before+time.Second {
		t.Error("a long time does not count")
	}
}
