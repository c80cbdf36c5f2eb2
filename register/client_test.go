package register

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An ingress without a backend, a login page, a server of something else: none of
// them is a hook that refuses, so the registration is tried again.
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
				// Nor is the 404 of such a server the answer to Close.
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
			// Two hooks of one registry; the first hangs, with its holds.
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
			if st := l.Status(); st.Hook != "http://two" || st.State != LeaseHeld {
				t.Errorf("status %+v", st)
			}
			mustClose(t, l)
		})
	})
}

// hanging is a response whose writes block after hung is closed.
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

func TestOverHTTP(t *testing.T) {
	h := newFakeHook()
	h.lease = 300 * time.Millisecond // real time: a lease that a test can outlive
	srv := httptest.NewServer(h)
	defer srv.Close()
	held := make(chan struct{}, 1)
	l, err := Keep(t.Context(), Config{
		Hooks: []string{srv.URL}, Service: "_math._tcp", ID: "a1", Token: "secret",
		Registration: Registration{Port: 8080},
		OnChange: func(st Status) {
			if st.State == LeaseHeld {
				held <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-held
	reg, ok := h.entry("a1")
	if !ok || reg.Incarnation == 0 || time.Since(time.UnixMilli(int64(reg.Incarnation))) > time.Minute {
		t.Errorf("incarnation %d is not the start time", reg.Incarnation)
	}
	h.mu.Lock()
	if h.auth != "Bearer secret" {
		t.Errorf("token sent as %q", h.auth)
	}
	h.mu.Unlock()
	srv.CloseClientConnections() // the hold breaks
	<-held
	mustClose(t, l)
	if _, ok := h.entry("a1"); ok {
		t.Error("still registered")
	}
}

func TestClientCertificateOverTLS(t *testing.T) {
	h := newFakeHook()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // one handshake is meant to fail
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	cfg := Config{
		Hooks: []string{srv.URL}, Service: "_math._tcp", ID: "a1",
		Registration: Registration{Port: 8080},
		TLS:          &tls.Config{RootCAs: roots, Certificates: srv.TLS.Certificates},
	}
	l, err := Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)

	cfg.TLS = nil
	if _, err := Keep(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v", err)
	}
}

func TestRedirectDoesNotCarryTheTokenAway(t *testing.T) {
	asked := false
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer away.Close()
	srv := httptest.NewServer(http.RedirectHandler(away.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := Keep(ctx, Config{
		Hooks: []string{srv.URL}, Service: "_math._tcp", Token: "secret", Registration: Registration{Port: 1}, Background: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for l.Status().Failures < 2 {
		runtime.Gosched()
	}
	if err := l.Status().Err; asked || !strings.Contains(err.Error(), away.URL) {
		t.Errorf("followed: %v, error %v", asked, err)
	}
	mustClose(t, l)
}
