package hook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

func TestAProbeSeesTheClock(t *testing.T) {
	c := asks(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		answers(`{"status":"alive"}`)(w, r)
	})
	p, err := c.Probe(t.Context(), c.bases[0], "/healthz")
	if err != nil || p.Error == 0 || p.Ahead < time.Hour-p.Error || p.Ahead > time.Hour+p.Error || !p.Expires.IsZero() {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestAProbeSeesWhyAHookIsNotReady(t *testing.T) {
	c := asks(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", register.ProblemType)
		w.WriteHeader(http.StatusServiceUnavailable)
		w.Write([]byte(`{"status":503,"detail":"the disk is full"}`))
	})
	if p, err := c.Probe(t.Context(), c.bases[0], "/readyz"); err != nil || p.Status != 503 || p.Detail != "the disk is full" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestAProbeOfAnotherProgramFails(t *testing.T) {
	c := asks(t, answers("<html>"))
	if _, err := c.Probe(t.Context(), c.bases[0], "/healthz"); err == nil || !strings.Contains(err.Error(), ErrFormat.Error()) {
		t.Errorf("got %v", err)
	}
}
