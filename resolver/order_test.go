package resolver

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// chiSquare999 is the 99.9 % quantile by degrees of freedom: a fair Order fails
// once in a thousand seeds, and the seeds here are fixed.
var chiSquare999 = []float64{0, 10.828, 13.816, 16.266, 18.467, 20.515}

// TestOrderFollowsWeights holds the frequency of every whole order, not only of
// the first choice, against its probability under RFC 2782.
func TestOrderFollowsWeights(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		draws   float64 // so many that each order is expected some six times
		weights []uint16
		want    map[string]float64 // order of indexes -> probability
	}{
		{"fair pair, the erratum", 50_000, []uint16{1, 1}, map[string]float64{"01": 0.5, "10": 0.5}},
		{"all zero is an equal shuffle", 50_000, []uint16{0, 0, 0}, map[string]float64{
			"012": 1. / 6, "021": 1. / 6, "102": 1. / 6, "120": 1. / 6, "201": 1. / 6, "210": 1. / 6,
		}},
		{"zero beside one and one has 1 %", 50_000, []uint16{0, 1, 1}, zeroBesideOnes()},
		{"10, 60, 20", 50_000, []uint16{10, 60, 20}, byWeight(10, 60, 20)},
		{"extremes", 400_000, []uint16{65535, 1}, map[string]float64{"01": 65535. / 65536, "10": 1. / 65536}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			eps := make([]Endpoint, len(tt.weights))
			for i, w := range tt.weights {
				eps[i] = Endpoint{Addr: fmt.Sprint(i), Priority: 10, Weight: w}
			}
			// A backup, which must come last every time.
			eps = append(eps, Endpoint{Addr: "b", Priority: 11, Weight: 65535})
			rnd := rand.New(rand.NewPCG(1, 2))
			got := map[string]float64{}
			for range int(tt.draws) {
				var order strings.Builder
				for _, ep := range Order(eps, rnd) {
					order.WriteString(ep.Addr)
				}
				got[order.String()]++
			}
			var chi float64
			for order, p := range tt.want {
				n, expected := got[order+"b"], p*tt.draws
				delete(got, order+"b")
				chi += (n - expected) * (n - expected) / expected
			}
			if len(got) > 0 {
				t.Errorf("orders that must not happen: %v", got)
			}
			if limit := chiSquare999[len(tt.want)-1]; chi > limit {
				t.Errorf("chi square %.2f over %.0f draws, want at most %.2f", chi, tt.draws, limit)
			}
		})
	}
}

// zeroBesideOnes: the zero record weighs 2/99.
func zeroBesideOnes() map[string]float64 { return byWeight(2./99, 1, 1) }

// byWeight is the probability of each order of three, drawn without replacement.
func byWeight(w ...float64) map[string]float64 {
	out := map[string]float64{}
	sum := w[0] + w[1] + w[2]
	for _, o := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		key := fmt.Sprintf("%d%d%d", o[0], o[1], o[2])
		out[key] = w[o[0]] / sum * w[o[1]] / (sum - w[o[0]])
	}
	return out
}

func TestOrderLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		eps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Endpoint {
			return Endpoint{
				Addr:     rapid.StringMatching(`[a-z]{1,6}:[1-9]`).Draw(t, "addr"),
				Priority: rapid.Uint16Range(0, 3).Draw(t, "priority"),
				Weight:   rapid.SampledFrom([]uint16{0, 1, 100, 65535}).Draw(t, "weight"),
			}
		}), 0, 20).Draw(t, "eps")
		before := slices.Clone(eps)
		got := Order(eps, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		if !slices.EqualFunc(eps, before, Endpoint.equal) {
			t.Fatal("the argument was changed")
		}
		if !slices.IsSortedFunc(got, func(a, b Endpoint) int { return int(a.Priority) - int(b.Priority) }) {
			t.Fatalf("a priority is out of turn: %v", got)
		}
		if !slices.EqualFunc(sortedByAll(got), sortedByAll(eps), Endpoint.equal) {
			t.Fatalf("not a permutation: %v of %v", got, eps)
		}
	})
}

func sortedByAll(eps []Endpoint) []Endpoint {
	out := slices.Clone(eps)
	slices.SortFunc(out, func(a, b Endpoint) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return out
}

func TestOrderOfNothingIsNothing(t *testing.T) {
	t.Parallel()
	if got := Order(nil, nil); len(got) != 0 {
		t.Errorf("Order(nil) = %v", got)
	}
}

func BenchmarkOrder(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			eps := make([]Endpoint, n)
			for i := range eps {
				eps[i] = Endpoint{Addr: fmt.Sprint(i), Priority: uint16(i % 2), Weight: uint16(i)}
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				Order(eps, rnd)
			}
		})
	}
}
