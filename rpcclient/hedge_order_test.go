package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

// gated is an answer whose decoding waits for its gate. While it waits, its attempt has no
// result and cannot be given up.
type gated struct{ v int }

// gates are the gates of the running test, one for each attempt. Each gets the error of
// the decoding, nil for none.
var gates struct {
	sync.Mutex
	of [2]chan error
}

func (g gated) GobEncode() ([]byte, error) { return []byte{byte(g.v)}, nil }

func (g *gated) GobDecode(b []byte) error {
	gates.Lock()
	gate := gates.of[b[0]]
	gates.Unlock()
	if err := <-gate; err != nil {
		return err
	}
	g.v = 42
	return nil
}

var errMisfit = errors.New("it does not fit")

// The steps of an attempt, for each way in which it may end.
var fates = map[string][]string{
	"answered": {"arrives", "decoded"},
	"misfit":   {"arrives", "fails"},
	"refused":  {"refused"},
	"lost":     {"lost"},
	"silent":   {},
}

// step is an event of an attempt or, with attempt -1, of the call's context.
type step struct {
	attempt int
	what    string
}

func (s step) String() string { return fmt.Sprintf("%d %s", s.attempt, s.what) }

// interleavings returns all orders of the steps that keep the order within each row.
func interleavings(rows ...[]step) [][]step {
	var all [][]step
	left := false
	for i, row := range rows {
		if len(row) == 0 {
			continue
		}
		left = true
		rest := slices.Clone(rows)
		rest[i] = row[1:]
		for _, tail := range interleavings(rest...) {
			all = append(all, append([]step{row[0]}, tail...))
		}
	}
	if !left {
		return [][]step{nil}
	}
	return all
}

// TestEveryOrderOfFirstAttemptHedgeAndCancel plays each order of events. In all of them, a
// call without an error has an answer in its reply, nothing changes the reply after the
// call has returned, and nothing is left of the call. Each order is played once with a
// pause after every step, and once for each step without the pause after that step.
func TestEveryOrderOfFirstAttemptHedgeAndCancel(t *testing.T) {
	orders := 0
	for first, a := range fates {
		for hedge, b := range fates {
			for _, quit := range [][]step{nil, {{-1, "quit"}}} {
				row := func(attempt int, whats []string) (row []step) {
					for _, what := range whats {
						row = append(row, step{attempt, what})
					}
					return row
				}
				for _, steps := range interleavings(row(0, a), row(1, b), quit) {
					for rush := -1; rush < len(steps)-1; rush++ {
						orders++
						synctest.Test(t, func(t *testing.T) { playOrder(t, steps, rush) })
						if t.Failed() {
							t.Fatalf("first attempt %s, hedge %s, steps %v, no pause after %d", first, hedge, steps, rush)
						}
					}
				}
			}
		}
	}
	t.Logf("%d orders", orders)
}

// request is a request that a node has got.
type request struct {
	p   *peer
	seq uint64
}

func playOrder(t *testing.T, steps []step, rush int) {
	gates.Lock()
	gates.of = [2]chan error{make(chan error, 1), make(chan error, 1)}
	gates.Unlock()
	requests := make(chan request, 2)
	node := func(nc net.Conn) {
		p := newPeer(nc)
		for {
			req, _, err := p.next()
			if err != nil {
				return
			}
			requests <- request{p, req.Seq}
		}
	}
	f := newFakeNet(map[string]func(net.Conn){"a:1": node, "b:1": node})
	c := fakeClient(t, f, Config{Retry: RetryConfig{Max: -1, Budget: balancer.Budget{Floor: 100}}, Conn: ConnConfig{PerNode: 1}}, "a:1", "b:1")
	defer c.Close()
	allUp(t, c, 2)
	for range 100 { // so that the usual time of the method is known and a hedge is allowed
		c.latencies.record("Gate.Ask", time.Millisecond, c.now())
		c.latencies.earn("Gate.Ask", 0.02)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reply gated
	returned := make(chan error, 1)
	go func() { returned <- c.Call(ctx, "Gate.Ask", &Args{}, &reply, Hedge(0.02)) }()
	got := [2]request{<-requests, <-requests}
	synctest.Wait()
	if n := c.Stats().Hedges; n != 1 {
		t.Fatalf("%d hedges", n)
	}

	var err error
	over := false
	see := func() {
		select {
		case err = <-returned:
			over = true
			check(t, err, reply)
		default:
		}
	}
	atReturn := reply
	for i, s := range steps {
		switch s.what {
		case "arrives":
			go got[s.attempt].p.answer(got[s.attempt].seq, "", gated{s.attempt})
		case "decoded":
			gates.of[s.attempt] <- nil
		case "fails":
			gates.of[s.attempt] <- errMisfit
		case "refused":
			go got[s.attempt].p.answer(got[s.attempt].seq, "refused", struct{}{})
		case "lost":
			got[s.attempt].p.nc.Close()
		case "quit":
			cancel()
		}
		if i == rush {
			continue
		}
		synctest.Wait()
		if !over {
			see()
			atReturn = reply
		} else if reply != atReturn {
			t.Errorf("after it has returned, step %d writes %v to the reply", i, reply)
		}
	}
	if !over {
		err = <-returned // at its deadline
		atReturn = reply
		check(t, err, reply)
	}
	if rush < 0 {
		if want := outcome(steps); want != said(err) {
			t.Errorf("steps %v: want %q, got %q: %v", steps, want, said(err), err)
		}
	}
	cancel()
	time.Sleep(20 * time.Second) // all late answers come now
	synctest.Wait()
	if reply != atReturn {
		t.Errorf("long after it has returned, the reply becomes %v", reply)
	}
	for _, n := range c.Stats().Nodes {
		if n.InFlight != 0 {
			t.Errorf("%d picks are left on %s", n.InFlight, n.Addr)
		}
	}
	for _, n := range allNodes(c) {
		if cn := n.conn(); cn != nil && cn.Weight() != 0 {
			t.Errorf("%d calls are left on a connection", cn.Weight())
		}
	}
}

func check(t *testing.T, err error, reply gated) {
	t.Helper()
	if err == nil && reply.v != 42 {
		t.Errorf("no error, and the reply is %v", reply)
	}
}

// said returns the part of an error that the test compares.
func said(err error) string {
	switch {
	case err == nil:
		return "answer"
	case errors.Is(err, errMisfit) || strings.Contains(err.Error(), errMisfit.Error()):
		return "misfit"
	case strings.Contains(err.Error(), "refused"):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "quit"
	case errors.Is(err, context.DeadlineExceeded):
		return "time-out"
	}
	return "lost"
}

// outcome returns how the call should end: with the first answer of a server that is
// decoded, also when it arrived before the context ended and is decoded after that. A good
// answer that is there by then is better than the error of the other attempt.
func outcome(steps []step) string {
	result := ""                          // of the first attempt that a server has answered
	arrived, over := [2]bool{}, [2]bool{} // over: it has a result, is lost, or was given up
	last := ""
	for _, s := range steps {
		if s.attempt >= 0 && over[s.attempt] {
			continue
		}
		switch s.what {
		case "arrives":
			arrived[s.attempt] = true
			continue
		case "quit":
			for i := range over {
				if !over[i] && !arrived[i] {
					over[i] = true
					last = "quit"
				}
			}
		case "lost":
			over[s.attempt] = true
			last = "lost"
		case "decoded":
			over[s.attempt], result = true, "answer"
		case "fails", "refused":
			over[s.attempt] = true
			if result == "" {
				result = map[string]string{"fails": "misfit", "refused": "refused"}[s.what]
			}
		}
		if result != "" { // the other attempt is given up, unless its answer is being decoded
			for i := range over {
				over[i] = over[i] || !arrived[i]
			}
		}
		if over[0] && over[1] {
			break
		}
	}
	switch {
	case result != "":
		return result
	case !over[0] || !over[1]:
		return "time-out"
	}
	return last
}
