package register

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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

func TestGivenUpKeepLeavesNothingRegistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		h.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut { // executed, but never answered
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

func TestKeepGivenUpJustWhenItSucceedsLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFakeHook()
		ctx, cancel := context.WithCancel(t.Context())
		h.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				cancel()
			}
			return false // the PUT is executed and answered
		}
		for range 50 { // the answer or the cancellation may win
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
