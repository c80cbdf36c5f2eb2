package register

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// expectDrain fails unless the hook knows a1 with this drain.
func expectDrain(t *testing.T, h *fakeHook, want bool) {
	t.Helper()
	synctest.Wait()
	if reg, ok := h.entry("a1"); !ok || reg.Drain != want {
		t.Errorf("registered %t, drain %t, want %t", ok, reg.Drain, want)
	}
}

func TestDrainAndUndrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		cfg := config(memory{"hook": h})
		var told atomic.Int64
		cfg.OnChange = func(Status) { told.Add(1) }
		l := mustKeep(t, cfg)
		time.Sleep(time.Minute)
		changes := told.Load()
		for range 2 { // the second one has nothing to do
			if err := l.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			expectDrain(t, h, true)
		}
		if st := l.Status().Published; st.State != InstanceDrained {
			t.Errorf("published %+v", st)
		}
		reg := l.Registration()
		reg.Weight, reg.Drain = Uint16(7), false
		if err := l.Update(t.Context(), reg); err != nil {
			t.Fatal(err)
		}
		expectDrain(t, h, true) // an Update does not end it
		time.Sleep(time.Minute)
		h.forget()
		time.Sleep(10 * time.Second)
		expectDrain(t, h, true) // said again to a dnsd that lost everything
		for range 2 {
			if err := l.Undrain(t.Context()); err != nil {
				t.Fatal(err)
			}
			expectDrain(t, h, false)
		}
		if reg, _ := h.entry("a1"); reg.Weight == nil || *reg.Weight != 7 {
			t.Errorf("Undrain published %+v", reg)
		}
		if n := told.Load() - changes; n != 2 { // renewed and held, after forget
			t.Errorf("OnChange was called %d times", n)
		}
		mustClose(t, l)
		if err := l.Drain(t.Context()); !errors.Is(err, errClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestDrainFromTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		cfg := config(memory{"hook": h})
		cfg.Registration.Drain = true
		l := mustKeep(t, cfg)
		expectDrain(t, h, true)
		if err := l.Undrain(t.Context()); err != nil {
			t.Fatal(err)
		}
		expectDrain(t, h, false)
		mustClose(t, l)
	})
}

// TestDrainThatIsGivenUpIsSent: also when the registration is not confirmed yet.
func TestDrainThatIsGivenUpIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(time.Minute)
		h.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := l.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		expectDrain(t, h, false)
		h.setFault(nil)
		time.Sleep(10 * time.Second)
		expectDrain(t, h, true)
		mustClose(t, l)
	})
}

func TestDrainAndUndrainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(time.Minute)
		h.setFault(func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Second); return false })
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				change := l.Drain
				if i%2 == 1 {
					change = l.Undrain
				}
				if err := change(t.Context()); err != nil && !strings.Contains(err.Error(), "the opposite") {
					t.Error(err)
				}
				reg := l.Registration()
				reg.Weight = Uint16(uint16(i))
				if err := l.Update(t.Context(), reg); err != nil && !strings.Contains(err.Error(), "another Update") {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		h.setFault(nil)
		if err := l.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		expectDrain(t, h, true)
		mustClose(t, l)
	})
}

// TestOlderDnsd: it refuses the field, or a door passes it on to a writer that ignores it.
func TestOlderDnsd(t *testing.T) {
	for older, left := range map[string]bool{"refuses": false, "ignores": true} {
		t.Run(older, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFakeHook()
				h.older = older
				l := mustKeep(t, config(memory{"hook": h}))
				time.Sleep(time.Minute)
				for range 2 {
					if err := l.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "update it") {
						t.Errorf("Drain = %v", err)
					}
					expectDrain(t, h, left)
				}
				time.Sleep(time.Minute)
				h.mustNotHaveLapsed(t)
				reg := l.Registration()
				reg.Weight = Uint16(7)
				if err := l.Update(t.Context(), reg); err != nil {
					t.Error(err)
				}
				if err := l.Undrain(t.Context()); err != nil {
					t.Error(err)
				}
				expectDrain(t, h, false)
				mustClose(t, l)
			})
		})
	}
}

// TestRefusedUpdateDoesNotEndTheDrain: of an Update and a Drain at once, each has its own
// result.
func TestRefusedUpdateDoesNotEndTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(time.Minute)
		h.setFault(func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Second); return false })
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				reg := l.Registration()
				reg.Weight = Uint16(666)
				if p, ok := asType[*Problem](l.Update(t.Context(), reg)); ok && p.Field != "weight" {
					t.Error(p)
				}
			})
			calls.Go(func() {
				if err := l.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		expectDrain(t, h, true)
		mustClose(t, l)
	})
}
