package register

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask begins a change and waits for it for a moment.
func (l *Lease) askBriefly(t *testing.T, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var err error
	if what == "drain" {
		err = l.Drain(ctx)
	} else {
		reg := l.Registration()
		reg.Weight = Uint16(7)
		err = l.Update(ctx, reg)
	}
	if err == nil {
		t.Errorf("%s: taken", what)
	}
}

// One hook takes renewals and no changes, and the others take nothing. A change that is not
// in force does not cost the lease.
func TestChangeLeavesRenewalsToTheHookThatWorks(t *testing.T) {
	for _, ask := range []string{"drain", "update"} {
		for _, dead := range []string{"away", "proxy", "503", "reset"} {
			for _, how := range []string{"507", "503", "500", "reset", "hangs"} {
				for hooks := 2; hooks <= 3; hooks++ {
					for _, noHold := range []bool{false, true} {
						t.Run(fmt.Sprintf("%s/%s/%s/hooks=%d/nohold=%v", ask, dead, how, hooks, noHold), func(t *testing.T) {
							synctest.Test(t, func(t *testing.T) {
								m := newMoody(2 * time.Second)
								cfg := config(nil)
								cfg.Hooks = manyHooks[:hooks]
								cfg.HTTP, cfg.NoHold, cfg.Logger = &http.Client{Transport: m}, noHold, slog.New(slog.DiscardHandler)
								l := mustKeep(t, cfg)
								m.set("no change " + how)
								l.askBriefly(t, ask)
								time.Sleep(20 * time.Second)
								moods := slices.Repeat([]string{dead}, hooks)
								moods[1] = "no change " + how
								m.set(moods...)
								time.Sleep(2 * time.Minute)
								m.hook.mustNotHaveLapsed(t)
								if st := l.Status(); st.Pending == nil {
									t.Errorf("%+v", st)
								}
								m.set("well")
								mustClose(t, l)
								if st := l.Status(); st.Pending != nil {
									t.Errorf("after Close: %v", st.Pending)
								}
							})
						})
					}
				}
			}
		}
	}
}

// No call waits any more for a change that dnsd refuses, so the standard logger has a line.
func TestRefusalThatNoCallWaitsForIsReported(t *testing.T) {
	for _, ask := range []string{"drain", "update"} {
		t.Run(ask, func(t *testing.T) {
			h := hear(t)
			synctest.Test(t, func(t *testing.T) {
				m := newMoody(15 * time.Second)
				cfg := config(nil)
				cfg.HTTP = &http.Client{Transport: m}
				l := mustKeep(t, cfg)
				h.lines()
				m.set("no change 507")
				l.askBriefly(t, ask)
				m.set("no change refused")
				time.Sleep(time.Minute)
				h.want(t, "is not changed, because dnsd refuses that: 413")
				m.set("no change refused")
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := l.Drain(ctx); err == nil {
					t.Error("drained")
				}
				h.want(t) // the call has returned the refusal
				m.set("well")
				mustClose(t, l)
			})
		})
	}
}

// A newer process takes the place of one whose change is not in force: the change is
// not tried again.
func TestNoChangeIsPendingAfterTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoody(15 * time.Second)
		cfg := config(nil)
		cfg.HTTP, cfg.Logger = &http.Client{Transport: m}, slog.New(slog.DiscardHandler)
		l := mustKeep(t, cfg)
		m.set("no change 507")
		l.askBriefly(t, "drain")
		if l.Status().Pending == nil {
			t.Error("no change is pending")
		}
		m.set("well")
		m.hook.put("a1", Registration{Port: 1, Incarnation: 6})
		<-l.Done()
		if st := l.Status(); st.Pending != nil || st.State != LeaseReplaced {
			t.Errorf("%+v", st)
		}
		mustClose(t, l)
	})
}

// A Close that ends the wait for the answer to a change is no reason for a warning.
func TestCloseCancelsAChangeWithoutAWarning(t *testing.T) {
	for _, noHold := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var text heard
			m := newMoody(time.Minute)
			cfg := config(nil)
			cfg.HTTP, cfg.NoHold, cfg.Logger = &http.Client{Transport: m}, noHold, slog.New(slog.NewTextHandler(&text, nil))
			l := mustKeep(t, cfg)
			synctest.Wait()
			m.set("no change hangs")
			l.askBriefly(t, "drain")
			text.lines()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = l.Close(ctx) // no time is left for the DELETE
			for _, line := range text.lines() {
				if strings.Contains(line, "level=WARN") {
					t.Error(line)
				}
			}
		})
	}
}

// An operator drains the instance while a change of unknown result is not in force. It
// is the renewal that shows what is published.
func TestOperatorIsHeardWhileAChangeFails(t *testing.T) {
	for _, how := range []string{"503", "507", "reset"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMoody(15 * time.Second)
				cfg := config(nil)
				cfg.HTTP, cfg.Logger = &http.Client{Transport: m}, slog.New(slog.DiscardHandler)
				l := mustKeep(t, cfg)
				time.Sleep(time.Minute)
				m.set("no change " + how)
				l.askBriefly(t, "update")
				m.hook.drain("a1", true)
				time.Sleep(10 * time.Second)
				if st := l.Status(); !st.Published.byOperator() || st.Pending == nil {
					t.Errorf("%+v", st)
				}
				m.set("well")
				mustClose(t, l)
			})
		})
	}
}
