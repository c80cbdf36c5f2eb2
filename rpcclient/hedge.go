package rpcclient

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/balancer"
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
	case <-f.call.done:
		return t.landed(f)
	case <-ctx.Done():
		return t.giveUp(ctx, f)
	case <-timer.C:
	}
	h, private := t.hedge(f, after)
	if h == nil {
		select {
		case <-f.call.done:
			return t.landed(f)
		case <-ctx.Done():
			return t.giveUp(ctx, f)
		}
	}
	select {
	case <-f.call.done:
		res := t.landed(f)
		if res.final() {
			t.drop(h)
			return res
		}
		t.note(res)
		select {
		case <-h.call.done:
		case <-ctx.Done():
			return t.giveUp(ctx, h)
		}
		res = t.landed(h)
		t.won(res, private)
		return res
	case <-h.call.done:
		res := t.landed(h)
		if !res.final() {
			t.note(res)
			select {
			case <-f.call.done:
				return t.landed(f)
			case <-ctx.Done():
				return t.giveUp(ctx, f)
			}
		}
		if !t.drop(f) {
			if first := t.landed(f); first.err == nil {
				return first // its answer is in the user's reply already
			}
		} else {
			t.client.quick.record(t.method, t.client.now()-f.call.start, t.client.now())
		}
		t.won(res, private)
		return res
	case <-ctx.Done():
		t.drop(h)
		return t.giveUp(ctx, f)
	}
}

// final tells that a server has answered.
func (r *result) final() bool { return r.err == nil || r.exec == Yes }

// hedge sends the second request, if another node and the budget allow it at once.
func (t *task) hedge(f *flight, after time.Duration) (h *flight, private reflect.Value) {
	c := t.client
	p, err := c.group.Pick(balancer.Hint{Key: t.key, Skip: append(slices.Clone(t.tried), f.node.balanced)})
	if err != nil {
		return nil, private
	}
	n := p.Node().Value().(*node)
	cn := n.conn()
	if n == f.node || cn == nil || cn.busy() || !c.budget.spend(c.now(), c.stats.calls.Load()) {
		p.Done(balancer.Canceled)
		return nil, private
	}
	h = &flight{call: call{done: make(chan struct{}, 1)}, conn: cn, node: n, pick: p, hedge: true}
	var reply any
	if v := reflect.ValueOf(t.reply); v.Kind() == reflect.Pointer && !v.IsNil() {
		private = reflect.New(v.Type().Elem())
		reply = private.Interface()
	}
	t.prepare(h, reply)
	if !t.tracers.none() {
		t.tracers.hedging(t.method, after)
	}
	// The connection had room a moment ago; if it has none any more, this waits
	// no longer than the try may.
	if err := cn.send(context.Background(), &h.call); err != nil {
		t.note(t.notSent(context.Background(), h, err))
		return nil, private
	}
	c.stats.hedges.Add(1)
	return h, private
}

// drop gives a flight up that lost. It returns false if the flight has landed, or
// is about to; then its result is there.
func (t *task) drop(f *flight) bool {
	if !f.conn.abandon(&f.call) {
		<-f.call.done
		if f.hedge {
			t.landed(f)
		}
		return false
	}
	f.pick.Done(balancer.Canceled)
	return true
}

// won copies the answer of the second flight to the user.
func (t *task) won(res result, private reflect.Value) {
	if res.err != nil {
		return
	}
	t.client.stats.hedgesWon.Add(1)
	if private.IsValid() {
		reflect.ValueOf(t.reply).Elem().Set(private.Elem())
	}
}
