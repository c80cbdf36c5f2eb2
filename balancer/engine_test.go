package balancer_test

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// sim plays an open-loop load against a group, in the fake time of a synctest bubble. One
// goroutine handles one event after the other, so that the same seed gives the same
// result to the last digit.
type sim struct {
	group  *balancer.Group
	rnd    *rand.Rand
	begin  time.Time
	events events
	serial int
	serve  func(addr string, at time.Duration) (took time.Duration, o balancer.Outcome)

	calls   int
	failed  int
	took    []time.Duration
	picks   map[string]int
	pickAt  map[string][]time.Duration
	doneAt  map[string][]time.Duration // failures
	retries func() bool                // nil: none
	tries   int
	refused int
	wait    time.Duration // what a node that refuses asks for
}

func newSim(cfg balancer.Config, seed uint64) *sim {
	src := rand.NewPCG(seed, 1)
	var mu sync.Mutex // the timer of the group draws numbers, too
	cfg.Rand = func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return src.Uint64()
	}
	return &sim{
		group: balancer.NewGroup(cfg), rnd: rand.New(rand.NewPCG(seed, 2)), begin: time.Now(),
		picks: map[string]int{}, pickAt: map[string][]time.Duration{}, doneAt: map[string][]time.Duration{},
	}
}

func (s *sim) now() time.Duration { return time.Since(s.begin) }

func (s *sim) at(at time.Duration, do func()) {
	s.serial++
	heap.Push(&s.events, event{at, s.serial, do})
}

// load starts calls until the end, rate a second on average, with exponential gaps.
func (s *sim) load(rate float64, end time.Duration) {
	var arrive func()
	arrive = func() {
		s.calls++
		s.call(s.now(), 0, nil)
		if next := s.now() + time.Duration(s.rnd.ExpFloat64()/rate*float64(time.Second)); next < end {
			s.at(next, arrive)
		}
	}
	s.at(0, arrive)
}

// call makes one attempt, and another one if it fails and there may be a retry. A call
// that is refused for the first time is tried again in any case.
func (s *sim) call(since time.Duration, try int, skip []*balancer.Node) {
	p, err := s.group.Pick(balancer.Want{Skip: skip})
	if err != nil {
		s.failed++
		return
	}
	s.tries++
	addr := p.Node().Endpoint().Addr
	s.picks[addr]++
	s.pickAt[addr] = append(s.pickAt[addr], s.now())
	took, outcome := s.serve(addr, s.now())
	s.at(s.now()+took, func() {
		if outcome == balancer.Refused {
			s.refused++
			p.DoneRefused(s.wait, nil)
			if try == 0 {
				s.call(since, 1, append(slices.Clone(skip), p.Node()))
				return
			}
			s.failed++
			return
		}
		p.Done(outcome)
		if outcome == balancer.Failed {
			s.doneAt[addr] = append(s.doneAt[addr], s.now())
			if s.retries != nil && try < 2 && s.retries() {
				s.call(since, try+1, append(slices.Clone(skip), p.Node()))
				return
			}
			s.failed++
		}
		s.took = append(s.took, s.now()-since)
	})
}

// run handles events until none is left.
func (s *sim) run() {
	for len(s.events) > 0 {
		e := heap.Pop(&s.events).(event)
		time.Sleep(e.at - s.now())
		synctest.Wait() // the group's timer may be due at the same time
		e.do()
	}
	s.group.Close()
}

func (s *sim) quantile(q float64) time.Duration {
	slices.Sort(s.took)
	return s.took[int(q*float64(len(s.took)-1))]
}

// vary is a service time with this mean: half of it is fixed, half is exponential.
func (s *sim) vary(mean time.Duration) time.Duration {
	return time.Duration((0.5 + 0.5*s.rnd.ExpFloat64()) * float64(mean))
}

type event struct {
	at     time.Duration
	serial int
	do     func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at != e[j].at {
		return e[i].at < e[j].at
	}
	return e[i].serial < e[j].serial
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func servers(from, to int) []resolver.Endpoint {
	all := endpoints(weightsOf(to, false)...)
	return all[from:]
}
