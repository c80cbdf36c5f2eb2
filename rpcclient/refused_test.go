package rpcclient

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
)

// TestRefusedCallGoesElsewhereAtOnce, whatever the method, and the node gets no calls for as
// long as it asked.
func TestRefusedCallGoesElsewhereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, free := &speaker{reply: refuses("too much to do", 3000)}, &speaker{reply: multiplies}
		f := newFakeNet(map[string]func(net.Conn){"a:1": full.serve, "b:1": free.serve})
		f.room = true
		c := fakeClient(t, f, Config{}, "a:1", "b:1")
		defer c.Close()
		allUp(t, c, 2)
		begin := time.Now()
		calls := 0
		for ; full.asked.Load() == 0 || calls < 100; calls++ {
			if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}); err != nil || product != 42 {
				t.Fatal(product, err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the calls took %v", took)
		}
		s := c.Stats()
		if full.asked.Load() != 1 || s.Refused != 1 || s.Retries != 1 || s.FailedNever != 0 {
			t.Errorf("asked %d times after it refused: %+v", full.asked.Load(), s)
		}
		time.Sleep(5 * time.Minute) // until what the refusal has cost is forgotten, too
		for range 100 {
			Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7})
		}
		if full.asked.Load() != 2 {
			t.Errorf("asked %d times when the time was over", full.asked.Load())
		}
	})
}

// TestAllNodesRefuse: the error says so of each, and the call has cost one try a node.
func TestAllNodesRefuse(t *testing.T) {
	for name, nodes := range map[string]int{"one": 1, "two": 2, "four": 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeNet(map[string]func(net.Conn){})
				f.room = true
				var all []*speaker
				var addrs []string
				for i := range nodes {
					s := &speaker{reply: refuses("full", 1000)}
					all, addrs = append(all, s), append(addrs, string(rune('a'+i))+":1")
					f.nodes[addrs[i]] = s.serve
				}
				c := fakeClient(t, f, Config{}, addrs...)
				defer c.Close()
				allUp(t, c, nodes)
				begin := time.Now()
				err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, nil)
				var e *Error
				var refused *RefusedError
				if !errors.As(err, &e) || e.Executed != ExecutedNever || len(e.Attempts) != nodes || !errors.As(err, &refused) || *refused != (RefusedError{"full", time.Second}) {
					t.Errorf("%#v", err)
				}
				if took := time.Since(begin); took > 0 && nodes < 4 || took > retryBase {
					t.Errorf("it took %v", took)
				}
				for i, s := range all {
					if s.asked.Load() != 1 || !strings.Contains(err.Error(), addrs[i]+" answer") && nodes > 1 {
						t.Errorf("%s was asked %d times: %v", addrs[i], s.asked.Load(), err)
					}
				}
			})
		})
	}
}

// TestServersThatShedLoadAreNotStormed: what is refused adds one try to a call, and beyond
// that no more than the budget allows.
func TestServersThatShedLoadAreNotStormed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		f.room = true
		var all []*speaker
		addrs := []string{"a:1", "b:1", "c:1", "d:1", "e:1"}
		for _, addr := range addrs {
			s := &speaker{reply: refuses("full", 0)}
			all = append(all, s)
			f.nodes[addr] = s.serve
		}
		c := fakeClient(t, f, Config{Retry: RetryConfig{Budget: balancer.Budget{Share: 0.1, Floor: -1}}}, addrs...)
		defer c.Close()
		allUp(t, c, len(addrs))
		const calls = 1000
		over := 0
		for range calls {
			err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, nil)
			if !is[*RefusedError](err) {
				t.Fatal(err)
			}
			if errors.Is(err, ErrOverBudget) {
				over++
			}
		}
		asked := int64(0)
		for _, s := range all {
			asked += s.asked.Load()
		}
		if asked < 2*calls || asked > 2*calls+calls/10 {
			t.Errorf("%d requests for %d calls", asked, calls)
		}
		if over == 0 {
			t.Error("no call says ErrOverBudget")
		}
	})
}

// TestNodeThatDoesNotServeGetsNoCallsWhileOthersDo. Its pings say so, and when it serves
// again.
func TestNodeThatDoesNotServeGetsNoCallsWhileOthersDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shut, open := &speaker{reply: multiplies, pong: answer{NotExecuted: true}}, &speaker{reply: multiplies}
		f := newFakeNet(map[string]func(net.Conn){"a:1": shut.serve, "b:1": open.serve})
		f.room = true
		c := fakeClient(t, f, Config{}, "a:1", "b:1")
		defer c.Close()
		allUp(t, c, 2)
		call := func() {
			t.Helper()
			for range 100 {
				if product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7}); err != nil || product != 42 {
					t.Fatal(product, err)
				}
			}
		}
		call()
		if n := shut.asked.Load(); n != 0 {
			t.Errorf("asked %d times at first", n)
		}
		shut.ponders(answer{})
		time.Sleep(2 * time.Second)
		synctest.Wait() // a ping is due at the same moment
		if call(); shut.asked.Load() == 0 {
			t.Error("it gets no calls when it serves again")
		}
		shut.ponders(answer{NotExecuted: true})
		time.Sleep(11 * time.Second) // until pings are due
		before := shut.asked.Load()
		if call(); shut.asked.Load() != before {
			t.Errorf("asked %d times later", shut.asked.Load()-before)
		}
		open.ponders(answer{NotExecuted: true})
		time.Sleep(11 * time.Second)
		if call(); shut.asked.Load() == before { // all say so: then it is worth a try
			t.Error("not asked though no node serves")
		}
		if n := shut.connections() + open.connections(); n != 4 {
			t.Errorf("%d connections were made, want 4", n)
		}
	})
}

// TestNextTierTakesOverWhenTheBestDoesNotServe, with all its nodes and connections and not
// only with those in reserve, and gives back when the best serves again.
func TestNextTierTakesOverWhenTheBestDoesNotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		f.room = true
		source := fleet(f, map[uint16]int{10: 3, 20: 6, 30: 6})
		best, next := make([]*speaker, 3), make([]*speaker, 6)
		for i := range best {
			best[i] = &speaker{reply: multiplies}
			f.set(fmt.Sprintf("p10-%d", i), best[i].serve)
		}
		for i := range next {
			next[i] = &speaker{reply: multiplies}
			f.set(fmt.Sprintf("p20-%d", i), next[i].serve)
		}
		c := fakeClient(t, f, Config{Source: source})
		defer c.Close()
		ready(t, c)
		check := func(when string, n20, c20, n30 int) {
			t.Helper()
			synctest.Wait()
			nodes, conns := connected(c)
			if nodes[10] != 3 || nodes[20] != n20 || conns[20] != c20 || nodes[30] != n30 {
				t.Errorf("%s: nodes %v, connections %v", when, nodes, conns)
			}
		}
		call := func() (best0, next0 int) {
			t.Helper()
			for range 300 {
				var node string
				if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(node, "p10") {
					best0++
				}
			}
			for _, s := range next {
				if s.asked.Load() > 0 {
					next0++
				}
			}
			return best0, next0
		}
		time.Sleep(time.Minute)
		check("all serve", standby, standby, 0)
		for _, s := range best[:1] {
			s.ponders(answer{NotExecuted: true})
		}
		time.Sleep(15 * time.Second) // until pings were due, and connections are made
		check("one does not serve", standby, standby, 0)
		for _, s := range best {
			s.ponders(answer{NotExecuted: true})
		}
		time.Sleep(15 * time.Second)
		check("none of the best serves", 6, 12, standby)
		if b, n := call(); b != 0 || n != 6 {
			t.Errorf("while none of the best serves they get %d calls, and %d nodes get the others", b, n)
		}
		for _, s := range best {
			s.ponders(answer{})
		}
		time.Sleep(15 * time.Second)
		if b, _ := call(); b != 300 {
			t.Errorf("when they serve again they get %d of 300 calls", b)
		}
		time.Sleep(releaseAfter)
		check("a minute later", standby, standby, 0)
	})
}

// TestNodeOfTheSubsetThatDoesNotServeHasASubstitute.
func TestNodeOfTheSubsetThatDoesNotServeHasASubstitute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeNet(map[string]func(net.Conn){})
		f.room = true
		source := fleet(f, map[uint16]int{10: 9})
		all := map[string]*speaker{}
		for _, e := range source {
			all[e.Addr] = &speaker{reply: multiplies}
			f.set(e.Addr, all[e.Addr].serve)
		}
		c := fakeClient(t, f, Config{Source: source, Policy: balancer.Subset(3, "web-1", balancer.P2C)})
		defer c.Close()
		ready(t, c)
		time.Sleep(time.Minute)
		used := func() map[string]bool {
			out := map[string]bool{}
			for range 100 {
				var node string
				if err := c.Call(t.Context(), "Arith.Multiply", &Args{6, 7}, new(int), OnNode(&node)); err != nil {
					t.Fatal(err)
				}
				out[node] = true
			}
			return out
		}
		before := used()
		for addr := range before {
			all[addr].ponders(answer{NotExecuted: true})
			break
		}
		time.Sleep(15 * time.Second)
		if n := len(used()); n != 3 {
			t.Errorf("%d nodes take the calls, want 3", n)
		}
		if nodes, _ := connected(c); nodes[10] != 4 {
			t.Errorf("%d nodes are connected to, want 4", nodes[10])
		}
	})
}

// TestHostileAnswersCostNoConnection, and no call waits for ever.
func TestHostileAnswersCostNoConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		pong  answer
		reply func(told, Args) []answer
		want  Executed
		text  string
	}{
		"no word on cancels":       {reply: multiplies},
		"words of another world":   {pong: answer{Knows: []string{"", "undo", strings.Repeat("x", 5000), "cancel "}}, reply: multiplies},
		"a wait of ages":           {reply: refuses("full", 1<<64-1), text: "refused by the server: full"},
		"a wait without a refusal": {reply: func(told, Args) []answer { return []answer{{Wait: 1 << 63}} }},
		"refused after an answer": {reply: func(told, Args) []answer {
			return []answer{{}, {NotExecuted: true}, {NotExecuted: true, Wait: 1 << 40}}
		}},
		"answered after a refusal":  {reply: func(told, Args) []answer { return []answer{{NotExecuted: true}, {}, {Error: "no"}} }, text: "refused by the server"},
		"a request that is unknown": {reply: func(req told, _ Args) []answer { return []answer{{Seq: req.Seq + 1000, NotExecuted: true}, {}} }},
		"an error with words":       {reply: func(told, Args) []answer { return []answer{{Error: "no", Knows: []string{"cancel"}}} }, want: ExecutedYes, text: "no"},
		"a notice that refuses":     {reply: func(told, Args) []answer { return []answer{{Seq: 1<<64 - 1, NotExecuted: true, Wait: 9}, {}} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &speaker{pong: tt.pong, reply: tt.reply}
				f := newFakeNet(map[string]func(net.Conn){"a:1": s.serve})
				f.room = true
				c := fakeClient(t, f, Config{Conn: ConnConfig{PerNode: 1}}, "a:1")
				defer c.Close()
				allUp(t, c, 1)
				for range 10 {
					product, err := Invoke[int](t.Context(), c, "Arith.Multiply", &Args{6, 7})
					var e *Error
					switch {
					case tt.text == "" && (err != nil || product != 42):
						t.Errorf("%d, %v", product, err)
					case tt.text != "" && (!errors.As(err, &e) || e.Executed != tt.want || !strings.Contains(err.Error(), tt.text)):
						t.Errorf("%v, want %s, executed %v", err, tt.text, tt.want)
					}
					time.Sleep(10 * time.Second)
				}
				if s.connections() != 1 {
					t.Errorf("%d connections", s.connections())
				}
			})
		})
	}
}
