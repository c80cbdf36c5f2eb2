package balancer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/resolver"
)

// turning is a group's nodes, with the turn of the picker that p makes of them.
func turning(t testing.TB, p Policy, ws ...uint16) (nodes []*Node, picker Picker, of *turn) {
	g := NewGroup(Config{Policy: p})
	var eps []resolver.Endpoint
	for i, w := range ws {
		eps = append(eps, resolver.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:80", i), Weight: w})
	}
	g.Update(eps)
	t.Cleanup(g.Close)
	switch picker := g.snap.Load().picker.(type) {
	case *roundRobin:
		return picker.nodes, picker, &picker.turn
	case *weightedRoundRobin:
		return picker.nodes, picker, &picker.turn
	}
	t.Fatalf("%d nodes have no turn", len(ws))
	return nil, nil, nil
}

func TestTurnStaysNarrowWhileFailuresAreRare(t *testing.T) {
	nodes, picker, turn := turning(t, RoundRobin, 1, 1, 1, 1, 1, 1, 1)
	at := map[*Node]int{}
	for i, n := range nodes {
		at[n] = i
	}
	last := at[picker.Pick(Hint{})]
	for i := range 1000 * forgiving {
		if i%forgiving == 0 {
			turn.fail()
		}
		now := at[picker.Pick(Hint{})]
		if now != (last+1)%len(nodes) {
			t.Fatalf("pick %d went to node %d after node %d of %d", i, now, last, len(nodes))
		}
		last = now
	}
	if turn.factor.Load() != 0 {
		t.Error("the turn is wide")
	}
}

func TestTurnWidensByFailuresCloseTogether(t *testing.T) {
	_, _, turn := turning(t, RoundRobin, 1, 1)
	failures := 0
	for move := range uint32(5) {
		for ; turn.moves.Load() == move; failures++ {
			turn.fail()
			turn.next()
		}
		if move == 0 && (failures < 64 || failures > 70) || turn.factor.Load() == 0 {
			t.Fatalf("after %d failures in a row, goroutines are divided by %#x", failures, turn.factor.Load())
		}
	}
	// Each move needs twice as many; stripes where the goroutine was before remember some.
	if failures < 256 || failures > 31*70 {
		t.Errorf("five moves took %d failures", failures)
	}
}

// discrepancies returns how far the number of each node's picks, in any row of picks
// of one stripe, can be from its share.
func discrepancies(nodes []*Node, narrow Picker) map[*Node]float64 {
	_, sum := weights(nodes)
	if _, ok := narrow.(*roundRobin); ok {
		sum = uint64(len(nodes))
	}
	share := map[*Node]float64{}
	expect(narrow, nodes, 1, share)
	got, low, high := map[*Node]float64{}, map[*Node]float64{}, map[*Node]float64{}
	for i := range sum {
		got[narrow.Pick(Hint{})]++
		for _, n := range nodes {
			off := got[n] - float64(i+1)*share[n]
			low[n], high[n] = min(low[n], off), max(high[n], off)
		}
	}
	for _, n := range nodes {
		high[n] -= low[n]
	}
	return high
}

func TestWideTurnMissesSharesByNoMoreThanOneForEachStripe(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		ws := rapid.SliceOfN(rapid.Uint16Range(1, 20), 2, 12).Draw(t, "weights")
		policy := RoundRobin
		weighted := rapid.Bool().Draw(t, "weighted")
		if weighted {
			policy = WeightedRoundRobin
		}
		nodes, picker, turn := turning(outer, policy, ws...)
		bounds := discrepancies(nodes, policy(nodes))
		for n, b := range bounds {
			if b >= 4 || !weighted && b >= 1 {
				t.Fatalf("weight %d of %v is off by %.2f in a narrow turn", n.announced(), ws, b)
			}
		}
		share, got := map[*Node]float64{}, map[*Node]float64{}
		expect(picker, nodes, 1, share)
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		used := 1 + rnd.IntN(8) // goroutines
		for i := range 3000 {
			// A factor sends all picks to one stripe: to change it is to be another goroutine.
			if i > 500 {
				turn.factor.Store(mix(uint64(rnd.IntN(used))) | 1)
			}
			got[picker.Pick(Hint{})]++
			for _, n := range nodes {
				if off := math.Abs(got[n] - float64(i+1)*share[n]); off > float64(len(turn.all))*bounds[n]+1e-6 {
					t.Fatalf("after %d picks, weight %d of %v is off by %.2f, want at most %d times %.2f",
						i+1, n.announced(), ws, off, len(turn.all), bounds[n])
				}
			}
		}
	})
}

// TestStripesTogetherMakeOneTurn: where stripes begin, they do not all send their
// first picks to the same nodes.
func TestStripesTogetherMakeOneTurn(t *testing.T) {
	for _, p := range []Policy{RoundRobin, WeightedRoundRobin} {
		ws := make([]uint16, 256)
		for i := range ws {
			ws[i] = 10
		}
		nodes, picker, turn := turning(t, p, ws...)
		got := map[*Node]int{}
		for _, s := range turn.all {
			begin := s.count.Load()
			for i := range len(nodes) / len(turn.all) {
				turn.first.count.Store(begin + uint64(i))
				got[picker.Pick(Hint{})]++
			}
		}
		if len(got) != len(nodes) {
			t.Errorf("%d picks from %d stripes went to %d nodes", len(nodes), len(turn.all), len(got))
		}
	}
}

func TestWideTurnGivesGoroutinesStripesOfTheirOwn(t *testing.T) {
	_, picker, turn := turning(t, RoundRobin, 1, 1, 1)
	turn.move(0)
	before := make([]uint64, len(turn.all))
	for i, s := range turn.all {
		before[i] = s.count.Load()
	}
	const goroutines, picks = 64, 10
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for range goroutines {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start // all have a stack at the same time
			for range picks {
				picker.Pick(Hint{})
			}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	used, all := 0, 0
	for i, s := range turn.all {
		n := int(s.count.Load() - before[i])
		all += n
		if n > 0 {
			used++
		}
	}
	if all != goroutines*picks {
		t.Errorf("%d picks were counted, want %d", all, goroutines*picks)
	}
	if used < len(turn.all)/4 {
		t.Errorf("%d goroutines use %d stripes of %d", goroutines, used, len(turn.all))
	}
}

// TestTurnUnderContention has goroutines pick as fast as they can: the turn widens or
// not, as the machine has it, and the shares hold.
func TestTurnUnderContention(t *testing.T) {
	for _, p := range []Policy{RoundRobin, WeightedRoundRobin} {
		for _, wide := range []bool{false, true} {
			nodes, picker, turn := turning(t, p, 1, 2, 3, 4, 5, 6, 7)
			if wide {
				turn.move(0)
			}
			const goroutines, picks = 8, 20000
			var mu sync.Mutex
			var done sync.WaitGroup
			got := map[*Node]int{}
			for range goroutines {
				done.Go(func() {
					own := map[*Node]int{}
					for range picks {
						own[picker.Pick(Hint{})]++
					}
					mu.Lock()
					defer mu.Unlock()
					for n, c := range own {
						got[n] += c
					}
				})
			}
			done.Wait()
			share := map[*Node]float64{}
			expect(picker, nodes, 1, share)
			bounds := discrepancies(nodes, p(nodes))
			turns := 1
			if turn.factor.Load() != 0 {
				turns = len(turn.all)
			}
			for _, n := range nodes {
				if off := math.Abs(float64(got[n]) - goroutines*picks*share[n]); off > float64(turns)*bounds[n]+1e-6 {
					t.Errorf("weight %d got %d of %d picks: off by %.1f with %d turns", n.announced(), got[n], goroutines*picks, off, turns)
				}
			}
		}
	}
}
