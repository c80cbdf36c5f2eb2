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

// Go calls in the background, as rpc.Client.Go does: the call is sent on done when it
// is complete. done must have room; nil makes a new channel.
//
// When Go returns, the request is encoded or the argument is copied, so that the caller
// may change the argument. Go does not wait for a node, or for room to write. Requests of
// one goroutine leave in the order of its calls of Go, if they go to one connection.
//
// Some arguments cannot be copied, for example those with interface values of types that
// gob does not know, or with methods that encode but do not decode. Such an argument is
// encoded only while Go waits, and its call is not tried again.
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
		default: // as in net/rpc: it is for the caller to give done room
		}
	}
	own, copied := c.copies.of(args)
	d := &departure{left: make(chan struct{}), copied: copied}
	run := func() {
		defer c.leave()
		err := error(&Error{Service: c.service, Method: method, Executed: ExecutedMaybe, Err: errors.New("a hook has ended the goroutine")})
		defer func() {
			if p := recover(); p != nil {
				err = &Error{Service: c.service, Method: method, Executed: ExecutedMaybe, Err: fmt.Errorf("a hook panicked: %v", p)}
			}
			d.leave()
			complete(err)
		}()
		cl := c.newCall(method, own, reply, opts)
		cl.departure, cl.borrowed = d, !copied
		err = c.do(ctx, cl)
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

// A departure is what Go waits for: the request is encoded, or it has to wait and the
// argument is copied.
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

// depart is start for the first attempt of a Go.
func (cl *call) depart(ctx context.Context, a *attempt) result {
	d := cl.departure
	cl.departure = nil
	if d.gone() { // an interceptor calls next a second time
		if cl.borrowed {
			return result{phase: PhaseEncode, err: errBorrowed}
		}
		return cl.start(ctx, a)
	}
	defer d.leave()
	c := cl.client
	if !c.lane.used() && cl.choose(a) {
		cl.prepare(a, cl.reply)
		if err := a.conn.SendNow(ctx, &a.request); err != conn.ErrBusy {
			return cl.sent(ctx, a, err)
		}
		a.release(balancer.Canceled, nil)
		c.stats.attempts.Add(^uint64(0)) // start counts it again
		a.node.attempts.Add(^uint64(0))
	}
	before, pass := c.lane.enter()
	defer pass()
	if d.copied {
		d.leave()
	}
	if err := cl.queue(ctx, before); err != nil {
		return result{phase: PhaseWrite, err: err}
	}
	return cl.start(ctx, a)
}

var errBorrowed = errors.New("the argument cannot be copied, and may have changed since Go returned")

// queue waits for the calls that wait already.
func (cl *call) queue(ctx context.Context, before <-chan struct{}) error {
	if before == nil {
		return nil
	}
	var expired <-chan time.Time
	if cl.deadline > 0 {
		timer := time.NewTimer(cl.deadline - cl.client.now())
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-before:
		return nil
	case <-cl.client.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return conn.ContextError(ctx)
	case <-expired:
		return conn.UnsentError{Limit: cl.limit}
	}
}

// lane keeps the requests in order that Go could not send at once.
type lane struct {
	mu   sync.Mutex    // guards last
	last chan struct{} // closed when the last request that waits is sent
}

// used tells that a request waits.
func (l *lane) used() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last != nil
}

// enter queues a request. before is closed when its turn comes, and nil if it need not
// wait. pass lets the next request go.
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
