package register

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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

// A change whose Update was given up is sent, whatever the lease was doing then.
func TestUpdateThatIsGivenUpIsSent(t *testing.T) {
	for name, wait := range map[string]time.Duration{"during a PUT": 4500 * time.Millisecond, "between two PUTs": 6 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newFakeHook()
				cfg := config(memory{"hook": h})
				cfg.NoHold = true
				l := mustKeep(t, cfg)
				h.setFault(func(w http.ResponseWriter, r *http.Request) bool {
					<-r.Context().Done()
					w.WriteHeader(503)
					return true
				})
				time.Sleep(wait)
				reg := l.Registration()
				reg.Weight = Uint16(7)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if err := l.Update(ctx, reg); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				h.setFault(nil)
				time.Sleep(30 * time.Second)
				if reg, ok := h.entry("a1"); !ok || reg.Weight == nil || *reg.Weight != 7 {
					t.Errorf("a change that waited was lost: %+v", reg)
				}
				mustClose(t, l)
			})
		})
	}
}

// Each of many Updates at once returns, also when the lease ends, and the last one that
// succeeded is published.
func TestUpdatesAtOnceAllReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		h.setFault(func(http.ResponseWriter, *http.Request) bool { time.Sleep(10 * time.Millisecond); return false })
		l := mustKeep(t, config(memory{"hook": h}))
		var updates sync.WaitGroup
		for i := range uint16(200) {
			updates.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				reg := l.Registration()
				reg.Weight = Uint16(i)
				if err := l.Update(context.Background(), reg); err == nil {
					return
				} else if !errors.Is(err, errClosed) && !strings.Contains(err.Error(), "another Update") {
					t.Error(err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		mustClose(t, l)
		updates.Wait()
	})
}
