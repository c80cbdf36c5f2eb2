package rpcclient

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/resolver"
)

// sharing returns how many shared Resolvers there are.
func sharing() int {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	return len(shared.resolvers)
}

func TestClientsWithoutSourceShareOneResolverUntilTheLastCloses(t *testing.T) {
	existing := goleak.IgnoreCurrent()
	addrs := freeaddr.Take(2) // nothing listens there
	first, second := addrs[0].String(), addrs[1].String()
	open := func(env, service string, cfg *Config) *Client {
		t.Setenv("ROLLCALL_DNS", env)
		c, err := New(service, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	discard := func() *slog.Logger { return slog.New(slog.DiscardHandler) }
	source := func(c *Client) any { return c.cfg.Source }
	clients := []*Client{
		open(first, "_a._tcp.svc", nil),
		open(first, "_a._tcp.svc.", &Config{Logger: discard()}),
		open(first, "_b._tcp.svc", &Config{Logger: discard()}),
		open(second, "_a._tcp.svc", nil),
		open(first, "_c._tcp.svc", nil),
		open(first, "_d._tcp.svc", &Config{Source: &resolver.Resolver{Servers: []string{first}}}),
	}
	for i, want := range []bool{true, true, true, false, true, false} {
		if same := source(clients[i]) == source(clients[0]); same != want {
			t.Errorf("client %d shares the Resolver of the first one: %v, want %v", i, same, want)
		}
	}
	for i, want := range map[int]string{0: first, 3: second} { // whatever the variable says now
		if servers := source(clients[i]).(*resolver.Resolver).Servers; !slices.Equal(servers, []string{want}) {
			t.Errorf("client %d asks %q, want %s", i, servers, want)
		}
	}
	for i, left := range []int{2, 2, 2, 1, 0, 0} {
		clients[i].Close()
		clients[i].Close() // counts once
		if n := sharing(); n != left {
			t.Errorf("%d shared Resolvers after client %d has closed, want %d", n, i, left)
		}
	}
	if c, err := New("math", nil); err == nil {
		c.Close()
		t.Error("a bad name was taken")
	}
	if n := sharing(); n != 0 {
		t.Errorf("%d shared Resolvers after a New that has failed", n)
	}
	if err := goleak.Find(existing); err != nil {
		t.Error(err)
	}
}

func TestManyClientsOpenAndCloseAtOnce(t *testing.T) {
	t.Setenv("ROLLCALL_DNS", freeaddr.Take(1)[0].String())
	existing := goleak.IgnoreCurrent()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for range 5 {
				c, err := New(fmt.Sprintf("_s%d._tcp.svc", i%5), &Config{Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Error(err)
					return
				}
				all.Go(func() { c.Close() })
				c.Close()
			}
		})
	}
	all.Wait()
	if n := sharing(); n != 0 {
		t.Errorf("%d shared Resolvers are left", n)
	}
	if err := goleak.Find(existing); err != nil {
		t.Error(err)
	}
}

// hearing is a handler that keeps the lines, and may block or panic.
type hearing struct {
	slog.Handler // nil
	level        slog.Level
	do           func()
	lines        []string
}

func (h *hearing) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *hearing) Handle(_ context.Context, line slog.Record) error {
	h.lines = append(h.lines, line.Message)
	if h.do != nil {
		h.do()
	}
	return nil
}

func TestLinesOfTheSharedResolverReachTheLoggersThatTheyConcern(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hears := map[string]*hearing{
			"math":  {},
			"text":  {do: func() { panic("no") }},
			"slow":  {do: func() { <-release }},
			"fatal": {level: slog.LevelError},
		}
		loggers := map[string]*slog.Logger{}
		for name, h := range hears {
			loggers[name] = slog.New(h)
		}
		var log *slog.Logger
		for _, of := range []struct{ service, logger string }{
			{"_math._tcp.svc", "math"},
			{"_MATH._tcp.svc.", "math"},
			{"_sum._tcp.svc", "math"},
			{"_text._tcp.svc", "text"},
			{"_slow._tcp.svc", "slow"},
			{"_slow._tcp.svc", "fatal"},
			{"_none._tcp.svc", ""},
		} {
			c := &Client{service: of.service, loud: of.logger != ""}
			c.cfg.Logger = loggers[of.logger]
			log = c.share().Logger
			defer c.unshare()
		}
		log.Warn("of a server", "server", "10.0.0.1:53")
		log.Warn("of math", "name", "_math._tcp.svc.")
		log.Warn("of text", "more", 1, "name", "_text._tcp.svc.")
		log.Warn("of slow", "name", "_slow._tcp.svc.")
		log.Error("of a target", "name", "a1.svc.")
		log.Warn("of none", "name", "_none._tcp.svc.") // that client has no Logger: better too many lines than none
		synctest.Wait()
		if got := strings.Join(hears["slow"].lines, ", "); got != "of a server" {
			t.Errorf("the Logger that blocks has heard %q", got)
		}
		close(release)
		synctest.Wait()
		for name, want := range map[string]string{
			"math":  "of a server, of math, of a target, of none",
			"text":  "of a server, of text, of a target, of none",
			"slow":  "of a server, of slow, of a target, of none",
			"fatal": "of a target",
		} {
			got := slices.DeleteFunc(hears[name].lines, func(line string) bool { return line == "rpcclient: panic in the user's code" })
			if got := strings.Join(got, ", "); got != want {
				t.Errorf("%s has heard %q, want %q", name, got, want)
			}
		}
	})
}

func TestSharedResolverOfClientsWithoutLoggerIsSilent(t *testing.T) {
	c := &Client{service: "_math._tcp.svc"}
	log := c.share().Logger
	if c.unshare(); log.Enabled(t.Context(), slog.LevelError) {
		t.Error("lines are made that no Logger gets")
	}
}
