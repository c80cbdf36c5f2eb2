package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// Go calls in the background, as rpc.Client.Go does: the call is sent on done when
// it is complete. done must have room; nil makes a new channel.
//
// When Go returns, the request is encoded, or the argument copied, so that the caller
// may change it; and requests leave in the order in which one goroutine has called
// Go, as long as they go to one connection. It does not wait for a node, or for room to write.
// An argument that cannot be copied (one with interface values of types that gob does
// not know, say, or with methods that encode but do not decode) is encoded only while
// Go waits, and such a call is not tried again.
func (c *Client) Go(ctx context.Context, method string, args, reply any, done chan *rpc.Call, opts ...CallOption) *rpc.Call {
	return c.background(ctx, method, args, reply, done, func(err error) error { return err }, opts...)
}

func (c *Client) background(ctx context.Context, method string, args, reply any, done chan *rpc.Call, as func(error) error, opts ...CallOption) *rpc.Call {
	if done == nil {
		done = make(chan *rpc.Call, 1)
	} else if cap(done) == 0 {
		panic("rpcclient: Go: done channel is unbuffered")
	}
	call := &rpc.Call{ServiceMethod: method, Args: args, Reply: reply, Done: done}
	complete := func(err error) {
		call.Error = as(err)
		select {
		case done <- call:
		default: // as net/rpc: room is the caller's responsibility
		}
	}
	own, copied := c.copies.of(args)
	d := &departure{left: make(chan struct{}), copied: copied}
	run := func() {
		defer c.leave()
		err := error(&Error{Service: c.service, Method: method, Executed: Maybe, Err: errors.New("a hook has ended the goroutine")})
		defer func() {
			if p := recover(); p != nil {
				err = &Error{Service: c.service, Method: method, Executed: Maybe, Err: fmt.Errorf("a hook panicked: %v", p)}
			}
			d.leave()
			complete(err)
		}()
		t := c.task(method, own, reply, opts)
		t.departure, t.borrowed = d, !copied
		err = c.do(ctx, t)
	}
	c.mu.Lock()
	if !c.enter() {
		c.mu.Unlock()
		complete(&Error{Service: c.service, Method: method, Err: ErrClosed})
		return call
	}
	c.running.Go(run)
	c.mu.Unlock()
	<-d.left
	return call
}

// A departure is what Go waits for: its request is encoded, or has to wait and does so
// with an argument of its own.
type departure struct {
	copied bool
	once   sync.Once
	left   chan struct{}
}

func (d *departure) leave() { d.once.Do(func() { close(d.left) }) }

// gone tells that Go has returned.
func (d *departure) gone() bool {
	select {
	case <-d.left:
		return true
	default:
		return false
	}
}

// depart is start for the first try of a Go.
func (t *task) depart(ctx context.Context, f *flight) result {
	d := t.departure
	t.departure = nil
	if d.gone() { // an interceptor calls next again
		if t.borrowed {
			return result{phase: Encode, err: errBorrowed}
		}
		return t.start(ctx, f)
	}
	defer d.leave()
	c := t.client
	if !c.lane.used() && t.choose(f) {
		t.prepare(f, t.reply)
		if err := f.conn.SendNow(ctx, &f.request); err != conn.ErrBusy {
			return t.sent(ctx, f, err)
		}
		f.release(balancer.Canceled, nil)
		c.stats.attempts.Add(^uint64(0)) // it is counted when it is sent
		f.node.calls.Add(^uint64(0))
	}
	before, pass := c.lane.enter()
	defer pass()
	if d.copied {
		d.leave()
	}
	if err := t.queue(ctx, before); err != nil {
		return result{phase: Write, err: err}
	}
	return t.start(ctx, f)
}

var errBorrowed = errors.New("the argument cannot be copied, and may have changed since Go returned")

// queue waits for those who wait already.
func (t *task) queue(ctx context.Context, before <-chan struct{}) error {
	if before == nil {
		return nil
	}
	var expired <-chan time.Time
	if t.deadline > 0 {
		timer := time.NewTimer(t.deadline - t.client.now())
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-before:
		return nil
	case <-t.client.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return conn.ContextError(ctx)
	case <-expired:
		return conn.UnsentError{Limit: t.limit}
	}
}

// lane keeps in order what Go could not send at once.
type lane struct {
	mu   sync.Mutex    // guards last
	last chan struct{} // closed when the last of those who wait is sent
}

// used tells that somebody waits.
func (l *lane) used() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last != nil
}

// enter queues up: before is closed when it is one's turn, and nil if it is now; pass
// lets the next one go.
func (l *lane) enter() (before <-chan struct{}, pass func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.last
	mine := make(chan struct{})
	l.last = mine
	return before, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		close(mine)
		if l.last == mine {
			l.last = nil
		}
	}
}
