package register

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// several are the hooks of several dnsd that share one registry, by the names of their
// hosts. Each can be made to fail.
type several struct {
	registry *fakeHook
	hooks    memory

	mu    sync.Mutex
	fails map[string]string        // how; "": it works
	open  map[string][]func()      // end the requests of a host
	asked []string                 // PUTs and DELETEs: "a PUT"
	at    []time.Time              // of asked
	frees map[string]chan struct{} // closed when a host works again
}

// newSeveral makes the hooks a, b and c, and a configuration that lists them.
func newSeveral() (*several, Config) {
	s := &several{registry: newFakeHook(), hooks: memory{}, fails: map[string]string{}, open: map[string][]func(){}, frees: map[string]chan struct{}{}}
	cfg := config(s.hooks)
	cfg.Hooks = nil
	for _, host := range []string{"a", "b", "c"} {
		cfg.Hooks = append(cfg.Hooks, "http://"+host)
		s.set(host, "")
	}
	return s, cfg
}

// The ways in which a hook fails.
var failures = []string{"killed", "stopped", "unavailable", "unwelcome"}

// set lets a host fail; "": it works again.
func (s *several) set(host, how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[host] = how
	if free := s.frees[host]; free != nil {
		close(free)
	}
	s.frees[host] = make(chan struct{})
	if how == "killed" || how == "unwelcome" {
		for _, end := range s.open[host] {
			end()
		}
		s.open[host] = nil
	}
	if how == "killed" {
		s.hooks.set(host, nil)
		return
	}
	s.hooks.set(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(host, w, r) }))
}

func (s *several) how(host string) (string, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fails[host], s.frees[host]
}

func (s *several) serve(host string, w http.ResponseWriter, r *http.Request) {
	ctx, end := context.WithCancel(r.Context())
	defer end()
	s.mu.Lock()
	s.open[host] = append(s.open[host], end)
	if r.Method != http.MethodPost {
		s.asked, s.at = append(s.asked, host+" "+r.Method), append(s.at, time.Now())
	}
	how := s.fails[host]
	s.mu.Unlock()
	switch how {
	case "stopped":
		<-ctx.Done()
		return
	case "unwelcome":
		fail(w, http.StatusForbidden, "", "this token does not allow write")
		return
	case "unavailable":
		w.Header().Set("Retry-After", "30")
		fail(w, http.StatusServiceUnavailable, "", "no writer can be reached")
		return
	}
	r = r.WithContext(ctx)
	r.Body = &severalBody{r.Body, s, host, w, ctx}
	s.registry.ServeHTTP(w, r)
}

// severalBody is a body that a stopped host does not read. A hook without a writer reads
// heartbeats, and answers that it waits.
type severalBody struct {
	io.ReadCloser
	s    *several
	host string
	w    http.ResponseWriter
	ctx  context.Context
}

func (b *severalBody) Read(p []byte) (int, error) {
	for {
		how, free := b.s.how(b.host)
		if how != "stopped" {
			n, err := b.ReadCloser.Read(p)
			if how, _ = b.s.how(b.host); how != "unavailable" || err != nil {
				return n, err
			}
			io.WriteString(b.w, "event: waiting\ndata: {}\n\n")
			continue
		}
		select {
		case <-free:
		case <-b.ctx.Done():
			return 0, io.EOF
		}
	}
}

// requests are the PUTs and DELETEs since the last call.
func (s *several) requests() (asked []string, at []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, at = s.asked, s.at
	s.asked, s.at = nil, nil
	return asked, at
}

// One after another the hook in use fails. The next takes over, the lease never ends, and
// the program is not told of any trouble.
func TestLeaseGoesFromHookToHook(t *testing.T) {
	for _, how := range failures {
		for _, noHold := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, no hold: %v", how, noHold), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, cfg := newSeveral()
					cfg.NoHold = noHold
					var states []LeaseState
					cfg.OnChange = func(st Status) { states = append(states, st.State) }
					l := mustKeep(t, cfg)
					want := LeaseHeld
					if noHold {
						want = LeaseRenewed
					}
					for i := range 6 {
						time.Sleep(time.Minute)
						st := l.Status()
						if host := string('a' + rune(i%3)); st.Hook != "http://"+host || st.State != want || st.Err != nil {
							t.Fatalf("before failure %d: %+v", i, st)
						}
						s.set(strings.TrimPrefix(st.Hook, "http://"), how)
						time.Sleep(time.Minute)
						s.registry.mustNotHaveLapsed(t)
						s.set(strings.TrimPrefix(st.Hook, "http://"), "")
					}
					synctest.Wait()
					asked, _ := s.requests()
					if !noHold && len(asked) > 1+6*2 {
						t.Errorf("asked for %q", asked)
					}
					if slices.Contains(states, LeaseRetrying) {
						t.Errorf("states %v", states)
					}
					mustClose(t, l)
				})
			})
		}
	}
}

// However short the lease is, and whenever the machine of the hook dies without a word,
// another hook gets the registration before the lease ends.
func TestShortLeaseGoesToAnotherHookInTime(t *testing.T) {
	for _, noHold := range []bool{false, true} {
		for moment := time.Duration(0); moment < 4*time.Second; moment += 40 * time.Millisecond {
			synctest.Test(t, func(t *testing.T) {
				s, cfg := newSeveral()
				s.registry.lease, cfg.NoHold = 3*time.Second, noHold
				l := mustKeep(t, cfg)
				time.Sleep(moment)
				s.set("a", "stopped")
				time.Sleep(10 * time.Second)
				s.registry.mustNotHaveLapsed(t)
				s.set("a", "")
				mustClose(t, l)
				if t.Failed() {
					t.Fatalf("stopped after %v, no hold: %v", moment, noHold)
				}
			})
		}
	}
}

// The hook that works is kept, also when an earlier one in the list is back.
func TestHookThatWorksIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newSeveral()
		s.set("a", "killed")
		l := mustKeep(t, cfg)
		s.set("a", "")
		s.requests()
		time.Sleep(10 * time.Minute)
		if asked, _ := s.requests(); len(asked) > 0 || l.Status().Hook != "http://b" {
			t.Errorf("at %s, asked for %q", l.Status().Hook, asked)
		}
		mustClose(t, l)
	})
}

// While no hook works, all are asked at once, and then there is a pause. A Retry-After of
// one hook does not delay a request to the next.
func TestRoundsOverAllHooksHaveThePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newSeveral()
		for _, host := range []string{"a", "b", "c"} {
			s.set(host, "unavailable")
		}
		cfg.Background = true
		l := mustKeep(t, cfg)
		time.Sleep(10 * time.Minute)
		asked, at := s.requests()
		if len(asked) < 3*9 || len(asked) > 3*21 { // each 30 s, with jitter up to 60 s
			t.Errorf("%d requests in 10 minutes", len(asked))
		}
		for i := range asked {
			if want := string('a'+rune(i%3)) + " PUT"; asked[i] != want {
				t.Fatalf("request %d is %s, want %s", i, asked[i], want)
			}
			if i == 0 {
				continue
			}
			switch gap := at[i].Sub(at[i-1]); {
			case i%3 != 0 && gap != 0:
				t.Errorf("%s comes %v after the request before", asked[i], gap)
			case i%3 == 0 && gap < 30*time.Second:
				t.Errorf("round %d comes after %v", i/3, gap)
			}
		}
		s.set("c", "")
		time.Sleep(time.Minute)
		s.registry.mustNotHaveLapsed(t)
		mustClose(t, l)
	})
}

// A refusal is the same at every hook, so it is not taken to another one, and not repeated
// without a pause.
func TestRefusalIsNotTakenToTheNextHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newSeveral()
		cfg.Weight = Uint16(666)
		if _, err := keep(t.Context(), cfg, half); err == nil {
			t.Error("no error")
		}
		if asked, _ := s.requests(); !slices.Equal(asked, []string{"a PUT"}) {
			t.Errorf("asked for %q", asked)
		}
		cfg.Background = true
		l := mustKeep(t, cfg)
		time.Sleep(time.Minute)
		asked, at := s.requests()
		for i := range asked {
			if asked[i] != "a PUT" || i > 0 && at[i].Sub(at[i-1]) < minBackoff/2 {
				t.Errorf("%s at %v", asked[i], at[i])
			}
		}
		mustClose(t, l)
	})
}

// A token that all hooks refuse is an error of Keep, after all were asked.
func TestTokenThatNoHookKnowsEndsKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newSeveral()
		for _, host := range []string{"a", "b", "c"} {
			s.set(host, "unwelcome")
		}
		began := time.Now()
		_, err := keep(t.Context(), cfg, half)
		if p, ok := asType[*Problem](err); !ok || p.Status != http.StatusForbidden || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if asked, _ := s.requests(); !slices.Equal(asked, []string{"a PUT", "b PUT", "c PUT"}) {
			t.Errorf("asked for %q", asked)
		}
	})
}

// Close tries every hook until one has removed the instance.
func TestCloseTriesEveryHook(t *testing.T) {
	for _, how := range failures {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, cfg := newSeveral()
				l := mustKeep(t, cfg)
				time.Sleep(time.Second)
				s.set("a", how)
				s.set("b", how)
				began := time.Now()
				mustClose(t, l)
				if _, ok := s.registry.entry("a1"); ok {
					t.Error("still registered")
				}
				if took := time.Since(began); took >= closeTimeout || how != "stopped" && took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A Keep that is given up asks every hook to remove what it may have registered.
func TestGivenUpKeepTriesEveryHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newSeveral()
		s.set("b", "killed")
		s.registry.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			s.registry.put("a1", Registration{Port: 8080, Incarnation: 5}) // executed, but never answered
			s.set("a", "stopped")
			<-r.Context().Done()
			return true
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := keep(ctx, cfg, half); err == nil {
			t.Fatal("no error")
		}
		if _, ok := s.registry.entry("a1"); ok {
			t.Error("left behind")
		}
	})
}

// A hold whose hook finds no writer goes on for a while: the next writer is elected within
// seconds. Then the lease goes to another hook, before it ends, which may find the writer.
func TestHoldThatWaitsForAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, cfg := newSeveral()
		l := mustKeep(t, cfg)
		time.Sleep(time.Minute)
		s.requests()
		s.set("a", "unavailable")
		time.Sleep(7 * time.Second)
		s.set("a", "")
		time.Sleep(10 * time.Second)
		s.registry.mustNotHaveLapsed(t)
		if asked, _ := s.requests(); len(asked) > 0 || l.Status().State != LeaseHeld || l.Status().Failures > 0 {
			t.Errorf("asked for %q: %+v", asked, l.Status())
		}
		s.set("a", "unavailable")
		began := time.Now()
		time.Sleep(time.Minute)
		s.registry.mustNotHaveLapsed(t)
		asked, at := s.requests()
		if !slices.Equal(asked, []string{"b PUT"}) {
			t.Fatalf("asked for %q", asked)
		}
		if took := at[0].Sub(began); took > 12500*time.Millisecond {
			t.Errorf("after %v", took)
		}
		mustClose(t, l)
	})
	t.Run("one hook", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, cfg := newSeveral()
			cfg.Hooks = cfg.Hooks[:1]
			l := mustKeep(t, cfg)
			time.Sleep(time.Minute)
			s.requests()
			s.set("a", "unavailable")
			time.Sleep(time.Minute)
			if asked, _ := s.requests(); len(asked) > 0 || l.Status().State != LeaseHeld {
				t.Errorf("asked for %q: %v", asked, l.Status().State)
			}
			s.set("a", "")
			time.Sleep(10 * time.Second)
			if st := l.Status(); time.Since(st.Confirmed) > 5*time.Second || st.Failures > 0 {
				t.Errorf("%+v", st)
			}
			mustClose(t, l)
		})
	})
}
