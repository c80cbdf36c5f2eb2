package register

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
)

// change is one Update under way.
type change struct {
	reg   Registration
	reply chan error  // capacity 1
	gone  atomic.Bool // its caller waits no longer
}

// Update publishes reg in place of the former registration; its Incarnation and Drain
// are ignored. To change one field, begin with [Lease.Registration]. If the hook refuses
// the change, Update returns the error and the former registration stays. If ctx
// ends first, the change is sent when the hook takes it, unless another Update comes before
// that. Until then the lease is kept with the former registration.
func (l *Lease) Update(ctx context.Context, reg Registration) error {
	if reg.Port == 0 {
		return fmt.Errorf("register: update %s/%s: port is 0: begin with Lease.Registration", l.cfg.Service, l.cfg.ID)
	}
	reg.Meta = maps.Clone(reg.Meta)
	c := &change{reg: reg, reply: make(chan error, 1)}
	for queued := false; !queued; {
		select {
		case l.changes <- c:
			queued = true
		case former := <-l.changes: // it waits for the end of a PUT
			former.answer(l.overtaken())
		case <-l.ended:
			return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, errClosed)
		}
	}
	select {
	case err := <-c.reply:
		return err
	case <-l.ended:
	case <-ctx.Done():
		c.gone.Store(true)
		return l.givenUp("update", context.Cause(ctx))
	}
	select {
	case err := <-c.reply: // the last thing that was done
		return err
	default:
		return fmt.Errorf("register: update %s/%s: %w", l.cfg.Service, l.cfg.ID, errClosed)
	}
}

// overtaken is the error of an Update that was not sent, because a later one came.
func (l *Lease) overtaken() error {
	return fmt.Errorf("register: %s/%s: another Update came before this one was sent", l.cfg.Service, l.cfg.ID)
}

// answer ends Update. It is called once, so it never blocks (capacity 1).
func (c *change) answer(err error) {
	if c != nil {
		c.reply <- err
	}
}
