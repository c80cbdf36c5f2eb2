package rpcserver_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/rpcserver"
)

// Of several dnsd that share a registry, one that is away is not missed, neither when the
// server begins nor when it ends.
func TestServerIsAnnouncedByAnyOfItsHooks(t *testing.T) {
	away := freeaddr.Take(1)[0]
	h, url := newHook(t)
	began := time.Now()
	s, _ := serve(t, rpcserver.Config{
		Quiet:    20 * time.Millisecond,
		Announce: []register.Config{{Hooks: []string{"http://" + away.String(), url}, Service: "_math._tcp"}},
	}, newArith())
	if err := s.Announced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.registered() == nil || s.Leases()[0].Status().Hook != url {
		t.Errorf("registered at %s", s.Leases()[0].Status().Hook)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if h.registered() != nil {
		t.Error("still registered")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestLevelsOfTheLog of what does not happen with calls and connections are those of
// docs/metrics-go.md. TestABlockedLoggerStopsNoOtherCall has the others.
func TestLevelsOfTheLog(t *testing.T) {
	for message, tt := range map[string]struct {
		level  slog.Level
		refuse bool // the hook refuses
		do     func(s *rpcserver.Server, h *hook)
	}{
		"the server does not serve": {level: slog.LevelWarn, do: func(s *rpcserver.Server, _ *hook) { s.SetServing("", false, "no disk") }},
		"the server serves": {do: func(s *rpcserver.Server, _ *hook) {
			s.SetServing("", false, "no disk")
			s.SetServing("", true, "")
		}},
		"Arith does not serve": {level: slog.LevelWarn, do: func(s *rpcserver.Server, _ *hook) { s.SetServing("Arith", false, "no disk") }},
		"Arith serves": {do: func(s *rpcserver.Server, _ *hook) {
			s.SetServing("Arith", false, "no disk")
			s.SetServing("Arith", true, "")
		}},
		"registered":                         {do: func(*rpcserver.Server, *hook) {}},
		"registration refused, serving ends": {level: slog.LevelError, refuse: true},
		"the instance is still in DNS, although it does not serve": {level: slog.LevelError, do: func(s *rpcserver.Server, h *hook) {
			h.refuses(true)
			s.SetServing("", false, "no disk")
		}},
		"the instance is not put into DNS again, although all that it needs serves": {level: slog.LevelError, do: func(s *rpcserver.Server, h *hook) {
			s.SetServing("", false, "no disk")
			for reg := h.registered(); reg == nil || !reg.Drain; reg = h.registered() {
				<-h.changed
			}
			h.refuses(true)
			s.SetServing("", true, "")
		}},
	} {
		t.Run(message, func(t *testing.T) {
			h, url := newHook(t)
			h.refuses(tt.refuse)
			log := blocking{make(chan string, 100), make(chan struct{})}
			close(log.release)
			s, _ := serve(t, rpcserver.Config{
				Logger: slog.New(log), Announce: []register.Config{{Hooks: []string{url}, Service: "_math._tcp", NoHold: true}},
			})
			if err := s.Announced(t.Context()); (err != nil) != tt.refuse {
				t.Fatal(err)
			}
			if tt.do != nil {
				tt.do(s, h)
			}
			late := time.After(10 * time.Second)
			for line := ""; !strings.HasSuffix(line, " "+message); {
				select {
				case line = <-log.entered:
				case <-late:
					t.Fatal("not logged")
				}
				if strings.HasSuffix(line, " "+message) && line != tt.level.String()+" "+message {
					t.Errorf("%q, want level %v", line, tt.level)
				}
			}
		})
	}
}

// refuses says whether the hook refuses what it is asked.
func (h *hook) refuses(yes bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = yes
}
