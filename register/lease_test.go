package register

import (
	"context"
	"errors"
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
	h.mu.Lock()
	defer h.mu.Unlock()
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
		if l.Err() == nil || l.Status().State != LeaseClosed {
			t.Fatalf("after Close: %v, %v", l.Err(), l.Status().State)
		}
		mustClose(t, l)
		if _, deletes, _ := h.counts(); deletes != 1 {
			t.Fatalf("%d DELETEs", deletes)
		}
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
		p.Detail = "weight is 666: give another" // which names the field, as dnsd's answers do
		if want := "400 Bad Request: weight is 666: give another"; p.Error() != want {
			t.Errorf("got  %s\nwant %s", p, want)
		}
		if time.Since(begin) != 0 {
			t.Errorf("took %v", time.Since(begin))
		}
	})
}

func TestKeepWaitsForAHookUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := keep(ctx, config(memory{}), half)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") || strings.Count(err.Error(), "_math._tcp/a1") != 1 {
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

func TestBackgroundReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		h.fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
		cfg := config(memory{"hook": h})
		cfg.Background = true
		begin := time.Now()
		l := mustKeep(t, cfg)
		if time.Since(begin) != 0 || l.Status().State != LeaseRegistering {
			t.Fatalf("after %v: %v", time.Since(begin), l.Status().State)
		}
		time.Sleep(time.Minute)
		h.setFault(nil)
		time.Sleep(maxBackoff)
		h.mustNotHaveLapsed(t)
		mustClose(t, l)
	})
}

func TestReplacedProcessReportsAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(time.Minute)
		h.put("a1", Registration{Port: 9090, Incarnation: 6})
		<-l.Done()
		if !errors.Is(l.Err(), ErrReplaced) || l.Status().State != LeaseReplaced {
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
