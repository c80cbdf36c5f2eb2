package rpcclient

import (
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
	missed  int // events dropped since the last one, because the queue was full
}

// maxEvents bounds the queue, so that a hook that blocks does not cost more and more memory.
const maxEvents = 1024

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
	for {
		e.mu.Lock()
		missed := e.missed
		e.missed = 0
		if len(e.queue) == 0 {
			e.telling, e.queue = false, nil
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

func (c *Client) tellDown(n *node, why error) {
	if !c.hears() {
		return
	}
	addr := n.addr()
	c.events.tell(func() {
		c.events.guard("Trace.Disconnected", func() { c.cfg.Trace.disconnected(addr, why) })
		c.events.guard("Logger", func() {
			c.cfg.Logger.Info("rpcclient: node down", "service", c.service, "node", addr, "err", why)
		})
	})
}

func (c *Client) tellResolved(state resolver.State) {
	if !c.hears() {
		return
	}
	c.events.tell(func() {
		c.events.guard("Trace.Resolved", func() { c.cfg.Trace.resolved(state) })
		if state.Err != nil {
			c.events.guard("Logger", func() {
				c.cfg.Logger.Warn("rpcclient: resolving", "service", c.service, "endpoints", len(state.Endpoints), "err", state.Err)
			})
		}
	})
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
