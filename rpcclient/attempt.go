package rpcclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/rpc"
	"reflect"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// attempt is one request to one node.
type attempt struct {
	request conn.Request
	conn    *conn.Conn
	node    *node
	pick    balancer.Pick
	picked  bool // the pick is not done
	out     bool // the request is sent, and its result is not taken
	hedge   bool
	// private is what the answer of a hedge is decoded into, if the user wants it.
	private reflect.Value
}

// result is how an attempt ended.
type result struct {
	node  *node // nil: there was none
	phase Phase
	exec  Executed
	took  time.Duration
	hedge bool
	err   error
}

// answered tells that a server has answered.
func (r *result) answered() bool { return r.err == nil || r.exec == ExecutedYes }

// release tells the group how the attempt ended.
func (a *attempt) release(outcome balancer.Outcome, err error) {
	a.picked = false
	a.pick.DoneErr(outcome, err)
}

// done has a token when the result of an attempt that is out can be taken.
func (a *attempt) done() <-chan struct{} {
	if !a.out {
		return nil
	}
	return a.request.Done
}

// abandon gives an attempt up that is out. It returns false if there is a result after
// all.
func (a *attempt) abandon() bool {
	a.out = !a.conn.Abandon(&a.request)
	if a.out {
		<-a.request.Done // soon: the answer is being decoded, or its waiter is being told
	}
	return !a.out
}

// try makes one attempt, and a hedge beside it if the call has one.
func (cl *call) try(ctx context.Context) result {
	a := &cl.first
	if res := cl.start(ctx, a); res.err != nil {
		return res
	}
	if cl.Hedge > 0 {
		if len(cl.failed) == 0 {
			cl.client.latencies.earn(cl.method, cl.Hedge)
		}
		if after, ok := cl.client.latencies.quantile(cl.method, 1-cl.Hedge, cl.client.now()); ok {
			return cl.awaitHedged(ctx, a, after)
		}
	}
	if quit := ctx.Done(); quit != nil {
		select {
		case <-a.request.Done:
		case <-quit:
			return cl.giveUp(ctx, a)
		}
	} else {
		<-a.request.Done
	}
	return cl.ended(a)
}

// start chooses a node and sends the request. If it returns an error, nothing was sent.
func (cl *call) start(ctx context.Context, a *attempt) result {
	if cl.departure != nil {
		return cl.depart(ctx, a)
	}
	if !cl.choose(a) {
		begin := cl.client.now()
		if err := cl.await(ctx, a); err != nil {
			return result{phase: PhasePick, took: cl.client.now() - begin, err: err}
		}
	}
	cl.prepare(a, cl.reply)
	return cl.sent(ctx, a, a.conn.Send(ctx, &a.request))
}

// sent takes the result of sending the request.
func (cl *call) sent(ctx context.Context, a *attempt, err error) result {
	if err != nil {
		return cl.notSent(a, err)
	}
	a.out = true
	if !cl.tracers.none() {
		cl.tracers.sent(cl.method, a.node.addr())
	}
	return result{}
}

// prepare makes the request of an attempt whose node is chosen.
func (cl *call) prepare(a *attempt, reply any) {
	now := cl.client.now()
	req := &a.request
	req.Method, req.Args, req.Reply = cl.method, cl.args, reply
	req.Start, req.Deadline, req.Limit = now, cl.deadline, cl.limit
	req.Travels, req.Meta = cl.travels, cl.meta
	if cl.perAttempt > 0 && (req.Deadline == 0 || now+cl.perAttempt < req.Deadline) {
		req.Deadline, req.Limit = now+cl.perAttempt, cl.byAttempt
	}
	cl.client.stats.attempts.Add(1)
	a.node.attempts.Add(1)
	if !cl.tracers.none() {
		cl.tracers.picked(cl.method, a.node.addr(), len(cl.failed)+1)
	}
}

// notSent is the result of an attempt whose request could not be sent.
func (cl *call) notSent(a *attempt, err error) result {
	res := result{node: a.node, phase: PhaseWrite, took: cl.client.now() - a.request.Start, hedge: a.hedge, err: err}
	outcome := balancer.Canceled // a lost connection has told the group itself
	switch {
	case is[*conn.EncodeError](err):
		res.phase = PhaseEncode
	case is[conn.UnsentError](err):
		outcome = balancer.Failed
	}
	a.release(outcome, err)
	return res
}

// ended takes the result of an attempt's request, and tells the node's statistics.
func (cl *call) ended(a *attempt) result {
	a.out = false
	req := &a.request
	res := result{node: a.node, exec: Executed(req.Executed), took: cl.client.now() - req.Start, hedge: a.hedge, err: req.Err}
	outcome := balancer.OK
	switch err := req.Err.(type) {
	case nil:
		if cl.Hedge > 0 {
			cl.client.latencies.record(cl.method, res.took, cl.client.now())
		}
	case rpc.ServerError:
		res.phase = PhaseAnswer
	case *conn.RefusedError:
		return cl.refused(a, res, err)
	default:
		switch {
		case is[*conn.DecodeError](err):
			res.phase = PhaseDecode
		case req.Executed == conn.Never:
			res.phase, outcome = PhaseWrite, balancer.Canceled
		default:
			res.phase, outcome = PhaseWait, balancer.Failed
			a.node.bad.Add(1)
		}
	}
	a.release(outcome, req.Err)
	if (req.Executed == conn.Yes || res.phase == PhaseAnswer) && !cl.tracers.none() {
		cl.tracers.answered(cl.method, a.node.addr(), res.took, req.Err)
	}
	return res
}

// refused is the result of an attempt that the server has not executed, and will not.
func (cl *call) refused(a *attempt, res result, why *conn.RefusedError) result {
	res.phase, res.err = PhaseAnswer, &RefusedError{Text: why.Text, Wait: why.Wait}
	cl.refusals++
	cl.client.stats.refused.Add(1)
	a.picked = false
	a.pick.DoneRefused(why.Wait, res.err)
	if !cl.tracers.none() {
		cl.tracers.answered(cl.method, a.node.addr(), res.took, res.err)
	}
	return res
}

// elsewhere tells whether there is a node that this call has not tried.
func (cl *call) elsewhere() bool {
	p, err := cl.client.group.Pick(balancer.Want{Key: cl.key, Skip: cl.tried})
	if err != nil {
		return false
	}
	p.Done(balancer.Canceled)
	return !slices.Contains(cl.tried, p.Node())
}

// giveUp ends an attempt because its context has ended.
func (cl *call) giveUp(ctx context.Context, a *attempt) result {
	if !a.abandon() {
		return cl.ended(a)
	}
	return cl.gaveUp(ctx, a)
}

// gaveUp is the result of an attempt that was given up because its context has ended.
func (cl *call) gaveUp(ctx context.Context, a *attempt) result {
	a.out = false
	outcome := balancer.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		// A node that does not answer in time has failed, whoever set the deadline.
		outcome = balancer.Failed
		a.node.bad.Add(1)
		a.conn.Doubt(a.request.Start)
	}
	err := conn.ContextError(ctx)
	a.release(outcome, err)
	return result{
		node: a.node, phase: PhaseWait, exec: ExecutedMaybe, hedge: a.hedge,
		took: cl.client.now() - a.request.Start, err: err,
	}
}

// cleanUp ends what a call leaves when one of its hooks panics or ends the goroutine.
func (cl *call) cleanUp() {
	for _, a := range []*attempt{&cl.first, cl.second} {
		if a == nil {
			continue
		}
		if a.out {
			a.abandon()
			a.out = false
		}
		if a.picked {
			a.release(balancer.Canceled, nil)
		}
	}
}

// choose picks a node that has a connection. The group learns a moment late that a
// connection is lost, and picks a node without one when all nodes are down.
func (cl *call) choose(a *attempt) bool {
	want := balancer.Want{Key: cl.key, Skip: cl.tried}
	for range 3 {
		p, err := cl.client.group.Pick(want)
		if err != nil {
			return false
		}
		b := p.Node()
		n := b.Value().(*node)
		if cn := n.conn(); cn != nil {
			a.pick, a.node, a.conn, a.picked = p, n, cn, true
			return true
		}
		p.Done(balancer.Canceled)
		want.Skip = append(slices.Clone(want.Skip), b)
	}
	return false
}

const (
	// herd is how many waiting calls may go out in the moment in which a node comes up.
	herd = 32
	// herdPace is the time for one call of more. The first nodes of a service come up within
	// milliseconds of each other, and the calls are for all of them.
	herdPace = 100 * time.Microsecond
)

// herdPause is how long a call goes on waiting when a node has come up, of so many that wait. If
// all went out at once, the first of several nodes would get all of them, and a node that
// sheds load would refuse most. It is at most half of the time that is left.
func herdPause(waiting int64, left time.Duration) time.Duration {
	most := min(time.Duration(waiting)*herdPace, retryCap, left/2)
	if waiting <= herd || most <= 0 {
		return 0
	}
	return rand.N(most)
}

// await waits for a node with a connection, and chooses it.
func (cl *call) await(ctx context.Context, a *attempt) error {
	c := cl.client
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	patience, limit := c.cfg.WaitForNode, byWaiting
	if cl.deadline > 0 && cl.deadline-c.now() < patience {
		patience, limit = cl.deadline-c.now(), cl.limit
	}
	until := c.now() + patience
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		changed := c.changed.next()
		if cl.choose(a) {
			return nil
		}
		switch {
		case c.cfg.WaitForNode <= 0, c.hopeless.Load():
			return c.noNodes()
		case patience <= 0:
			return &waitError{limit, c.noNodes()}
		}
		select {
		case <-changed:
			if pause := herdPause(c.waiting.Load(), until-c.now()); pause > 0 && c.upNodes.Load() > 0 {
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				case <-c.ctx.Done():
				}
			}
		case <-timer.C:
			return &waitError{limit, c.noNodes()}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", conn.ContextError(ctx), c.noNodes())
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}
