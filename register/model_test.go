package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// deed is one step of a script: the hook gets into a mood, then the user asks for
// something, then time passes.
type deed struct {
	Moods  []string // of each hook, or one of all
	Ask    string   // "update", "refused" (an Update that every hook refuses), "drain", "undrain" or nothing
	Weight uint16
	Wait   time.Duration // of the user
	Pause  time.Duration
}

// script is a life of a lease.
type script struct {
	Lease  time.Duration
	Hooks  int // of several dnsd that share a registry
	NoHold bool
	Seed   uint64
	Gentle bool // a hook renews whenever it is asked to, and the others fail at once
	Deeds  []deed
	Early  bool // it is closed in the last mood
}

func drawScript(t *rapid.T) script {
	seconds := func(most int, name string) time.Duration {
		return time.Duration(rapid.IntRange(0, most*100).Draw(t, name)) * 10 * time.Millisecond
	}
	s := script{
		Lease:  rapid.SampledFrom([]time.Duration{2 * time.Second, 6 * time.Second, 15 * time.Second}).Draw(t, "lease"),
		Hooks:  rapid.IntRange(1, 4).Draw(t, "hooks"),
		NoHold: rapid.Bool().Draw(t, "no hold"),
		Seed:   rapid.Uint64().Draw(t, "seed"),
		Gentle: rapid.Bool().Draw(t, "gentle"),
		Early:  rapid.Bool().Draw(t, "early"),
	}
	moods := slices.Concat(taking, refusing, harsh)
	others := moods
	if s.Gentle {
		// Not both: what was executed without an answer is not what was confirmed, and a hook
		// that takes no change does not renew it by the other.
		moods, others = slices.Concat(taking[:2], refusing), slices.Concat(quick, refusing[:6], refusing[7:])
		if rapid.Bool().Draw(t, "taking") {
			moods, others = taking, quick
		}
	}
	for range rapid.IntRange(1, 10).Draw(t, "deeds") {
		each := []string{rapid.SampledFrom(moods).Draw(t, "mood")}
		if s.Hooks > 1 && rapid.Bool().Draw(t, "differ") {
			for range s.Hooks - 1 {
				each = append(each, rapid.SampledFrom(others).Draw(t, "other mood"))
			}
			at := rapid.IntRange(0, s.Hooks-1).Draw(t, "at")
			each[0], each[at] = each[at], each[0]
		}
		s.Deeds = append(s.Deeds, deed{
			Moods:  each,
			Ask:    rapid.SampledFrom([]string{"", "update", "update", "refused", "drain", "undrain"}).Draw(t, "ask"),
			Weight: uint16(rapid.IntRange(1, 600).Draw(t, "weight")),
			Wait:   seconds(20, "wait"),
			Pause:  seconds(40, "pause"),
		})
	}
	return s
}

// Hooks do anything, and a user anything else. Whatever the user asked for last: while
// one hook renews what was confirmed and the others fail at once, the lease does not end; when all are well again, they
// soon have what the user said last; requests are bounded; after a Close without an error
// nothing is registered; and nothing is left that runs.
func TestLeaseInAnyMood(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScript(rt)
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = s.play(t) })
		if len(wrong) > 0 {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	})
}

// These scripts each have one thing that must not go wrong.
func TestLeaseInTheseMoods(t *testing.T) {
	long := func(mood, ask string) []deed {
		return []deed{{Moods: []string{"well"}, Pause: time.Minute}, {Moods: []string{mood}, Ask: ask, Weight: 7, Wait: time.Second, Pause: 2 * time.Minute}}
	}
	scripts := map[string]script{
		"a change waits for a PUT, and fails": {Lease: 2 * time.Second, Deeds: []deed{
			{Moods: []string{"well"}, Ask: "drain"},
			{Moods: []string{"well"}, Pause: 580 * time.Millisecond},
			{Moods: []string{"late"}, Ask: "refused", Pause: 2770 * time.Millisecond},
			{Moods: []string{"no change 500"}, Ask: "undrain", Pause: 950 * time.Millisecond},
		}},
	}
	for _, mood := range refusing {
		for _, ask := range []string{"update", "drain"} {
			scripts[mood+" for long, "+ask] = script{Lease: 15 * time.Second, Deeds: long(mood, ask)}
		}
	}
	for name, s := range scripts {
		for _, s.Hooks = range []int{1, 2} {
			for _, s.NoHold = range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, hooks: %d, no hold: %v", name, s.Hooks, s.NoHold), func(t *testing.T) {
					s.Gentle = true
					synctest.Test(t, func(t *testing.T) {
						for _, wrong := range s.play(t) {
							t.Error(wrong)
						}
					})
				})
			}
		}
	}
}

// The hook drains the instance, but the answer is lost. An operator drains it, too, so the
// hook is asked what is published: that must not undo what the instance wants.
func TestQuestionDoesNotUndoAChangeWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoody(15 * time.Second)
		cfg := config(nil)
		var drains []bool
		cfg.HTTP = &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				var reg Registration
				body, err := r.GetBody()
				if err != nil {
					t.Error(err)
				} else if err := json.NewDecoder(body).Decode(&reg); err != nil {
					t.Error(err)
				}
				drains = append(drains, reg.Drain)
			}
			return m.RoundTrip(r)
		})}
		l := mustKeep(t, cfg)
		time.Sleep(time.Minute)
		m.set("lost")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := l.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("%v: want both the failure and the reason to give up", err)
		}
		m.set("well")
		m.hook.drain("a1", true)
		synctest.Wait()
		if want := []bool{false, true, true}; !slices.Equal(drains, want) {
			t.Errorf("said drain %v, want %v", drains, want)
		}
		if st := l.Status(); st.Pending != nil || len(st.Published.DrainedBy) != 2 {
			t.Errorf("%+v", st)
		}
		mustClose(t, l)
	})
}

// user is what was asked for and answered.
type user struct {
	lease *Lease

	mu      sync.Mutex // guards all below
	asked   int        // calls of Update so far
	allowed []int      // weights that may be registered in the end
	ever    []int      // and those that may be at present
	drain   bool
	wrong   []string
}

const noWeight = -1

// ask makes one call in a goroutine.
func (u *user) ask(t *testing.T, d deed, mayRefuse bool, calls *sync.WaitGroup) {
	call := func(ctx context.Context) error { return nil }
	mine := 0
	u.mu.Lock()
	switch d.Ask {
	case "drain":
		call, u.drain = u.lease.Drain, true
	case "undrain":
		call, u.drain = u.lease.Undrain, false
	case "update", "refused":
		u.asked++
		mine = u.asked
		w := d.Weight
		if d.Ask == "refused" {
			w, u.allowed = 666, slices.Clone(u.ever)
		} else {
			u.ever = append(u.ever, int(w))
			u.allowed = []int{int(w)}
		}
		reg := u.lease.Registration()
		reg.Weight = &w
		call = func(ctx context.Context) error { return u.lease.Update(ctx, reg) }
	}
	u.mu.Unlock()
	calls.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), d.Wait)
		defer cancel()
		err := call(ctx)
		u.mu.Lock()
		defer u.mu.Unlock()
		_, refused := asType[*Problem](err)
		switch {
		case err == nil && mine > 0 && mine == u.asked:
			u.ever = []int{int(d.Weight)}
		case err == nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, errClosed):
		case strings.Contains(err.Error(), "another Update"), strings.Contains(err.Error(), "the opposite"):
		case refused && (d.Ask == "refused" || mayRefuse):
		default:
			u.wrong = append(u.wrong, fmt.Sprintf("%s: %v", d.Ask, err))
		}
		if err == nil && d.Ask == "refused" {
			u.wrong = append(u.wrong, "an Update that is refused returned nil")
		}
	})
	synctest.Wait()
}

// play plays the script, and returns what was wrong.
func (s script) play(t *testing.T) []string {
	m := newMoody(s.Lease)
	cfg := config(nil)
	cfg.Hooks = manyHooks[:s.Hooks]
	cfg.HTTP, cfg.NoHold = &http.Client{Transport: m}, s.NoHold
	cfg.HTTP.CheckRedirect, cfg.Logger = stay, slog.New(slog.DiscardHandler)
	var mu sync.Mutex // guards random, which the hold uses, too
	random := rand.New(rand.NewPCG(s.Seed, 1))
	l, err := keep(t.Context(), cfg, func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Float64()
	})
	if err != nil {
		return []string{err.Error()}
	}
	u := &user{lease: l, ever: []int{noWeight}, allowed: []int{noWeight}}
	mayRefuse := slices.ContainsFunc(s.Deeds, func(d deed) bool { return strings.Contains(strings.Join(d.Moods, " "), "refused") })
	var calls sync.WaitGroup
	for _, d := range s.Deeds {
		m.set(d.Moods...)
		if d.Ask != "" {
			u.ask(t, d, mayRefuse, &calls)
		}
		time.Sleep(d.Pause)
	}
	if !s.Early {
		m.set("well")
		time.Sleep(30 * time.Second) // the pause after the last try, and a PUT that hangs
		synctest.Wait()
		u.check(m, mayRefuse)
	}
	closed := l.Close(t.Context())
	calls.Wait()
	m.set("well")
	if _, there := m.hook.entry("a1"); closed == nil && there {
		u.wrong = append(u.wrong, "registered after Close")
	}
	time.Sleep(s.Lease + time.Minute)
	if _, there := m.hook.entry("a1"); there {
		u.wrong = append(u.wrong, "registered long after Close")
	}
	if s.Gentle && len(m.hook.lapses) > 0 {
		u.wrong = append(u.wrong, m.hook.lapses...)
	}
	lost := slices.ContainsFunc(s.Deeds, func(d deed) bool { return slices.Contains(d.Moods, "lost") }) // of a renewal, too
	if _, _, holds := m.hook.counts(); s.Gentle && !lost && s.Hooks == 1 && holds > 1 {
		u.wrong = append(u.wrong, fmt.Sprintf("%d holds: a change that fails costs the hold", holds))
	}
	// While nothing is answered, each pause, of 0.4 s on average with the shortest lease, has a
	// change and a renewal at each hook.
	if n, most := m.busiest(10*time.Second), 100*s.Hooks+3*len(s.Deeds); n > most {
		u.wrong = append(u.wrong, fmt.Sprintf("%d requests in 10 s, want %d at most", n, most))
	}
	return u.wrong
}

// check compares what is registered in the end with what the user said.
func (u *user) check(m *moody, mayRefuse bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	reg, ok := m.hook.entry("a1")
	weight := noWeight
	if reg.Weight != nil {
		weight = int(*reg.Weight)
	}
	switch st := u.lease.Status(); {
	case !ok:
		u.wrong = append(u.wrong, fmt.Sprintf("not registered: %+v", st))
	case !mayRefuse && (reg.Drain != u.drain || !slices.Contains(u.allowed, weight)):
		u.wrong = append(u.wrong, fmt.Sprintf("drain %t and weight %d, want %t and %d", reg.Drain, weight, u.drain, u.allowed))
	case st.Err != nil, st.Pending != nil, st.State != LeaseHeld && st.State != LeaseRenewed:
		u.wrong = append(u.wrong, fmt.Sprintf("status %+v", st))
	case st.Published.Revision == 0 || u.lease.Registration().Drain != reg.Drain:
		u.wrong = append(u.wrong, fmt.Sprintf("kept %+v, registered %+v", u.lease.Registration(), reg))
	}
}
