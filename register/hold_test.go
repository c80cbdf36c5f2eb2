package register

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestHoldKeepsTheLeaseWithoutFurtherRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		l := mustKeep(t, config(memory{"hook": h}))
		time.Sleep(10 * time.Minute)
		h.mustNotHaveLapsed(t)
		if puts, _, holds := h.counts(); puts != 1 || holds != 1 {
			t.Errorf("%d PUTs and %d holds in 10 minutes, want 1 and 1", puts, holds)
		}
		if st := l.Status(); st.State != LeaseHeld || time.Since(st.Confirmed) > 5*time.Second || st.Beats < 100 {
			t.Errorf("status %+v", st)
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
		"keeps the body": {func(w http.ResponseWriter, r *http.Request) { // no heartbeat reaches the hook
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
				if st := l.Status(); st.State != LeaseRenewed {
					t.Errorf("state %v", st.State)
				}
				h.setFault(nil) // the proxy is gone: a hold is possible again
				time.Sleep(time.Hour)
				if st := l.Status(); st.State != LeaseHeld {
					t.Errorf("state %v an hour after holds work", st.State)
				}
				mustClose(t, l)
			})
		})
	}
}
