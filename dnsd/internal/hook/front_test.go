package hook

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestUpdatedIdleTimeoutIsForNewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		h := startOn(t, p, nil)
		begin := time.Now()
		old := p.guest(t, net.IPv4(127, 0, 0, 1))
		if got := old.ask("GET", "/healthz", "", ""); got != 200 {
			t.Fatal(got)
		}
		for _, idle := range []time.Duration{10 * time.Second, time.Minute, 10 * time.Second} {
			h.cfg.Limits.IdleTimeout = idle
			if err := h.Update(h.cfg); err != nil {
				t.Fatal(err)
			}
			fresh := p.guest(t, net.IPv4(127, 0, 0, 1))
			if got := fresh.ask("GET", "/healthz", "", ""); got != 200 {
				t.Fatal(got)
			}
			idleSince := time.Now()
			if _, err := fresh.in.ReadByte(); err == nil || time.Since(idleSince) != idle {
				t.Errorf("closed after %v, %v; want %v", time.Since(idleSince), err, idle)
			}
		}
		if _, err := old.in.ReadByte(); err == nil || time.Since(begin) != 2*time.Minute {
			t.Errorf("the old connection was closed after %v, %v", time.Since(begin), err)
		}
	})
}
