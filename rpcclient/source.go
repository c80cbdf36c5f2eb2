package rpcclient

import (
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/resolver"
)

// errSourceEnded says why the endpoints of a Source that has ended are stale.
var errSourceEnded = errors.New("the Source has ended, though its context has not")

// watch takes the states of the Source, and watches it again when it ends or panics. The
// Source is the user's code and runs in a goroutine of its own, for which Close waits no
// longer than userGrace.
func (c *Client) watch() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for failed := 0; ; {
			begin := time.Now()
			c.follow()
			if c.ctx.Err() != nil {
				return
			}
			c.sourceEnded()
			if failed++; time.Since(begin) > stable {
				failed = 1
			}
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(pauseAfter(failed)):
			}
		}
	}()
	<-c.ctx.Done()
	select {
	case <-ended:
	case <-time.After(userGrace):
	}
}

// follow takes the states of the Source until it ends.
func (c *Client) follow() {
	c.events.guard("Config.Source", func() {
		for state := range c.cfg.Source.Watch(c.ctx, c.service) {
			c.state.Store(&state)
			c.tellResolved(state)
			c.look()
			if c.ctx.Err() != nil {
				return
			}
		}
	})
}

// sourceEnded marks the last state of the Source as stale.
func (c *Client) sourceEnded() {
	state := resolver.State{}
	if last := c.state.Load(); last != nil {
		state = *last
	}
	if errors.Is(state.Err, errSourceEnded) {
		return
	}
	state.Trust = resolver.Stale
	if len(state.Endpoints) == 0 {
		state.Trust = resolver.Unanswered
	}
	if state.Err == nil {
		state.Err = errSourceEnded
	} else {
		state.Err = fmt.Errorf("%w; before that: %w", errSourceEnded, state.Err)
	}
	c.state.Store(&state)
	c.tellResolved(state)
	c.look()
}

// refresh asks the Source to look again, if it can.
func (c *Client) refresh() {
	switch r := c.cfg.Source.(type) {
	case *resolver.Resolver:
		r.Refresh(c.service)
	case interface{ Refresh(name string) }:
		c.events.tell(func() { c.events.guard("Config.Source", func() { r.Refresh(c.service) }) })
	}
}

// guardPolicy replaces the choice of a policy that panics by that of P2C.
func (c *Client) guardPolicy(p balancer.Policy) balancer.Policy {
	if p == nil {
		return balancer.P2C
	}
	return func(nodes []*balancer.Node) (picker balancer.Picker) {
		c.events.guard("Config.Policy", func() { picker = p(nodes) })
		if picker == nil {
			picker = balancer.P2C(nodes)
		}
		return picker
	}
}
