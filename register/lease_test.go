package register

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func half() float64 { return 0.5 }

// config is for a fake hook called "hook".
func config(hooks memory) Config {
	return Config{
		Hooks: []string{"http://hook"}, Service: "_math._tcp", ID: "a1",
		Registration: Registration{Port: 8080, Incarnation: 5},
		HTTP:         &http.Client{Transport: hooks},
	}
}

func mustKeep(t *testing.T, cfg Config) *Lease {
	t.Helper()
	l, err := keep(t.Context(), cfg, half)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t *testing.T, l *Lease) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (h *fakeHook) mustNotHaveLapsed(t *testing.T) {
	t.Helper()
	if _, ok := h.entry("a1"); !ok {
		t.Error("the instance is not registered")
	}
	if len(h.lapses) > 0 {
		t.Error(h.lapses)
	}
}

func TestKeepPublishesBeforeItReturnsAndCloseTakesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		reg, ok := h.entry("a1")
		if !ok || reg.Port != 8080 || reg.Incarnation != 5 {
			t.Fatalf("registered %v, %+v", ok, reg)
		}
		mustClose(t, l)
		if _, ok := h.entry("a1"); ok {
			t.Fatal("still registered after Close")
		}
		select {
		case <-l.Done():
		default:
			t.Fatal("Done is open after Close")
		}
		if l.Err() == nil || l.Status().State != Closed {
			t.Fatalf("after Close: %v, %v", l.Err(), l.Status().State)
		}
		mustClose(t, l)
		if _, deletes, _ := h.counts(); deletes != 1 {
			t.Fatalf("%d DELETEs", deletes)
		}
	})
}

func TestHoldKeepsTheLeaseWithoutFurtherRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(10 * time.Minute)
		h.mustNotHaveLapsed(t)
		if puts, _, holds := h.counts(); puts != 1 || holds != 1 {
			t.Errorf("%d PUTs and %d holds in 10 minutes, want 1 and 1", puts, holds)
		}
		if st := l.Status(); st.State != Held || time.Since(st.Confirmed) > 5*time.Second || st.Beats < 100 {
			t.Errorf("status %+v", st)
		}
		mustClose(t, l)
	})
}

func TestRenewalsComeAtAThirdOfTheLeaseOrALittleBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		cfg := config(memory{"hook": h})
		cfg.NoHold = true
		l, err := Keep(t.Context(), cfg) // its own jitter
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
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
		if st := l.Status(); st.State != Renewed {
			t.Errorf("state %v", st.State)
		}
		mustClose(t, l)
	})
}

func TestHookOrProxyThatCannotHoldMeansRenewals(t *testing.T) {
	cases := map[string]struct {
		hold  func(w http.ResponseWriter, r *http.Request)
		holds int // tried in 5 minutes, at most
	}{
		"old hook":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) }, 3},
		"no such path": {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, 3},
		"not written":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(501) }, 3},
		"forbidden":    {func(w http.ResponseWriter, _ *http.Request) { fail(w, 403, "", "not with this token") }, 3},
		"html":         {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, 3},
		"buffering":    {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 3},
		"keeps the body": {func(w http.ResponseWriter, r *http.Request) { // to itself: no heartbeat reaches the hook
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, ": held\n\n")
			<-r.Context().Done()
		}, 3},
		"closes at once": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/event-stream") }, 9},
		"bad gateway":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, 9},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFakeHook()
				h.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPost {
						return false
					}
					h.mu.Lock()
					h.holdsOpened++
					h.mu.Unlock()
					c.hold(w, r)
					return true
				}
				l := mustKeep(t, config(memory{"hook": h}))
				time.Sleep(5 * time.Minute)
				h.mustNotHaveLapsed(t)
				if _, _, holds := h.counts(); holds == 0 || holds > c.holds {
					t.Errorf("%d holds tried, want 1 to %d", holds, c.holds)
				}
				if st := l.Status(); st.State != Renewed {
					t.Errorf("state %v", st.State)
				}
				h.setFault(nil) // the proxy is gone: the hold is found again
				time.Sleep(time.Hour)
				if st := l.Status(); st.State != Held {
					t.Errorf("state %v an hour after holds work", st.State)
				}
				mustClose(t, l)
			})
		})
	}
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
		if st := l.Status(); st.State != Held {
			t.Errorf("state %v", st.State)
		}
		mustClose(t, l)
	})
}

func TestHookAwayForAnHourIsAskedWithCappedBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		hooks := memory{"hook": h}
		var states []State
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
		if st := l.Status(); st.State != Retrying || st.Err == nil || !strings.Contains(st.Err.Error(), "503") {
			t.Errorf("status %+v", st)
		}
		if tries < 3600/6 || tries > 3600 {
			t.Errorf("%d tries in an hour", tries)
		}
		h.setFault(nil)
		time.Sleep(maxBackoff + time.Second)
		h.mustNotHaveLapsed(t)
		if st := l.Status(); st.State != Held || st.Err != nil {
			t.Errorf("status %+v", st)
		}
		mustClose(t, l)
		want := []State{Renewed, Held, Retrying, Renewed, Held, Closed}
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
		if took := time.Since(begin); took < 7*time.Second || took > 14*time.Second { // not all at once
			t.Errorf("registered after %v", took)
		}
		mustClose(t, l)
	})
}

func TestRefusedRegistrationIsAnErrorAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(memory{"hook": newFakeHook()})
		cfg.Weight = Uint16(666)
		begin := time.Now()
		_, err := keep(t.Context(), cfg, half)
		p, ok := asType[*Problem](err)
		if !ok || p.Field != "weight" || p.Status != 400 {
			t.Fatalf("got %v", err)
		}
		if want := "register: _math._tcp/a1: 400 Bad Request: weight: give another"; err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
		if time.Since(begin) != 0 {
			t.Errorf("took %v", time.Since(begin))
		}
	})
}

// An ingress without a backend, a login page, a server of something else: none of
// them is a hook that refuses, and a hook may yet be there.
func TestAnswerThatIsNoHooksIsWaitedOut(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"404": http.NotFound,
		"403": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no backend is ready", http.StatusForbidden)
		},
		"409": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(409) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := keep(ctx, config(memory{"hook": answer}), half)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("got %v", err)
				}
				for want, in := range map[string]string{"is it the hook of a dnsd?": "404", "no backend is ready": "403", "/login": "redirect"} {
					if in == name && !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
				h := newFakeHook()
				h.fault = func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true }
				time.AfterFunc(time.Minute, func() { h.setFault(nil) })
				began := time.Now()
				l := mustKeep(t, config(memory{"hook": h}))
				if took := time.Since(began); took < time.Minute || took > time.Minute+maxBackoff+minBackoff {
					t.Errorf("registered after %v", took)
				}
				// A Close is not done either when somebody else says 404.
				h.setFault(func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodDelete {
						answer(w, r)
						return true
					}
					return false
				})
				began = time.Now()
				if err := l.Close(t.Context()); err == nil || time.Since(began) > closeTimeout {
					t.Errorf("Close after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}

func TestKeepWaitsForAHookUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := keep(ctx, config(memory{}), half)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 12*time.Second {
			t.Fatalf("took %v", took)
		}

		h := newFakeHook()
		hooks := memory{"hook": h}
		h.fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
		time.AfterFunc(20*time.Second, func() { h.setFault(nil) })
		l := mustKeep(t, config(hooks))
		h.mustNotHaveLapsed(t)
		mustClose(t, l)
	})
}

func TestGivenUpKeepLeavesNothingRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		h.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut { // does it, but the answer never comes
				h.put("a1", Registration{Port: 8080, Incarnation: 5})
				<-r.Context().Done()
				return true
			}
			return false
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := keep(ctx, config(memory{"hook": h}), half); err == nil {
			t.Fatal("no error")
		}
		if _, ok := h.entry("a1"); ok {
			t.Fatal("left behind")
		}
	})
}

func TestBackgroundReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		h.fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
		cfg := config(memory{"hook": h})
		cfg.Background = true
		begin := time.Now()
		l := mustKeep(t, cfg)
		if time.Since(begin) != 0 || l.Status().State != Registering {
			t.Fatalf("after %v: %v", time.Since(begin), l.Status().State)
		}
		time.Sleep(time.Minute)
		h.setFault(nil)
		time.Sleep(maxBackoff)
		h.mustNotHaveLapsed(t)
		mustClose(t, l)
	})
}

func TestNextHookTakesOver(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	t.Run("at first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newFakeHook()
			cfg := config(memory{"two": h})
			cfg.Hooks = []string{"http://one", "http://two/"}
			begin := time.Now()
			l := mustKeep(t, cfg)
			if time.Since(begin) != 0 {
				t.Errorf("took %v", time.Since(begin))
			}
			if l.Status().Hook != "http://two" {
				t.Errorf("hook %s", l.Status().Hook)
			}
			mustClose(t, l)
		})
	})
	t.Run("before the lease ends when one hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// Two doors of one registry; the first hangs, its held requests too.
			h := newFakeHook()
			hung := make(chan struct{})
			first := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-hung:
					hang(w, r)
				default:
					h.ServeHTTP(&hanging{w, hung, r.Context()}, r)
				}
			})
			cfg := config(memory{"one": first, "two": h})
			cfg.Hooks = []string{"http://one", "http://two"}
			l := mustKeep(t, cfg)
			time.Sleep(time.Minute)
			close(hung)
			time.Sleep(time.Minute)
			h.mustNotHaveLapsed(t)
			if st := l.Status(); st.Hook != "http://two" || st.State != Held {
				t.Errorf("status %+v", st)
			}
			mustClose(t, l)
		})
	})
}

// hanging is a response that stops moving.
type hanging struct {
	http.ResponseWriter
	hung chan struct{}
	ctx  context.Context
}

func (w *hanging) Flush() {}
func (w *hanging) Write(p []byte) (int, error) {
	select {
	case <-w.hung:
		<-w.ctx.Done()
		return 0, w.ctx.Err()
	default:
		return w.ResponseWriter.Write(p)
	}
}

func TestReplacedProcessReportsAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(time.Minute)
		h.put("a1", Registration{Port: 9090, Incarnation: 6})
		<-l.Done()
		if !errors.Is(l.Err(), ErrReplaced) || l.Status().State != Replaced {
			t.Fatalf("err %v, state %v", l.Err(), l.Status().State)
		}
		if err := l.Update(t.Context(), l.Registration()); err == nil {
			t.Error("Update of a replaced lease is no error")
		}
		puts, _, _ := h.counts()
		time.Sleep(time.Minute)
		mustClose(t, l)
		if p, deletes, _ := h.counts(); p != puts || deletes != 0 {
			t.Errorf("it goes on: %d PUTs, %d DELETEs", p-puts, deletes)
		}
		if reg, ok := h.entry("a1"); !ok || reg.Port != 9090 {
			t.Error("the new one was disturbed")
		}

		if _, err := keep(t.Context(), config(memory{"hook": h}), half); !errors.Is(err, ErrReplaced) {
			t.Errorf("Keep of an old incarnation: %v", err)
		}
	})
}

func TestUpdate(t *testing.T) {
	weigh := func(l *Lease, w uint16) Registration {
		reg := l.Registration()
		reg.Weight = &w
		reg.Incarnation = 0
		return reg
	}
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(time.Minute)

		if err := l.Update(t.Context(), weigh(l, 7)); err != nil {
			t.Fatal(err)
		}
		if reg, _ := h.entry("a1"); reg.Weight == nil || *reg.Weight != 7 || reg.Incarnation != 5 {
			t.Fatalf("published %+v", reg)
		}
		if _, _, holds := h.counts(); holds != 1 {
			t.Errorf("a change cost the hold: %d holds", holds)
		}

		err := l.Update(t.Context(), weigh(l, 666))
		if p, ok := asType[*Problem](err); !ok || p.Field != "weight" {
			t.Fatalf("refused change: %v", err)
		}
		synctest.Wait()
		if reg, ok := h.entry("a1"); !ok || *reg.Weight != 7 || *l.Registration().Weight != 7 {
			t.Fatalf("after a refused change: %+v", reg)
		}
		if _, _, holds := h.counts(); holds != 1 {
			t.Errorf("a refused change cost the hold: %d holds", holds)
		}

		h.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := l.Update(ctx, weigh(l, 9)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("hook away: %v", err)
		}
		h.setFault(nil)
		time.Sleep(10 * time.Second)
		if reg, _ := h.entry("a1"); *reg.Weight != 9 {
			t.Fatalf("a change that waited was lost: %+v", reg)
		}
		mustClose(t, l)
	})
}

func TestCloseIsBoundedWhenTheHookHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		synctest.Wait()
		h.setFault(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		begin := time.Now()
		err := l.Close(t.Context()) // no deadline
		if err == nil || !strings.Contains(err.Error(), "deregister _math._tcp/a1") {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(begin); took > closeTimeout+time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func TestCloseOfWhatIsGoneIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		cfg := config(memory{"hook": h})
		cfg.NoHold = true
		l := mustKeep(t, cfg)
		h.forget()
		mustClose(t, l)
	})
}

func TestEndlessAnswerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := keep(ctx, config(memory{"hook": endless}), half)
		if err == nil || !strings.Contains(err.Error(), "longer than 65536 bytes") {
			t.Fatalf("got %v", err)
		}
	})
}

func TestBackoffDoublesWithEachRoundAndIsCapped(t *testing.T) {
	l := &Lease{cfg: Config{Hooks: []string{"a", "b"}}, random: func() float64 { return math.Nextafter(1, 0) }}
	var got []time.Duration
	for fails := 1; fails < 30; fails++ {
		got = append(got, l.pauseAfter(fails))
	}
	if got[0] != 0 {
		t.Errorf("the second hook waits %v", got[0])
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

func TestKeepGivenUpJustWhenItSucceedsLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		ctx, cancel := context.WithCancel(t.Context())
		h.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				cancel()
			}
			return false // and answered all the same
		}
		for range 50 { // either may win
			l, err := keep(ctx, config(memory{"hook": h}), half)
			if err == nil {
				mustClose(t, l)
			}
			if _, ok := h.entry("a1"); ok {
				t.Fatal("left behind")
			}
			ctx, cancel = context.WithCancel(t.Context())
		}
		cancel()
	})
}
