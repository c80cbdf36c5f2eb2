package rpcserver

import (
	"time"

	"github.com/rollcall-dns/rollcall/internal/callmeta"
	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// newCall makes the call of the request whose header was read.
func (c *conn) newCall(m *method) *call {
	k := m.newCall(c, c.head.Seq)
	if c.head.Timeout > 0 {
		k.late = time.Now().Add(c.head.Timeout)
	}
	if m.form == withContext || c.server.handler != nil {
		k.ctx = &callContext{
			call:     Call{Method: m.name, Peer: c.peer, Meta: Meta{callmeta.Keep(c.head.Meta)}},
			deadline: k.late,
		}
		k.ctx.call.of = k.ctx
	}
	return k
}

// begin starts a call whose argument was read.
func (c *conn) begin(k *call) {
	k.args[3] = k.method.newReply()
	if c.server.handler != nil {
		k.ctx.k, k.ctx.args, k.ctx.reply = k, k.arg.Interface(), k.args[3].Interface()
	}
	k.charge, c.charge = c.charge, charge{}
	c.inflight.Add(1)
	k.mine = c.calls.try()
	k.all = k.mine && c.server.calls.try()
	k.waits = !k.all
	if k.waits || k.ctx != nil {
		c.live.add(k)
	}
	if k.waits {
		// The call waits for its turn in its own goroutine. It is answered even if
		// the wait for memory here fails.
		size := waitingCall
		if k.ctx != nil {
			size += len(c.head.Meta)
		}
		_ = c.server.memory.take(&k.charge, size, c.holds, c.over)
	}
	go k.run()
}

// unserved does what a request asks for that no method is called for: a ping, a cancel, one
// for a method that does not exist or does not serve, and one that is refused because of its
// header. m is nil if there is no such method, and why is why one does not serve, which may
// have changed when the body has come.
func (c *conn) unserved(m *method, why string) error {
	resp := rpcwire.Response{ServiceMethod: string(c.head.Method), Seq: c.head.Seq}
	if m == nil {
		why = c.server.serving.why(resp.ServiceMethod)
	}
	_, broken := c.wire.body(nil)
	c.mid = false
	if err := cutOff(broken); err != nil {
		return err
	}
	if resp.ServiceMethod == rpcwire.CancelMethod && c.wire.drains() {
		if m := c.live.giveUp(resp.Seq); m != nil {
			resp.ServiceMethod, resp.NotExecuted, resp.Error = m.name, true, "rpcserver: "+m.name+": "+errGivenUp
			c.respond(resp, nil)
		}
		return broken
	}
	c.last = max(c.last, resp.Seq)
	switch {
	case c.head.Refused != nil:
		resp.NotExecuted, resp.Error = true, "rpcserver: "+c.head.Refused.Error()
	case resp.ServiceMethod == rpcwire.PingMethod:
		resp.Knows, resp.NotExecuted = rpcwire.KnowsCancel, why != ""
	case why != "":
		resp.NotExecuted, resp.Error, resp.Wait = true, why, notServingFor
	default:
		resp.Error = c.server.services.missing(resp.ServiceMethod)
	}
	c.respond(resp, struct{}{})
	return broken
}

// Tests: context_test.go, middleware_test.go, serving_test.go.
