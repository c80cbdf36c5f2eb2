package rpcclient

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// awaitHedged waits for an attempt. If it has no result after the given time, which few
// attempts exceed, the request is sent to another node, too, and the first answer
// counts. A failure of one attempt does not hide the answer of the other.
//
// The first attempt decodes into the user's reply. The hedge decodes into a value of its
// own, which is copied only after the first attempt was given up: a late answer to that
// one then touches nothing.
func (cl *call) awaitHedged(ctx context.Context, a *attempt, after time.Duration) result {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-a.request.Done:
		return cl.ended(a)
	case <-ctx.Done():
		return cl.giveUp(ctx, a)
	case <-timer.C:
	}
	if h := cl.hedge(a, after); h != nil {
		return cl.race(ctx, a, h)
	}
	select {
	case <-a.request.Done:
		return cl.ended(a)
	case <-ctx.Done():
		return cl.giveUp(ctx, a)
	}
}

// race waits for two attempts that are out. Its result is the first answer of a server,
// or the last failure, in whatever order select sees the events. An error that would be
// tried again is a failure here: the other attempt is a try already.
func (cl *call) race(ctx context.Context, a, h *attempt) result {
	for {
		first, other := a, h
		select {
		case <-a.done():
		case <-h.done():
			first, other = h, a
		case <-ctx.Done():
			return cl.quit(ctx, a, h)
		}
		res := cl.ended(first)
		if !other.out || res.answered() && !cl.retryable(res) {
			return cl.won(res, first, other)
		}
		cl.note(res)
	}
}

// quit ends a race because its context has ended. It gives up both attempts before it
// waits for one whose answer is being decoded, and that answer counts.
func (cl *call) quit(ctx context.Context, a, h *attempt) result {
	var failed []result
	for _, x := range []*attempt{a, h} {
		if x.out && x.conn.Abandon(&x.request) {
			failed = append(failed, cl.gaveUp(ctx, x))
		}
	}
	for _, x := range []*attempt{a, h} {
		if !x.out {
			continue
		}
		<-x.request.Done
		res := cl.ended(x)
		if res.answered() {
			other := a
			if x == a {
				other = h
			}
			return cl.won(res, x, other)
		}
		failed = append(failed, res)
	}
	for _, res := range failed[1:] {
		cl.note(res)
	}
	return failed[0]
}

// won ends every race, and is the only place where the result of one of two attempts
// becomes that of the call. It gives the other attempt up, so that the first attempt can
// no longer write to the user's reply, and then copies the answer of a hedge there.
func (cl *call) won(res result, winner, other *attempt) result {
	if other.out && !other.abandon() {
		// The other one has a result as well. If it is the first attempt's answer, it
		// is in the user's reply already.
		if second := cl.ended(other); second.err == nil && (winner.hedge || res.err != nil) {
			res, winner = second, other
		}
	} else if other.picked {
		if winner.hedge { // the time that the other one takes is not known, but it is longer
			cl.client.latencies.record(cl.method, cl.client.now()-other.request.Start, cl.client.now())
		}
		other.release(balancer.Canceled, nil)
	}
	if winner.hedge && res.err == nil {
		cl.client.stats.hedgesWon.Add(1)
		if winner.private.IsValid() {
			reflect.ValueOf(cl.reply).Elem().Set(winner.private.Elem())
		}
	}
	return res
}

// hedge sends the second request, if there is another node for it at once and the
// budgets allow it.
func (cl *call) hedge(a *attempt, after time.Duration) *attempt {
	c := cl.client
	if !c.latencies.spend(cl.method) {
		return nil
	}
	p, err := c.group.Pick(balancer.Want{Key: cl.key, Skip: append(slices.Clone(cl.tried), a.node.balanced)})
	if err != nil {
		c.latencies.refund(cl.method)
		return nil
	}
	n := p.Node().Value().(*node)
	cn := n.conn()
	if n == a.node || cn == nil || cn.Crowded() || !c.budget.Spend(c.stats.calls.Load()) {
		c.latencies.refund(cl.method)
		p.Done(balancer.Canceled)
		return nil
	}
	h := &attempt{request: *conn.NewRequest(), conn: cn, node: n, pick: p, picked: true, hedge: true}
	cl.second = h
	var reply any
	if cl.reply != nil {
		h.private = reflect.New(reflect.TypeOf(cl.reply).Elem())
		reply = h.private.Interface()
	}
	cl.prepare(h, reply)
	if !cl.tracers.none() {
		cl.tracers.hedging(cl.method, after)
	}
	if err := cn.SendNow(context.Background(), &h.request); err != nil {
		c.latencies.refund(cl.method)
		cl.note(cl.notSent(h, err))
		return nil
	}
	h.out = true
	c.stats.hedges.Add(1)
	return h
}
