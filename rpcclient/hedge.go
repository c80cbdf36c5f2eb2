package rpcclient

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
	"github.com/rollcall-dns/rollcall/rpcclient/internal/conn"
)

// awaitHedged waits for a flight; if it has not landed after the given time,
// which is rare by the choice of that time, the request is sent to another
// node, too, and the first answer counts. An early failure of one does not hide a
// good answer of the other.
//
// The first flight decodes into the user's reply, the second into a value of its
// own, copied only after the first was given up: its late answer touches nothing.
func (t *task) awaitHedged(ctx context.Context, f *flight, after time.Duration) result {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-f.request.Done:
		return t.landed(f)
	case <-ctx.Done():
		return t.giveUp(ctx, f)
	case <-timer.C:
	}
	if h := t.hedge(f, after); h != nil {
		return t.race(ctx, f, h)
	}
	select {
	case <-f.request.Done:
		return t.landed(f)
	case <-ctx.Done():
		return t.giveUp(ctx, f)
	}
}

// race is what comes of two flights that are out: the first answer of a server, or the
// last failure. It does not matter in which order select sees what has happened.
func (t *task) race(ctx context.Context, f, h *flight) result {
	for {
		landed, other := f, h
		select {
		case <-f.landing():
		case <-h.landing():
			landed, other = h, f
		case <-ctx.Done():
			return t.quit(ctx, f, h)
		}
		res := t.landed(landed)
		if res.final() || !other.out {
			return t.won(res, landed, other)
		}
		t.note(res)
	}
}

// quit ends a race whose context has ended. Both are given up before it waits for one
// that is being decoded, the answer of which counts.
func (t *task) quit(ctx context.Context, f, h *flight) result {
	var failed []result
	for _, x := range []*flight{f, h} {
		if x.out && x.conn.Abandon(&x.request) {
			failed = append(failed, t.gaveUp(ctx, x))
		}
	}
	for _, x := range []*flight{f, h} {
		if !x.out {
			continue
		}
		<-x.request.Done
		res := t.landed(x)
		if res.final() {
			return t.won(res, x, x.other(f, h))
		}
		failed = append(failed, res)
	}
	for _, res := range failed[1:] {
		t.note(res)
	}
	return failed[0]
}

func (x *flight) other(f, h *flight) *flight {
	if x == f {
		return h
	}
	return f
}

// won is the end of every race: nobody else makes a result of one flight that of the
// call. The other flight is given up, and the answer of a hedge copied to the user, now
// that the first one can write there no more.
func (t *task) won(res result, winner, other *flight) result {
	if other.out && !other.recall() {
		if second := t.landed(other); second.err == nil && (winner.hedge || res.err != nil) {
			res, winner = second, other // at hand already; if it is the first, in the user's reply
		}
	} else if other.held {
		if winner.hedge { // how long it takes is not known, but longer than this
			t.client.quick.record(t.method, t.client.now()-other.request.Start, t.client.now())
		}
		other.release(balancer.Canceled, nil)
	}
	if winner.hedge && res.err == nil {
		t.client.stats.hedgesWon.Add(1)
		if winner.private.IsValid() {
			reflect.ValueOf(t.reply).Elem().Set(winner.private.Elem())
		}
	}
	return res
}

// final tells that a server has answered.
func (r *result) final() bool { return r.err == nil || r.exec == Yes }

// hedge sends the second request, if another node and the budgets allow it at once.
func (t *task) hedge(f *flight, after time.Duration) *flight {
	c := t.client
	if !c.quick.spend(t.method) {
		return nil
	}
	p, err := c.group.Pick(balancer.Want{Key: t.key, Skip: append(slices.Clone(t.tried), f.node.balanced)})
	if err != nil {
		c.quick.refund(t.method)
		return nil
	}
	n := p.Node().Value().(*node)
	cn := n.conn()
	if n == f.node || cn == nil || cn.Crowded() || !c.budget.Spend(c.stats.calls.Load()) {
		c.quick.refund(t.method)
		p.Done(balancer.Canceled)
		return nil
	}
	h := &flight{request: *conn.NewRequest(), conn: cn, node: n, pick: p, held: true, hedge: true}
	t.second = h
	var reply any
	if t.reply != nil {
		h.private = reflect.New(reflect.TypeOf(t.reply).Elem())
		reply = h.private.Interface()
	}
	t.prepare(h, reply)
	if !t.tracers.none() {
		t.tracers.hedging(t.method, after)
	}
	if err := cn.SendNow(context.Background(), &h.request); err != nil {
		c.quick.refund(t.method)
		t.note(t.notSent(h, err))
		return nil
	}
	h.out = true
	c.stats.hedges.Add(1)
	return h
}
