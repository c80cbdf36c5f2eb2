package resolver

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// caller is a handler of a Logger that calls the Resolver.
type caller struct {
	r    *Resolver
	mu   sync.Mutex
	said map[string]bool
}

func (*caller) Enabled(context.Context, slog.Level) bool { return true }

func (c *caller) Handle(_ context.Context, rec slog.Record) error {
	c.r.Freshness(mathTCP)
	c.r.Cached(mathTCP)
	c.r.Refresh(mathTCP)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.r.Lookup(ctx, "_other._tcp.svc")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said[rec.Message] = true
	return nil
}

func (c *caller) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *caller) WithGroup(string) slog.Handler      { return c }

// TestTheLoggerMayCallTheResolver, whatever it is told.
func TestTheLoggerMayCallTheResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		c := &caller{r: r, said: map[string]bool{}}
		r.Logger = slog.New(c)
		r.MaxEndpoints = 2
		refuse := false
		p.refuse = func(string) (int, []dso.TLV) {
			if refuse {
				return dns.RcodeRefused, nil
			}
			return dns.RcodeSuccess, nil
		}
		w := watch(t, r, mathTCP)
		time.Sleep(20 * time.Second)
		s.fault("udp", errors.New("no DNS"))
		s.fault("tcp", errors.New("no DNS"))
		p.cut() // the session has ended, stale endpoints
		time.Sleep(2 * time.Hour)
		s.fault("udp", nil)
		s.fault("tcp", nil)
		time.Sleep(2 * time.Minute) // answered again, and a session
		p.become(mathTCP, instances(t, 100)...)
		time.Sleep(2 * time.Hour) // too large
		p.become(mathTCP, instances(t, 2)...)
		time.Sleep(2 * time.Hour)
		p.mu.Lock()
		refuse = true
		p.mu.Unlock()
		p.cut()
		time.Sleep(time.Minute)
		p.mu.Lock()
		refuse = false
		p.mu.Unlock()
		time.Sleep(10 * time.Minute)
		p.send([]byte{0, 0}) // breaks the rules
		time.Sleep(time.Minute)
		w.close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, part := range []string{
			"has ended", "no session", "broke the rules", "does not tell", "too large", "stale endpoints", "no endpoints left", "answered again",
		} {
			found := false
			for msg := range c.said {
				found = found || strings.Contains(msg, part)
			}
			if !found {
				t.Errorf("nothing was said of %q", part)
			}
		}
	})
}
