package register

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// drain is whether the instance is to be in DNS. Lease.mu guards it. It is kept apart
// from the registration: an Update that was begun earlier must not undo it.
type drain struct {
	want bool
	asks uint64        // Drain and Undrain were called so often
	done uint64        // what was asked so far is settled, by err
	err  error         // why it was refused
	wait int           // calls that wait for news
	news chan struct{} // closed when done changes
	poke chan struct{} // has an element when a PUT is due for it; capacity 1
}

// Drain takes the instance out of DNS while it stays registered, until Undrain: it wants
// no calls for a time. The lease goes on, and a dnsd that lost its registrations is told
// again. Drain returns when the instance has left DNS; a cache may have it for its TTL.
//
// An operator's drain is independent of it: the instance is in DNS when neither is in
// force. If ctx ends first, it is drained when a hook can be reached, unless Undrain is
// called before that. If the hook refuses, as a dnsd does that does not know the field
// drain, the instance stays in DNS.
func (l *Lease) Drain(ctx context.Context) error { return l.ask(ctx, "drain", true) }

// Undrain ends Drain. It returns when the instance is in DNS again, unless an operator
// has drained it. If ctx ends first, it is undrained when a hook can be reached, unless
// Drain is called before that.
func (l *Lease) Undrain(ctx context.Context) error { return l.ask(ctx, "undrain", false) }

// errOlder: a dnsd passed the registration on to an older one, which left the field out.
var errOlder = errors.New("the instance is still in DNS, because a dnsd that shares the registry does not know the field drain: update it")

func (l *Lease) ask(ctx context.Context, what string, want bool) error {
	d := &l.drain
	l.mu.Lock()
	settled := d.done == d.asks && d.err == nil && l.reg.Drain == want && l.status.Registrations > 0
	if settled && l.err == nil {
		l.mu.Unlock()
		return nil
	}
	d.want = want
	d.asks++
	mine := d.asks
	d.wait++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		d.wait--
		l.mu.Unlock()
	}()
	select {
	case d.poke <- struct{}{}:
	default: // one is due already
	}
	for {
		l.mu.Lock()
		done, err, asked, news := d.done >= mine, d.err, d.asks, d.news
		overtaken := asked != mine && d.want != want
		l.mu.Unlock()
		switch {
		case done && overtaken:
			return fmt.Errorf("register: %s %s/%s: the opposite was asked for before this was sent", what, l.cfg.Service, l.cfg.ID)
		case done && err != nil:
			return fmt.Errorf("register: %s %s/%s: %w", what, l.cfg.Service, l.cfg.ID, err)
		case done:
			return nil
		}
		select {
		case <-news:
		case <-l.ended:
			return fmt.Errorf("register: %s %s/%s: %w", what, l.cfg.Service, l.cfg.ID, errClosed)
		case <-ctx.Done():
			return l.givenUp(what, context.Cause(ctx))
		}
	}
}

// due reports whether a PUT is due for the drain.
func (l *Lease) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drain.done != l.drain.asks
}

// wanted is what is asked for now, and whether that is new.
func (l *Lease) wanted() (drain bool, asks uint64, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drain.want, l.drain.asks, l.drain.done != l.drain.asks
}

// settledLocked ends what was asked for until asks.
func (d *drain) settledLocked(asks uint64, err error) {
	if d.done == asks {
		return
	}
	d.done, d.err = asks, err
	close(d.news)
	d.news = make(chan struct{})
}

// agreed ends Drain and Undrain after a PUT that was accepted.
func (l *Lease) agreed(asks uint64, pub Published) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.reg.Drain && pub.State != InstanceDrained {
		err = errOlder
	}
	l.drain.settledLocked(asks, err)
}

// disagreed ends Drain and Undrain after a PUT that every hook refuses, and takes them
// back. It returns false if no call waits for that.
func (l *Lease) disagreed(reg Registration, asks uint64, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.Registrations == 0 || reg.Drain == l.reg.Drain {
		return true // that PUT asked for nothing new
	}
	if l.drain.asks == asks {
		l.drain.want = l.reg.Drain
	}
	if p, ok := asType[*answer](err); ok && p.Status == http.StatusBadRequest && p.Field == "drain" {
		err = fmt.Errorf("%w (an older dnsd does not know the field: update it)", err)
	}
	l.drain.settledLocked(asks, err)
	return l.drain.wait > 0
}

// byOperator reports whether an operator drained the instance.
func (p *Published) byOperator() bool {
	return p.State == InstanceDrained && (len(p.DrainedBy) == 0 || slices.Contains(p.DrainedBy, DrainedByOperator))
}
