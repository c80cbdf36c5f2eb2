package rpcclient

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

// Ledger notes every execution by the call's id.
type Ledger struct {
	mu    sync.Mutex // guards times
	times map[int]int
}

func (l *Ledger) Note(id *int, reply *int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times[*id]++
	*reply = *id
	return nil
}

// kill cuts a random server off again and again, while calls go on, and starts
// another one on a new port.
func kill(t *testing.T, ledger *Ledger, rounds int, call func(c *Client, id int)) *Client {
	t.Helper()
	start := func() *server {
		s := startStock(t, "")
		s.rpc.Register(ledger)
		return s
	}
	servers := []*server{start(), start(), start()}
	addrs := func() (out []string) {
		for _, s := range servers {
			out = append(out, s.addr)
		}
		return out
	}
	a := announce(addrs()...)
	// On a slow machine a call may meet more kills than the default has tries.
	c := newClient(t, Config{Source: a, Health: balancer.Health{SlowStart: -1}, Retry: RetryConfig{Max: 8}})
	allUp(t, c, 3)
	var calls sync.WaitGroup
	var ids atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					call(c, int(ids.Add(1)))
				}
			}
		})
	}
	for range rounds {
		for seen := ids.Load(); ids.Load() < seen+200; { // let calls be under way
			time.Sleep(time.Millisecond)
		}
		i := rand.N(len(servers))
		servers[i].stop()
		servers[i] = start()
		a.say(addrs()...)
	}
	close(stop)
	calls.Wait()
	return c
}

func TestKilledServersLoseNoIdempotentCall(t *testing.T) {
	ledger := &Ledger{times: make(map[int]int)}
	c := kill(t, ledger, 20, func(c *Client, id int) {
		var reply int
		if err := c.Call(t.Context(), "Ledger.Note", &id, &reply, Idempotent()); err != nil || reply != id {
			t.Error(reply, err)
		}
	})
	s := c.Stats()
	t.Logf("%d calls, %d retries", s.Calls, s.Retries)
}

func TestKilledServersNeverMakeACallExecuteTwice(t *testing.T) {
	ledger := &Ledger{times: make(map[int]int)}
	var mu sync.Mutex
	failed := make(map[int]bool)
	kill(t, ledger, 20, func(c *Client, id int) {
		var reply int
		if err := c.Call(t.Context(), "Ledger.Note", &id, &reply); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Executed != ExecutedMaybe {
				t.Errorf("call %d: %v", id, err)
			}
			mu.Lock()
			failed[id] = true
			mu.Unlock()
		}
	})
	ledger.mu.Lock()
	defer ledger.mu.Unlock()
	for id, times := range ledger.times {
		if times > 1 {
			t.Errorf("call %d was executed %d times", id, times)
		}
	}
	t.Logf("%d calls executed, %d reported as maybe", len(ledger.times), len(failed))
}

// The end of a connection is seen when it comes, not by the next call.
func TestClosedConnectionIsNotUsed(t *testing.T) {
	a, b := startStock(t, ""), startStock(t, "")
	lost := make(chan string, 10)
	c := newClient(t, Config{Trace: &Trace{Disconnected: func(node string, _ error) { lost <- node }}}, a.addr, b.addr)
	allUp(t, c, 2)
	a.stop()
	for node := range lost {
		if node == a.addr {
			break
		}
	}
	for range 50 {
		if err := c.Call(t.Context(), "Arith.Multiply", &Args{1, 2}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Retries != 0 {
		t.Errorf("%d retries", s.Retries)
	}
}
