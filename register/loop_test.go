package register

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRenewalsComeAtAThirdOfTheLeaseOrALittleBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		cfg := config(memory{"hook": h})
		cfg.NoHold = true
		l, err := Keep(t.Context(), cfg) // with random jitter
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		h.mustNotHaveLapsed(t)
		seen := map[time.Duration]bool{}
		for i := 1; i < len(h.putTimes); i++ {
			gap := h.putTimes[i].Sub(h.putTimes[i-1])
			if gap < 4*time.Second || gap > 5*time.Second {
				t.Errorf("renewal %d after %v, want 4s to 5s", i, gap)
			}
			seen[gap] = true
		}
		if len(seen) < 50 {
			t.Errorf("only %d different gaps: no jitter", len(seen))
		}
		if st := l.Status(); st.State != LeaseRenewed {
			t.Errorf("state %v", st.State)
		}
		mustClose(t, l)
	})
}

func TestForgottenRegistrationIsMadeAgainWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(time.Minute)
		for range 5 {
			h.forget()
			time.Sleep(time.Second)
			h.mustNotHaveLapsed(t)
			time.Sleep(time.Minute)
		}
		if st := l.Status(); st.State != LeaseHeld {
			t.Errorf("state %v", st.State)
		}
		mustClose(t, l)
	})
}

func TestHookAwayForAnHourIsAskedWithCappedBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		hooks := memory{"hook": h}
		var states []LeaseState
		cfg := config(hooks)
		cfg.OnChange = func(st Status) { states = append(states, st.State) }
		l, err := Keep(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		tries := 0
		h.setFault(func(w http.ResponseWriter, _ *http.Request) bool {
			tries++
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		h.forget()
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := l.Status(); st.State != LeaseRetrying || st.Err == nil || !strings.Contains(st.Err.Error(), "503") {
			t.Errorf("status %+v", st)
		}
		if tries < 3600/6 || tries > 3600 {
			t.Errorf("%d tries in an hour", tries)
		}
		h.setFault(nil)
		time.Sleep(maxBackoff + time.Second)
		h.mustNotHaveLapsed(t)
		if st := l.Status(); st.State != LeaseHeld || st.Err != nil {
			t.Errorf("status %+v", st)
		}
		mustClose(t, l)
		synctest.Wait()
		want := []LeaseState{LeaseRenewed, LeaseHeld, LeaseRetrying, LeaseRenewed, LeaseHeld, LeaseClosed}
		if len(states) != len(want) {
			t.Fatalf("states %v, want %v", states, want)
		}
		for i := range want {
			if states[i] != want[i] {
				t.Fatalf("states %v, want %v", states, want)
			}
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		begin := time.Now()
		h.fault = func(w http.ResponseWriter, _ *http.Request) bool {
			if time.Since(begin) >= 7*time.Second {
				return false
			}
			w.Header().Set("Retry-After", "7")
			fail(w, 429, "", "slower")
			return true
		}
		l := mustKeep(t, config(memory{"hook": h}))
		if took := time.Since(begin); took < 7*time.Second || took > 14*time.Second { // jittered
			t.Errorf("registered after %v", took)
		}
		mustClose(t, l)
	})
}

func TestBackoffDoublesWithEachRoundAndIsCapped(t *testing.T) {
	l := &Lease{cfg: Config{Hooks: []string{"a", "b"}}, random: func() float64 { return math.Nextafter(1, 0) }}
	lp := &loop{Lease: l}
	var got []time.Duration
	for range 15 {
		lp.fails++
		if pause := lp.backoff(errRefused, time.Minute); pause != 0 {
			t.Errorf("the second hook waits %v", pause)
		}
		lp.fails++
		got = append(got, lp.backoff(errRefused, time.Minute))
	}
	for i := 1; i < len(got); i++ {
		if got[i] < got[i-1] || got[i] > maxBackoff+minBackoff {
			t.Fatalf("backoffs %v", got)
		}
	}
	if got[len(got)-1] < maxBackoff {
		t.Fatalf("backoffs %v", got)
	}
}

// TestPauseIsShorterThanAShortLease: dnsd was away for long, and begins a lease of 2 s
// again when it is back.
func TestPauseIsShorterThanAShortLease(t *testing.T) {
	l := &Lease{cfg: Config{Hooks: []string{"a"}}, status: Status{Registrations: 1}, random: func() float64 { return math.Nextafter(1, 0) }}
	lp := &loop{Lease: l, fails: 20}
	if p := lp.backoff(errRefused, 2*time.Second/3); p > time.Second {
		t.Errorf("a pause of %v", p)
	}
}

// Ten thousand instances whose dnsd was away come back spread over a second, for any
// time that it was away, and whether or not it closed its connections.
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
				at := lp.broken(nil, 5*time.Second) // all holds break at the same moment
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
			for i := range back { // no tenth of a second has more than a quarter
				if i+n/4 < n && back[i+n/4]-back[i] < 100*time.Millisecond {
					t.Fatalf("%d of %d are back between %v and %v", n/4, n, back[i], back[i+n/4])
				}
			}
		})
	}
}

// A Retry-After is obeyed, but not for longer than the lease lasts, and with jitter.
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

// A process that starts after the clock was set back is the newer one, though its
// number is lower.
func TestClockSetBackBetweenTwoStartsIsNoReplacement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		ahead := uint64(time.Now().Add(time.Hour).UnixMilli())
		h.put("a1", Registration{Port: 8080, Incarnation: ahead})
		cfg := config(memory{"hook": h})
		cfg.Incarnation = 0
		l := mustKeep(t, cfg)
		if reg, _ := h.entry("a1"); reg.Incarnation != ahead+1 {
			t.Errorf("registered as %d, want %d", reg.Incarnation, ahead+1)
		}
		reg := l.Registration()
		reg.Weight = Uint16(7)
		if err := l.Update(t.Context(), reg); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		h.mustNotHaveLapsed(t)

		// Once it is registered it is fenced like any other.
		h.put("a1", Registration{Port: 8080, Incarnation: ahead + 2})
		<-l.Done()
		if !errors.Is(l.Err(), ErrReplaced) {
			t.Errorf("ended by %v", l.Err())
		}
		mustClose(t, l)
		if reg, _ := h.entry("a1"); reg.Incarnation != ahead+2 {
			t.Errorf("%d is registered", reg.Incarnation)
		}
	})
}

// An old process that never reached dnsd does not replace one that started later.
func TestProcessThatWaitedWhileANewerOneRegisteredIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		hooks := memory{}
		cfg := config(hooks)
		cfg.Incarnation, cfg.Background = 0, true
		old := mustKeep(t, cfg)
		time.Sleep(time.Hour)
		h.put("a1", Registration{Port: 8080, Incarnation: uint64(time.Now().UnixMilli())})
		time.Sleep(time.Second)
		hooks.set("hook", h)
		<-old.Done()
		if !errors.Is(old.Err(), ErrReplaced) {
			t.Errorf("ended by %v", old.Err())
		}
		mustClose(t, old)
		if _, ok := h.entry("a1"); !ok {
			t.Error("took the new one along")
		}
	})
}

// An incarnation that the caller gave is never changed.
func TestGivenIncarnationIsNotRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		h.put("a1", Registration{Port: 8080, Incarnation: uint64(time.Now().Add(time.Hour).UnixMilli())})
		if _, err := keep(t.Context(), config(memory{"hook": h}), half); !errors.Is(err, ErrReplaced) {
			t.Errorf("got %v", err)
		}
	})
}

// TestHookThatIsAwayMayTakeWhatOthersRefuse: that all other hooks turn the sender away says
// nothing of the one that does not work at the moment.
func TestHookThatIsAwayMayTakeWhatOthersRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newSeveral()
		s.set("b", "unwelcome")
		s.set("c", "unwelcome")
		away := func() {
			s.set("a", "unavailable")
			time.AfterFunc(time.Second, func() { s.set("a", "") })
		}
		away()
		l := mustKeep(t, cfg)
		away()
		reg := l.Registration()
		reg.Weight, reg.Incarnation = Uint16(7), 0
		if err := l.Update(t.Context(), reg); err != nil {
			t.Errorf("update: %v", err)
		}
		away()
		if err := l.Drain(t.Context()); err != nil {
			t.Errorf("drain: %v", err)
		}
		away()
		mustClose(t, l)
		if _, ok := s.registry.entry("a1"); ok {
			t.Error("still registered")
		}
	})
}
