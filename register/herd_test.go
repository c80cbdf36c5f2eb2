package register

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Ten thousand whose dnsd was away come back one after the other: whatever the
// time it was away, and whether it said that it went or not.
func TestTenThousandComeBackOverASecond(t *testing.T) {
	const n = 10_000
	for _, away := range []time.Duration{0, 50 * time.Millisecond, 300 * time.Millisecond, time.Second, 2 * time.Second, 10 * time.Second, time.Minute} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			var back []time.Duration
			for range n {
				l := &Lease{
					cfg:    Config{Hooks: []string{"a"}, Logger: slog.New(slog.DiscardHandler)},
					client: &client{bases: []string{"a"}},
					random: random.Float64,
					status: Status{Registrations: 1},
				}
				lp := &loop{Lease: l}
				l.held = &hold{began: time.Now().Add(-time.Hour), cancel: func() {}}
				at := lp.broken(nil, 5*time.Second) // all at once
				for at < away {
					lp.fails++
					at += lp.backoff(errRefused, 5*time.Second)
				}
				back = append(back, at-away)
			}
			slices.Sort(back)
			if last := back[n-1]; last > maxBackoff+minBackoff {
				t.Errorf("the last is back after %v", last)
			}
			if all := back[n*99/100] - back[n/100]; all < 900*time.Millisecond {
				t.Errorf("98 of 100 are back within %v", all)
			}
			for i := range back { // no tenth of a second has a quarter of them
				if i+n/4 < n && back[i+n/4]-back[i] < 100*time.Millisecond {
					t.Fatalf("%d of %d are back between %v and %v", n/4, n, back[i], back[i+n/4])
				}
			}
		})
	}
}

// One whom the hook asks to wait does so, but not for longer than its lease lasts,
// and not exactly as long as all others.
func TestRetryAfterNeitherShortensThePauseNorCostsTheLease(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	asked := &answer{Problem: &Problem{Status: 503}, genuine: true, retryAfter: maxRetryAfter}
	soon := &answer{Problem: &Problem{Status: 503}, genuine: true, retryAfter: time.Second}
	seen := map[time.Duration]bool{}
	for range 1000 {
		l := &Lease{cfg: Config{Hooks: []string{"a"}}, random: random.Float64, status: Status{Registrations: 1}}
		lp := &loop{Lease: l, fails: 1}
		p := lp.backoff(asked, 5*time.Second)
		if p > 5*time.Second {
			t.Fatalf("a pause of %v, with 10s left of the lease", p)
		}
		seen[p] = true
		lp.fails = 10
		random := lp.random
		lp.random = func() float64 { return 0.99 }
		if p := lp.backoff(soon, 5*time.Second); p < maxBackoff-time.Second {
			t.Fatalf("after 10 failures a pause of %v", p)
		}
		lp.random = random
	}
	if len(seen) < 900 {
		t.Errorf("%d different pauses of 1000", len(seen))
	}
}
