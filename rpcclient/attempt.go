package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
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
	call  call
	conn  *conn
	node  *node
	pick  balancer.Pick
	hedge bool
}

// try sends the request to one node and waits for what comes of it.
func (t *task) try(ctx context.Context) result {
	f := &t.first
	if res := t.start(ctx, f); res.err != nil {
		return res
	}
	if t.ExtraLoad > 0 {
		if after, ok := t.client.quick.quantile(t.method, 1-t.ExtraLoad, t.client.now()); ok {
			return t.awaitHedged(ctx, f, after)
		}
	}
	if quit := ctx.Done(); quit != nil {
		select {
		case <-f.call.done:
		case <-quit:
			return t.giveUp(ctx, f)
		}
	} else {
		<-f.call.done
	}
	return t.landed(f)
}

// start chooses a node and sends. On an error nothing was sent.
func (t *task) start(ctx context.Context, f *flight) result {
	if !t.choose(f) {
		begin := t.client.now()
		if err := t.await(ctx, f); err != nil {
			return result{phase: Pick, took: t.client.now() - begin, err: err}
		}
	}
	t.prepare(f, t.reply)
	if err := f.conn.send(ctx, &f.call); err != nil {
		return t.notSent(ctx, f, err)
	}
	if !t.tracers.none() {
		t.tracers.sent(t.method, f.node.addr())
	}
	return result{}
}

// prepare makes the request of a flight whose node is chosen.
func (t *task) prepare(f *flight, reply any) {
	now := t.client.now()
	cl := &f.call
	cl.method, cl.args, cl.reply = t.method, t.args, reply
	cl.start, cl.deadline = now, t.deadline
	if t.perTry > 0 && (cl.deadline == 0 || now+t.perTry < cl.deadline) {
		cl.deadline = now + t.perTry
	}
	t.client.stats.attempts.Add(1)
	f.node.calls.Add(1)
	if !t.tracers.none() {
		t.tracers.picked(t.method, f.node.addr(), len(t.attempts)+1)
	}
}

// notSent is the result of a send that failed.
func (t *task) notSent(ctx context.Context, f *flight, err error) result {
	res := result{node: f.node, phase: Write, took: t.client.now() - f.call.start, hedge: f.hedge, err: err}
	outcome := balancer.Canceled // a lost connection has told the group itself
	switch {
	case is[*encodeError](err):
		res.phase = Encode
	case errors.Is(err, errQueueFull):
		outcome = balancer.Failed
	}
	f.pick.DoneErr(outcome, err)
	return res
}

// landed is the result of a finished call, which the node's statistics learn.
func (t *task) landed(f *flight) result {
	cl := &f.call
	res := result{node: f.node, exec: cl.exec, took: t.client.now() - cl.start, hedge: f.hedge, err: cl.err}
	outcome := balancer.OK
	switch err := cl.err.(type) {
	case nil:
		if t.ExtraLoad > 0 {
			t.client.quick.record(t.method, res.took, t.client.now())
		}
	case rpc.ServerError:
		res.phase = Answer
	default:
		switch {
		case is[*decodeError](err):
			res.phase = Decode
		case cl.exec == Never:
			res.phase, outcome = Write, balancer.Canceled
		default:
			res.phase, outcome = Wait, balancer.Failed
			f.node.bad.Add(1)
		}
	}
	f.pick.DoneErr(outcome, cl.err)
	if (cl.exec == Yes || res.phase == Answer) && !t.tracers.none() {
		t.tracers.answered(t.method, f.node.addr(), res.took, cl.err)
	}
	return res
}

// giveUp ends a flight whose context has ended.
func (t *task) giveUp(ctx context.Context, f *flight) result {
	if !f.conn.abandon(&f.call) {
		<-f.call.done
		return t.landed(f)
	}
	outcome := balancer.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// To a node that does not answer it makes no difference whose
		// deadline it was.
		outcome = balancer.Failed
		f.node.bad.Add(1)
		f.conn.doubt(f.call.start)
	}
	err := contextError(ctx)
	f.pick.DoneErr(outcome, err)
	return result{
		node: f.node, phase: Wait, exec: Maybe, hedge: f.hedge,
		took: t.client.now() - f.call.start, err: err,
	}
}

// choose picks a node that has a connection. The group's idea of who is up runs
// behind for a moment when a connection is lost; and if all are down, it picks
// from these.
func (t *task) choose(f *flight) bool {
	hint := balancer.Hint{Key: t.key, Skip: t.tried}
	for range 3 {
		p, err := t.client.group.Pick(hint)
		if err != nil {
			return false
		}
		b := p.Node()
		n := b.Value().(*node)
		if cn := n.conn(); cn != nil {
			f.pick, f.node, f.conn = p, n, cn
			return true
		}
		p.Done(balancer.Canceled)
		hint.Skip = append(slices.Clone(hint.Skip), b)
	}
	return false
}

// await waits for a node with a connection, and chooses it.
func (t *task) await(ctx context.Context, f *flight) error {
	c := t.client
	limit := c.cfg.WaitForNode
	if t.deadline > 0 {
		limit = min(limit, t.deadline-c.now())
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		changed := c.changed.next()
		if t.choose(f) {
			return nil
		}
		if limit <= 0 || c.hopeless() {
			return c.noNodes()
		}
		c.hurry()
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("%w within %v", c.noNodes(), limit.Round(time.Millisecond))
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", contextError(ctx), c.noNodes())
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}

// hopeless tells that there is nothing to wait for: a server said that there is no
// such service, and there never was, to this client.
func (c *Client) hopeless() bool {
	state := c.state.Load()
	return state != nil && len(state.Endpoints) == 0 && !c.had.Load() && definite(state.Err)
}

// hurry makes every dialler try soon, and the source look again.
func (c *Client) hurry() {
	c.mu.Lock()
	for n := range c.nodes {
		n.hurry()
	}
	c.mu.Unlock()
	if c.state.Load() != nil {
		c.refresh()
	}
}
