//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/rpcclient"
)

// pause is the time that the execution of a call takes: long enough that some calls
// are in flight whenever a server dies.
const pause = 2 * time.Millisecond

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// load is calls at a steady rate, however long they take.
type load struct {
	client *rpcclient.Client
	stop   chan struct{}
	ended  chan struct{}
	ids    atomic.Uint64

	mu      sync.Mutex // guards results
	results []result   // by id - 1
}

// result is what the client was told of one call.
type result struct {
	id   uint64
	took time.Duration
	err  error
}

// calls begins the load.
func calls(client *rpcclient.Client) *load {
	l := &load{client: client, stop: make(chan struct{}), ended: make(chan struct{})}
	go l.run()
	return l
}

func (l *load) run() {
	defer close(l.ended)
	var wg sync.WaitGroup
	defer wg.Wait()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C: // a busy machine loses ticks: make all calls that are due
			for due := uint64(time.Since(began).Seconds() * float64(*rate)); l.ids.Load() < due; {
				id := l.ids.Add(1)
				wg.Go(func() { l.call(id) })
			}
		}
	}
}

func (l *load) call(id uint64) {
	var reply uint64
	began := time.Now()
	err := l.client.Call(context.Background(), "Ledger.Do", Call{ID: id, Pause: pause}, &reply)
	if err == nil && reply != id {
		err = fmt.Errorf("the answer to call %d is %d", id, reply)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results = append(l.results, result{id, time.Since(began), err})
}

// end stops the load and waits for its calls.
func (l *load) end() []result {
	close(l.stop)
	<-l.ended
	return l.results
}

// verdict is the comparison of what the client was told with the ledger.
type verdict struct {
	calls, failed       int
	maybe, never, other int // of the failed
	twice               int // calls executed more than once
	lost                int // calls answered and not in the ledger
	p50, p99, longest   time.Duration
	firsts              []error // a few of the failures
}

func judge(results []result, executed map[uint64]int) verdict {
	v := verdict{calls: len(results)}
	var took []time.Duration
	for _, r := range results {
		took = append(took, r.took)
		n := executed[r.id]
		if n > 1 {
			v.twice++
		}
		if r.err == nil {
			if n == 0 {
				v.lost++
			}
			continue
		}
		v.failed++
		if len(v.firsts) < 3 {
			v.firsts = append(v.firsts, r.err)
		}
		var e *rpcclient.Error
		ok := errors.As(r.err, &e)
		switch {
		case ok && e.Executed == rpcclient.ExecutedMaybe:
			v.maybe++
		case ok && e.Executed == rpcclient.ExecutedNever:
			v.never++
			if n > 0 {
				v.other++ // it was executed
			}
		default:
			v.other++
		}
	}
	slices.Sort(took)
	if len(took) > 0 {
		v.p50, v.p99, v.longest = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return v
}

// summary prints what happened.
func (f *fleet) summary(v verdict, client *rpcclient.Client, what ...string) {
	f.t.Helper()
	st := client.Stats()
	f.t.Logf("%d calls, %d failed (maybe executed %d, never %d), %d executed twice; %d retries, %d hedges; p50 %v, p99 %v, longest %v; %d server processes; %s",
		v.calls, v.failed, v.maybe, v.never, v.twice, st.Retries, st.Hedges,
		v.p50.Round(10*time.Microsecond), v.p99.Round(10*time.Microsecond), v.longest.Round(10*time.Microsecond),
		f.startedServers(), strings.Join(what, ", "))
	for _, err := range v.firsts {
		f.t.Log(err)
	}
}

// noneLost checks what must hold whatever is broken.
func (v verdict) noneLost(t testing.TB) {
	t.Helper()
	if v.calls == 0 {
		t.Error("no calls were made")
	}
	if v.lost > 0 {
		t.Errorf("%d calls were answered that no server executed", v.lost)
	}
}
