package register

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever starts after the clock was set back is the newer process, though its
// number is the lower.
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

		// Once registered it is fenced as any other, whatever the clock says.
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

// An old process that never reached dnsd stays behind the one that came meanwhile.
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

// An incarnation that the caller gave is the caller's to raise.
func TestGivenIncarnationIsNotRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		h.put("a1", Registration{Port: 8080, Incarnation: uint64(time.Now().Add(time.Hour).UnixMilli())})
		if _, err := keep(t.Context(), config(memory{"hook": h}), half); !errors.Is(err, ErrReplaced) {
			t.Errorf("got %v", err)
		}
	})
}
