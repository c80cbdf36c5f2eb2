package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"reflect"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// result is how a try ended.
type result struct {
	node  *node // nil: there was none
	phase Phase
	exec  Executed
	took  time.Duration
	hedge bool
	err   error
}

// flight is a request on its way to a node.
type flight struct {
	request conn.Request
	conn    *conn.Conn
	node    *node
	pick    balancer.Pick
	held    bool // the pick is not done
	out     bool // the request is sent, and its result not taken
	hedge   bool
	// private is what a hedge is decoded into, if there is anything.
	private reflect.Value
}

// release tells the group how it ended.
func (f *flight) release(outcome balancer.Outcome, err error) {
	f.held = false
	f.pick.DoneErr(outcome, err)
}

// landing has a token when the flight has landed.
func (f *flight) landing() <-chan struct{} {
	if !f.out {
		return nil
	}
	return f.request.Done
}

// recall gives a flight that is out up. It returns false if it has landed: its result
// is there.
func (f *flight) recall() bool {
	f.out = !f.conn.Abandon(&f.request)
	if f.out {
		<-f.request.Done // soon: it is being decoded, or what waits for it is told
	}
	return !f.out
}

// try sends the request to one node and waits for what comes of it.
func (t *task) try(ctx context.Context) result {
	f := &t.first
	if res := t.start(ctx, f); res.err != nil {
		return res
	}
	if t.Hedge > 0 {
		if len(t.attempts) == 0 {
			t.client.quick.earn(t.method, t.Hedge)
		}
		if after, ok := t.client.quick.quantile(t.method, 1-t.Hedge, t.client.now()); ok {
			return t.awaitHedged(ctx, f, after)
		}
	}
	if quit := ctx.Done(); quit != nil {
		select {
		case <-f.request.Done:
		case <-quit:
			return t.giveUp(ctx, f)
		}
	} else {
		<-f.request.Done
	}
	return t.landed(f)
}

// start chooses a node and sends. On an error nothing was sent.
func (t *task) start(ctx context.Context, f *flight) result {
	if t.departure != nil {
		return t.depart(ctx, f)
	}
	if !t.choose(f) {
		begin := t.client.now()
		if err := t.await(ctx, f); err != nil {
			return result{phase: Pick, took: t.client.now() - begin, err: err}
		}
	}
	t.prepare(f, t.reply)
	return t.sent(ctx, f, f.conn.Send(ctx, &f.request))
}

// sent is what follows a send.
func (t *task) sent(ctx context.Context, f *flight, err error) result {
	if err != nil {
		return t.notSent(f, err)
	}
	f.out = true
	if !t.tracers.none() {
		t.tracers.sent(t.method, f.node.addr())
	}
	return result{}
}

// prepare makes the request of a flight whose node is chosen.
func (t *task) prepare(f *flight, reply any) {
	now := t.client.now()
	req := &f.request
	req.Method, req.Args, req.Reply = t.method, t.args, reply
	req.Start, req.Deadline, req.Limit = now, t.deadline, t.limit
	if t.perTry > 0 && (req.Deadline == 0 || now+t.perTry < req.Deadline) {
		req.Deadline, req.Limit = now+t.perTry, byAttempt
	}
	t.client.stats.attempts.Add(1)
	f.node.calls.Add(1)
	if !t.tracers.none() {
		t.tracers.picked(t.method, f.node.addr(), len(t.attempts)+1)
	}
}

// notSent is the result of a send that failed.
func (t *task) notSent(f *flight, err error) result {
	res := result{node: f.node, phase: Write, took: t.client.now() - f.request.Start, hedge: f.hedge, err: err}
	outcome := balancer.Canceled // a lost connection has told the group itself
	switch {
	case is[*conn.EncodeError](err):
		res.phase = Encode
	case is[conn.UnsentError](err):
		outcome = balancer.Failed
	}
	f.release(outcome, err)
	return res
}

// landed is the result of a finished call, which the node's statistics learn.
func (t *task) landed(f *flight) result {
	f.out = false
	req := &f.request
	res := result{node: f.node, exec: Executed(req.Executed), took: t.client.now() - req.Start, hedge: f.hedge, err: req.Err}
	outcome := balancer.OK
	switch err := req.Err.(type) {
	case nil:
		if t.Hedge > 0 {
			t.client.quick.record(t.method, res.took, t.client.now())
		}
	case rpc.ServerError:
		res.phase = Answer
	default:
		switch {
		case is[*conn.DecodeError](err):
			res.phase = Decode
		case req.Executed == conn.Never:
			res.phase, outcome = Write, balancer.Canceled
		default:
			res.phase, outcome = Wait, balancer.Failed
			f.node.bad.Add(1)
		}
	}
	f.release(outcome, req.Err)
	if (req.Executed == conn.Yes || res.phase == Answer) && !t.tracers.none() {
		t.tracers.answered(t.method, f.node.addr(), res.took, req.Err)
	}
	return res
}

// giveUp ends a flight whose context has ended.
func (t *task) giveUp(ctx context.Context, f *flight) result {
	if !f.recall() {
		return t.landed(f)
	}
	return t.gaveUp(ctx, f)
}

// gaveUp is the result of a flight that was given up for its context.
func (t *task) gaveUp(ctx context.Context, f *flight) result {
	f.out = false
	outcome := balancer.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// To a node that does not answer it makes no difference whose
		// deadline it was.
		outcome = balancer.Failed
		f.node.bad.Add(1)
		f.conn.Doubt(f.request.Start)
	}
	err := conn.ContextError(ctx)
	f.release(outcome, err)
	return result{
		node: f.node, phase: Wait, exec: Maybe, hedge: f.hedge,
		took: t.client.now() - f.request.Start, err: err,
	}
}

// cleanUp ends what is left of a call whose hooks have panicked, or ended their
// goroutine.
func (t *task) cleanUp() {
	for _, f := range []*flight{&t.first, t.second} {
		if f == nil {
			continue
		}
		if f.out {
			f.recall()
			f.out = false
		}
		if f.held {
			f.release(balancer.Canceled, nil)
		}
	}
}

// choose picks a node that has a connection. The group's idea of who is up runs
// behind for a moment when a connection is lost; and if all are down, it picks
// from these.
func (t *task) choose(f *flight) bool {
	want := balancer.Want{Key: t.key, Skip: t.tried}
	for range 3 {
		p, err := t.client.group.Pick(want)
		if err != nil {
			return false
		}
		b := p.Node()
		n := b.Value().(*node)
		if cn := n.conn(); cn != nil {
			f.pick, f.node, f.conn, f.held = p, n, cn, true
			return true
		}
		p.Done(balancer.Canceled)
		want.Skip = append(slices.Clone(want.Skip), b)
	}
	return false
}

// await waits for a node with a connection, and chooses it.
func (t *task) await(ctx context.Context, f *flight) error {
	c := t.client
	patience, limit := c.cfg.WaitForNode, byWaiting
	if t.deadline > 0 && t.deadline-c.now() < patience {
		patience, limit = t.deadline-c.now(), t.limit
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		changed := c.changed.next()
		if t.choose(f) {
			return nil
		}
		switch {
		case c.cfg.WaitForNode <= 0, c.hopeless.Load():
			return c.noNodes()
		case patience <= 0:
			return &noNodeError{limit, c.noNodes()}
		}
		select {
		case <-changed:
		case <-timer.C:
			return &noNodeError{limit, c.noNodes()}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", conn.ContextError(ctx), c.noNodes())
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}
