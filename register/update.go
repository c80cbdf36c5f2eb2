package register

import (
	"context"
	"fmt"
	"maps"
)

// change is an Update under way.
type change struct {
	reg   Registration
	reply chan error // capacity 1
}

// Update publishes reg in place of the former registration; its Incarnation is
// ignored. To change one field, begin with [Lease.Registration]. A change that
// the hook refuses is an error and leaves the former in place. When ctx ends
// first, the change is made as soon as the hook can be reached.
func (l *Lease) Update(ctx context.Context, reg Registration) error {
	if reg.Port == 0 {
		return fmt.Errorf("register: update %s/%s: port is 0: begin with Lease.Registration", l.cfg.Service, l.cfg.ID)
	}
	reg.Meta = maps.Clone(reg.Meta)
	c := &change{reg: reg, reply: make(chan error, 1)}
	select {
	case l.changes <- c:
	case <-l.ended:
		return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, errClosed)
	case <-ctx.Done():
		return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, context.Cause(ctx))
	}
	select {
	case err := <-c.reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, context.Cause(ctx))
	}
}

// answer tells the caller of Update. There is one answer: capacity 1 is enough.
func (c *change) answer(err error) {
	if c != nil {
		c.reply <- err
	}
}
