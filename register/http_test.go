package register

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Over real sockets: what the fake transport cannot show.

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
			if st.State == Held {
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
