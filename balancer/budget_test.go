package balancer_test

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"pgregory.net/rapid"
)

// spendAll spends until it is refused, at one instant.
func spendAll(a *balancer.Account, calls uint64) (n int) {
	for a.Spend(calls) {
		n++
	}
	return n
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := balancer.NewAccount(balancer.Budget{})
		steps := []struct {
			after time.Duration
			calls uint64 // made meanwhile
			want  int
			why   string
		}{
			{0, 0, 30, "the floor of ten seconds"},
			{0, 200, 20, "a tenth of the calls"},
			{4 * time.Second, 0, 0, "all of it was spent within the last ten seconds"},
			{4 * time.Second, 100, 10, "a tenth of the further calls"},
			{3 * time.Second, 0, 30, "the first second counts no more, neither its calls nor what they allowed"},
			{time.Hour, 3_600_000, 1030, "the calls of an hour are those of ten seconds"},
		}
		var calls uint64
		for i, s := range steps {
			time.Sleep(s.after)
			calls += s.calls
			if got := spendAll(a, calls); got != s.want {
				t.Errorf("step %d: %d retries, want %d: %s", i, got, s.want, s.why)
			}
		}
	})
}

func TestBudgetOfNothing(t *testing.T) {
	for _, b := range []balancer.Budget{
		{Share: -1, Floor: -1},
		{Share: math.Inf(-1), Floor: -1},
		{Share: math.NaN()},
		{Floor: math.Inf(1)},
	} {
		if got := spendAll(balancer.NewAccount(b), 1000); got != 0 {
			t.Errorf("%+v gave %d", b, got)
		}
	}
}

// A count that is older than the last one is no count of 2^64 calls.
func TestBudgetTakesCountsInAnyOrder(t *testing.T) {
	a := balancer.NewAccount(balancer.Budget{Floor: -1})
	if got := spendAll(a, 100) + spendAll(a, 99) + spendAll(a, 100); got != 10 {
		t.Errorf("100 calls gave %d retries, want 10", got)
	}
}

func TestBudgetIsChecked(t *testing.T) {
	for _, b := range []balancer.Budget{{}, {Share: 1}, {Share: -1}, {Floor: -1}, {Floor: 1000}} {
		if err := b.Check(); err != nil {
			t.Errorf("%+v: %v", b, err)
		}
	}
	for _, b := range []balancer.Budget{{Share: 1.01}, {Share: math.NaN()}, {Share: math.Inf(-1)}, {Floor: math.NaN()}, {Floor: math.Inf(1)}} {
		if b.Check() == nil {
			t.Errorf("%+v was taken", b)
		}
	}
}

// However often it is asked, the floor is what it is on average.
func TestBudgetHasItsFloorHoweverOftenItIsAsked(t *testing.T) {
	for _, every := range []time.Duration{200 * time.Microsecond, 330 * time.Microsecond, 7 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			a := balancer.NewAccount(balancer.Budget{Share: -1})
			got := 0
			for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(every) {
				if a.Spend(0) {
					got++
				}
			}
			if got != 90 {
				t.Errorf("asked every %v for 30 s, it gave %d, want 90", every, got)
			}
		})
	}
}

// Clients with a steady number of calls a second have good times, in which nothing is
// tried again, and storms. In no ten seconds are there more retries than the share of the
// calls, and the floor. The account counts whole seconds: calls of an eleventh may count.
func TestBudgetKeepsItsShareInStorms(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := balancer.Budget{
			Share: rapid.SampledFrom([]float64{0.01, 0.1, 1}).Draw(rt, "share"),
			Floor: rapid.SampledFrom([]float64{-1, 1, 3}).Draw(rt, "floor"),
		}
		calls := rapid.IntRange(0, 300).Draw(rt, "calls a second")
		times := rapid.SliceOfN(rapid.IntRange(1, 25), 1, 6).Draw(rt, "seconds of good and bad times")
		most := int(b.Share*float64(11*calls) + 10*max(b.Floor, 0) + 1e-6)
		var spent []int // in each second
		synctest.Test(t, func(*testing.T) {
			a := balancer.NewAccount(b)
			for i, seconds := range times {
				for range seconds {
					got, made := 0, uint64((len(spent)+1)*calls)
					for i%2 == 1 && a.Spend(made) {
						got++
					}
					spent = append(spent, got)
					time.Sleep(time.Second)
				}
			}
		})
		for end := range spent {
			got := 0
			for _, n := range spent[max(0, end-9) : end+1] {
				got += n
			}
			if got > most {
				rt.Fatalf("%d retries in the ten seconds up to %d, want at most %d", got, end, most)
			}
		}
	})
}

func ExampleAccount() {
	var calls atomic.Uint64
	budget := balancer.NewAccount(balancer.Budget{Share: 0.1, Floor: -1})
	send := func() error { return errors.New("overloaded") }
	attempts := 0
	for range 100 {
		calls.Add(1)
		for {
			attempts++
			if send() == nil || !budget.Spend(calls.Load()) {
				break
			}
		}
	}
	fmt.Println(attempts, "attempts for", calls.Load(), "calls that all fail")
	// Output: 110 attempts for 100 calls that all fail
}
