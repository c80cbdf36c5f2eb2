package rpcserver

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// call is one request being answered. Calls are used again, method by method.
type call struct {
	conn   *conn
	method *method
	seq    uint64
	arg    reflect.Value    // a pointer to the argument, for decoding
	args   [3]reflect.Value // receiver, argument, reply: as Call takes them
	begun  time.Time        // zero without a Trace
	failed string           // what the client is told instead of the reply
	panick any
	ended  bool // the method returned
	charge charge
	mine   bool // it is counted among the running calls of its connection
	all    bool // and of all
}

// newCall has room for the argument.
func (m *method) newCall(c *conn, seq uint64) *call {
	k, _ := m.pool.Get().(*call)
	if k == nil {
		k = &call{method: m}
		k.args[0] = m.rcvr
	}
	k.conn, k.seq = c, seq
	if !k.arg.IsValid() {
		k.arg = reflect.New(m.arg)
		if m.argPtr {
			k.args[1] = k.arg
		} else {
			k.args[1] = k.arg.Elem()
		}
	}
	return k
}

// free gives k back. A method may keep a pointer that it got, for as long as it likes. An
// argument that it got by value was a copy, so that the memory can be used again. It is
// zeroed, because gob would fill a slice that the method kept.
func (k *call) free() {
	if k.method.argPtr {
		k.arg, k.args[1] = reflect.Value{}, reflect.Value{}
	} else {
		k.arg.Elem().SetZero()
	}
	k.args[2] = reflect.Value{}
	k.conn, k.failed, k.panick, k.ended = nil, "", nil, false
	k.mine, k.all = false, false
	k.method.pool.Put(k)
}

// run executes the call, when it is its turn, and answers it.
func (k *call) run() {
	c := k.conn
	if !k.all && !k.turn() {
		c.leave(k) // the client has gone
		return
	}
	defer c.answer(k) // also when the method ended its goroutine
	if t := c.server.cfg.Trace; t != nil {
		k.begun = time.Now()
		if t.CallBegin != nil {
			c.server.hook(func() { t.CallBegin(CallInfo{Method: k.method.name, Remote: c.remote}) })
		}
	}
	k.invoke()
}

// turn waits until the limits let the call run; false: the connection ended.
func (k *call) turn() bool {
	c := k.conn
	k.mine = k.mine || c.calls.enter()
	k.all = k.mine && c.server.calls.enter()
	return k.all && !c.lost.Load()
}

// invoke calls the method. A panic is a failure of that call, and not of the process.
func (k *call) invoke() {
	defer k.caught()
	out := k.method.fn.Call(k.args[:])
	if err, ok := out[0].Interface().(error); ok && err != nil {
		k.failed = err.Error() // may panic too
	}
	k.ended = true
}

// caught is deferred by invoke.
func (k *call) caught() {
	if k.ended {
		return
	}
	s := k.conn.server
	s.panics.Add(1)
	r := recover()
	if r == nil { // runtime.Goexit
		k.failed = fmt.Sprintf("rpcserver: %s ended its goroutine without an answer", k.method.name)
		s.cfg.Logger.Error("method ended its goroutine", "method", k.method.name, "remote", k.conn.remote)
		return
	}
	k.panick = r
	k.failed = fmt.Sprintf("rpcserver: panic in %s: %v", k.method.name, rpcwire.Printable(r))
	s.cfg.Logger.LogAttrs(context.Background(), slog.LevelError, "panic in method",
		slog.String("method", k.method.name), slog.String("remote", k.conn.remote),
		slog.Any("panic", rpcwire.Printable(r)), slog.String("stack", string(debug.Stack())))
}

// Tests: panic_test.go.
