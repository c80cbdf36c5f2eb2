package rpcclient

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/resolver"
)

// events runs the hooks of Config.Trace that are not about one call, and the Logger: in
// order, one at a time, without locks, in a goroutine that runs only while there is an
// event. So they may call the client, even Close, and a hook that blocks delays only the
// hooks after it. Close does not wait for them.
type events struct {
	log *slog.Logger

	mu      sync.Mutex // guards what follows
	queue   []func()
	telling bool
	missed  int       // events dropped since the last line about them, because the queue was full
	quietTo time.Time // until then there is no such line
}

// maxEvents bounds the queue, so that a hook that blocks does not cost more and more memory.
const maxEvents = 1024

// missedQuiet is the time between two lines about dropped events.
const missedQuiet = time.Second

func (e *events) tell(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == maxEvents {
		e.missed++
		return
	}
	e.queue = append(e.queue, f)
	if !e.telling {
		e.telling = true
		go e.run()
	}
}

func (e *events) run() {
	over := false
	defer func() {
		if !over { // a hook or the Logger has ended this goroutine
			go e.run()
		}
	}()
	for {
		e.mu.Lock()
		missed := e.missed
		now := time.Now()
		if now.Before(e.quietTo) {
			missed = 0
		}
		if missed > 0 {
			e.missed, e.quietTo = 0, now.Add(missedQuiet)
		}
		if len(e.queue) == 0 {
			e.telling, e.queue, over = false, nil, true
			e.mu.Unlock()
			return
		}
		f := e.queue[0]
		e.queue = e.queue[1:]
		e.mu.Unlock()
		if missed > 0 {
			e.guard("Logger", func() {
				e.log.Warn("rpcclient: a hook or the logger is slow, events were dropped", "dropped", missed)
			})
		}
		f()
	}
}

// guard runs code of the user, and logs a panic of it.
func (e *events) guard(what string, f func()) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		stack := string(debug.Stack())
		e.tell(func() {
			defer func() { recover() }() // a panic of the Logger itself is not logged
			e.log.Error("rpcclient: panic in the user's code", "in", what, "panic", fmt.Sprint(p), "stack", stack)
		})
	}()
	f()
}

// hears tells whether there is a hook or a logger.
func (c *Client) hears() bool { return c.cfg.Trace != nil || c.loud }

func (c *Client) tellUp(n *node) {
	if !c.hears() {
		return
	}
	addr := n.addr()
	c.events.tell(func() {
		c.events.guard("Trace.Connected", func() { c.cfg.Trace.connected(addr) })
		c.events.guard("Logger", func() { c.cfg.Logger.Info("rpcclient: node up", "service", c.service, "node", addr) })
	})
}

// tellDown tells that a node is down. While another one is up, the calls go on.
func (c *Client) tellDown(n *node, why error) {
	if !c.hears() {
		return
	}
	addr := n.addr()
	level, what := slog.LevelInfo, "node down"
	if c.upNodes.Load() == 0 {
		level, what = slog.LevelWarn, "node down, and no other is up: calls wait"
	}
	c.events.tell(func() {
		c.events.guard("Trace.Disconnected", func() { c.cfg.Trace.disconnected(addr, why) })
		c.events.guard("Logger", func() {
			c.cfg.Logger.Log(context.Background(), level, "rpcclient: "+what, "service", c.service, "node", addr, "err", why)
		})
	})
}

// tellServing logs what a node says of itself.
func (c *Client) tellServing(n *node, serves bool) {
	if !c.loud {
		return
	}
	addr, what := n.addr(), "node does not serve at present"
	if serves {
		what = "node serves again"
	}
	c.events.tell(func() {
		c.events.guard("Logger", func() { c.cfg.Logger.Info("rpcclient: "+what, "service", c.service, "node", addr) })
	})
}

// tellResolved tells a state of the Source. That it cannot be resolved is a warning once, and
// so is that the endpoints have gone. It is called by one goroutine at a time.
func (c *Client) tellResolved(state resolver.State) {
	if !c.hears() {
		return
	}
	was := c.resolved
	c.resolved = resolution{failed: state.Err != nil, none: len(state.Endpoints) == 0}
	c.events.tell(func() {
		c.events.guard("Trace.Resolved", func() { c.cfg.Trace.resolved(state) })
		level, what := slog.LevelDebug, "resolved"
		switch {
		case state.Err == nil && was.failed:
			level, what = slog.LevelInfo, "resolved again"
		case state.Err != nil && (!was.failed || len(state.Endpoints) == 0 && !was.none):
			level, what = slog.LevelWarn, "cannot be resolved"
		case state.Err != nil:
			what = "still cannot be resolved"
		}
		c.events.guard("Logger", func() {
			args := []any{"service", c.service, "endpoints", len(state.Endpoints)}
			if state.Err != nil {
				args = append(args, "err", state.Err)
			}
			c.cfg.Logger.Log(context.Background(), level, "rpcclient: "+what, args...)
		})
	})
}

// resolution is what the log was told last.
type resolution struct {
	failed bool // there was an error
	none   bool // and no endpoint
}

// tellMembers logs which nodes are new, are kept without being announced, or are let go.
func (c *Client) tellMembers(before, after map[string]string) {
	if !c.loud || maps.Equal(before, after) {
		return
	}
	c.events.tell(func() {
		say := func(addr, what string) {
			c.events.guard("Logger", func() {
				c.cfg.Logger.Info("rpcclient: node "+what, "service", c.service, "node", addr)
			})
		}
		for addr, what := range after {
			if before[addr] != what {
				say(addr, what)
			}
		}
		for addr := range before {
			if after[addr] == "" {
				say(addr, "is no longer announced, and let go")
			}
		}
	})
}

// userGrace is how long Close waits for code of the user that should end with its context.
const userGrace = time.Second
