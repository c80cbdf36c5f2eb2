package register

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// heard collects what the standard logger writes during a test.
type heard struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func hear(t *testing.T) *heard {
	h := &heard{}
	old, flags := log.Writer(), log.Flags()
	log.SetOutput(h)
	log.SetFlags(0)
	t.Cleanup(func() { log.SetOutput(old); log.SetFlags(flags) })
	return h
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Write(p)
}

// lines returns what was written since the last call.
func (h *heard) lines() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := strings.TrimSpace(h.buf.String())
	h.buf.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func (h *heard) want(t *testing.T, words ...string) {
	t.Helper()
	lines := h.lines()
	if len(lines) != len(words) {
		t.Fatalf("heard %d lines, want %d: %q", len(lines), len(words), lines)
	}
	for i, w := range words {
		if !strings.Contains(lines[i], w) || !strings.Contains(lines[i], "_math._tcp/a1") {
			t.Errorf("line %d is %q, want %q in it", i, lines[i], w)
		}
	}
}

// Without a Logger the standard logger reports that a server is not registered: once,
// then less and less often, and once more when it is.
func TestSilentDNSDIsReportedWithoutALogger(t *testing.T) {
	h := hear(t)
	synctest.Test(t, func(t *testing.T) {
		hooks := memory{}
		cfg := config(hooks)
		cfg.Background = true
		l := mustKeep(t, cfg)
		synctest.Wait()
		h.want(t, "is not registered, so no client finds it; trying again: http://hook: dial tcp: connection refused (is dnsd running there?")
		time.Sleep(minNoticeGap - maxBackoff)
		h.want(t)
		time.Sleep(24 * time.Hour)
		if n := len(h.lines()); n < 24 || n > 33 {
			t.Errorf("%d lines in a day", n)
		}
		mustClose(t, l) // nothing was registered: no DELETE is tried

		f := newFakeHook()
		hooks.set("hook", f)
		l = mustKeep(t, cfg)
		time.Sleep(time.Hour)
		h.want(t, "is registered as :8080 at http://hook")
		// A restart of dnsd gives no line, its absence does.
		f.forget()
		time.Sleep(time.Minute)
		h.want(t)
		f.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
		f.forget()
		time.Sleep(30 * time.Second)
		h.want(t, "is not confirmed by dnsd any more; trying again: 503")
		f.setFault(nil)
		time.Sleep(10 * time.Second)
		h.want(t, "is registered as")
		f.put("a1", Registration{Port: 1, Incarnation: 6})
		<-l.Done()
		h.want(t, "no new client finds this process: incarnation 5: replaced by a newer incarnation")
		mustClose(t, l)

		cfg.Logger = slog.New(slog.DiscardHandler)
		l = mustKeep(t, cfg)
		<-l.Done()
		mustClose(t, l)
		h.want(t)
	})
}

// A change that dnsd does not take is reported in the same way, and names the cause.
func TestChangeThatIsNotTakenIsReportedWithoutALogger(t *testing.T) {
	h := hear(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeHook()
		l := mustKeep(t, config(memory{"hook": f}))
		time.Sleep(time.Minute)
		h.lines()
		f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				fail(w, 507, "", "the store has no space left: free some")
			}
			return r.Method == http.MethodPut
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := l.Drain(ctx)
		if want := "register: _math._tcp/a1: 507 Insufficient Storage: the store has no space left: free some; gave up the wait for drain: context deadline exceeded"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		h.want(t) // dnsd may start again just now
		time.Sleep(30 * time.Second)
		h.want(t, "is registered, but its change is not taken; trying again: 507 Insufficient Storage: the store has no space left: free some")
		time.Sleep(24 * time.Hour)
		if n := len(h.lines()); n < 24 || n > 33 {
			t.Errorf("%d lines in a day", n)
		}
		f.mustNotHaveLapsed(t)
		f.setFault(nil)
		time.Sleep(maxBackoff + time.Second)
		h.want(t, "is changed")
		expectDrain(t, f, true)
		mustClose(t, l)
	})
}

func TestDrainIsHeard(t *testing.T) {
	h := hear(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeHook()
		cfg := config(memory{"hook": f})
		var states []string
		cfg.OnChange = func(st Status) { states = append(states, st.State.String()+" "+string(st.Published.State)) }
		l := mustKeep(t, cfg)
		time.Sleep(time.Second)
		h.lines()
		f.drain("a1", true)
		synctest.Wait()
		h.want(t, "is drained by an operator")
		if p := l.Status().Published; p.State != InstanceDrained {
			t.Errorf("published %+v", p)
		}
		f.drain("a1", false)
		synctest.Wait()
		h.want(t, "no longer drained")
		mustClose(t, l)
		synctest.Wait()
		want := []string{"renewed up", "held up", "held drained", "held up", "closed up"}
		if strings.Join(states, ",") != strings.Join(want, ",") {
			t.Errorf("%q, want %q", states, want)
		}
	})
}

// A Logger gets the same. A refusal that ends Keep is not logged as "trying again",
// and the first registration is not logged as a renewal.
func TestLoggerHearsWhatHappened(t *testing.T) {
	h := hear(t)
	synctest.Test(t, func(t *testing.T) {
		var text heard
		cfg := config(memory{"hook": newFakeHook()})
		cfg.Logger = slog.New(slog.NewTextHandler(&text, nil))
		l := mustKeep(t, cfg)
		synctest.Wait()
		mustClose(t, l)
		all := strings.Join(text.lines(), "\n")
		if !strings.Contains(all, "msg=registered ") || strings.Contains(all, `msg="registration renewed"`) {
			t.Error(all)
		}
		cfg.Weight = Uint16(666)
		if _, err := keep(t.Context(), cfg, half); err == nil {
			t.Fatal("accepted")
		}
		all = strings.Join(text.lines(), "\n")
		if !strings.Contains(all, "registration refused") || strings.Contains(all, "trying again") {
			t.Error(all)
		}
	})
	h.want(t)
}

// The line about a silent hook names the limit, and that about a wrong scheme the cure.
func TestReportNamesTimeoutAndScheme(t *testing.T) {
	h := hear(t)
	for _, tc := range []struct {
		hook string
		trip func(*http.Request) (*http.Response, error)
		want string
	}{
		{
			"http://hook", func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
			"trying again: http://hook: no answer within 5s (is dnsd running there?",
		},
		{
			"https://hook", func(*http.Request) (*http.Response, error) { return nil, http.ErrSchemeMismatch },
			"trying again: https://hook: http: server gave HTTP response to HTTPS client (write http:// in place of https://)",
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := config(nil)
			cfg.Hooks, cfg.HTTP, cfg.Background = []string{tc.hook}, &http.Client{Transport: trip(tc.trip)}, true
			l := mustKeep(t, cfg)
			time.Sleep(defaultTimeout + time.Second)
			h.want(t, tc.want)
			_ = l.Close(t.Context())
			h.lines()
		})
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
