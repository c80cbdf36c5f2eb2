package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/rollcall-dns/rollcall/internal/rpcwire"
)

// call is one request being answered. Calls are used again, method by method, unless the
// server has middleware, which may keep what it got.
type call struct {
	conn   *conn
	method *method
	seq    uint64
	arg    reflect.Value    // a pointer to the argument, for decoding
	args   [4]reflect.Value // receiver, context (of a plain method: again the receiver), argument, reply
	ctx    *callContext     // nil: nothing needs one
	ctxArg context.Context  // to which args[1] refers
	late   time.Time        // from then on it is not begun; zero: there is no end
	begun  time.Time        // zero without a Trace
	failed string           // what the client is told instead of the reply
	never  *refusal         // it was refused
	unmade bool             // the client is told that it was not executed
	panick any
	ended  bool // the method returned
	charge charge
	mine   bool // it is counted among the running calls of its connection
	all    bool // and of all
	listed bool // among the live calls of its connection
	// Guarded by conn.live, if it is listed:
	waits   bool // for its turn
	givenUp bool // and answered
}

// newCall has room for the argument.
func (m *method) newCall(c *conn, seq uint64) *call {
	k, _ := m.pool.Get().(*call)
	if k == nil {
		k = &call{method: m}
		k.args[0] = m.rcvr
		if k.args[1] = m.rcvr; m.form == withContext {
			k.args[1] = reflect.ValueOf(&k.ctxArg).Elem()
		}
	}
	k.conn, k.seq = c, seq
	if !k.arg.IsValid() {
		k.arg = reflect.New(m.arg)
		if m.argPtr {
			k.args[2] = k.arg
		} else {
			k.args[2] = k.arg.Elem()
		}
	}
	return k
}

// free gives k back. A method may keep a pointer that it got, for as long as it likes. An
// argument that it got by value was a copy, so that the memory can be used again. It is
// zeroed, because gob would fill a slice that the method kept.
func (k *call) free() {
	if k.conn.server.handler != nil {
		return
	}
	if k.method.argPtr {
		k.arg, k.args[2] = reflect.Value{}, reflect.Value{}
	} else {
		k.arg.Elem().SetZero()
	}
	k.args[3] = reflect.Value{}
	k.conn, k.failed, k.never, k.unmade, k.panick, k.ended = nil, "", nil, false, nil, false
	k.ctx, k.ctxArg, k.late = nil, nil, time.Time{}
	k.mine, k.all, k.listed, k.waits, k.givenUp = false, false, false, false, false
	k.method.pool.Put(k)
}

// run executes the call, when it is its turn, and answers it. What few calls need is in other
// functions: each call has a new goroutine, whose stack is small, and growing it in the
// middle of a call costs half a microsecond.
func (k *call) run() {
	c := k.conn
	if !k.all && !k.turn() {
		c.leave(k) // the client has gone
		return
	}
	if k.waits && !c.live.begin(k) {
		c.leave(k) // the client has given it up, and has its answer
		return
	}
	if !k.late.IsZero() && !time.Now().Before(k.late) {
		k.isLate()
		c.finish(k, nil)
		return
	}
	defer c.answer(k) // also when the method ended its goroutine
	if t := c.server.cfg.Trace; t != nil {
		k.begins(t)
	}
	k.invoke()
}

// isLate notes that the call is not executed, because its time was over before its turn.
//
//go:noinline
func (k *call) isLate() {
	k.unmade, k.failed = true, "rpcserver: "+k.method.name+": "+errLate
}

// begins tells the Trace.
//
//go:noinline
func (k *call) begins(t *Trace) {
	k.begun = time.Now()
	if t.CallBegin != nil {
		k.conn.server.hook(func() { t.CallBegin(CallInfo{Method: k.method.name, Remote: k.conn.remote}) })
	}
}

// ends tells the Trace, and answers the call, also if the Trace ends the goroutine. It is apart
// for the reason that run has.
//
//go:noinline
func (k *call) ends(t *Trace, reply any) {
	defer k.conn.finish(k, reply)
	info := CallInfo{Method: k.method.name, Remote: k.conn.remote, Took: time.Since(k.begun), Failed: k.failed, Panic: k.panick}
	k.conn.server.hook(func() { t.CallEnd(info) })
}

// isDeserted notes that the method was not called, because Trace.CallBegin has ended the
// goroutine.
//
//go:noinline
func (k *call) isDeserted() {
	k.unmade, k.failed = true, "rpcserver: "+k.method.name+" was not called: Trace.CallBegin has ended its goroutine"
}

// What requests are told that are not executed.
const (
	errLate    = "deadline exceeded before the call began"
	errGivenUp = "the caller gave up before the call began"
)

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
	var err error
	if k.ctx == nil { // a plain method without middleware: as few frames as possible, see run
		err = result(k.method.fn.Call(k.args[1:]))
	} else {
		err = k.invokeContext()
	}
	if err != nil {
		k.fails(err)
	}
	k.ended = true
}

// invokeContext calls a method with a context, or the middleware.
func (k *call) invokeContext() error {
	if handler := k.conn.server.handler; handler != nil {
		return handler(k.ctx, &k.ctx.call)
	}
	k.ctxArg = k.ctx
	return k.callMethod(k.ctx)
}

// fails notes the error of a call. Its text may be a method's that panics.
//
//go:noinline
func (k *call) fails(err error) {
	k.failed = err.Error()
	if k.failed == "" && k.ctx != nil {
		// net/rpc answers such an error with the reply. But middleware and functions
		// return errors in place of one.
		k.failed = "rpcserver: " + k.method.name + " returned an error without a text"
	}
	if k.conn.server.handler != nil {
		errors.As(err, &k.never)
	}
}

// callMethod calls the method itself. A plain one does without ctx.
func (k *call) callMethod(ctx context.Context) error {
	m := k.method
	if m.direct != nil {
		return m.direct(ctx, k.arg.Interface(), k.args[3].Interface())
	}
	switch {
	case m.form == plain:
		return result(m.fn.Call(k.args[1:]))
	case ctx == k.ctxArg:
		return result(m.fn.Call(k.args[:]))
	}
	return k.callWith(ctx)
}

// callWith is callMethod with a context that middleware has passed on. Other calls do without
// its copy.
func (k *call) callWith(ctx context.Context) error {
	args := k.args
	args[1] = reflect.ValueOf(&ctx).Elem()
	return result(k.method.fn.Call(args[:]))
}

func result(out []reflect.Value) error {
	err, _ := out[0].Interface().(error)
	return err
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
		s.logPaced(&k.method.faults, linesOfFaults, slog.LevelError, "method ended its goroutine", "method", k.method.name, "remote", k.conn.remote)
		return
	}
	k.panick = r
	k.failed = fmt.Sprintf("rpcserver: panic in %s: %v", k.method.name, rpcwire.Printable(r))
	if left, ok := s.due(&k.method.faults, linesOfFaults, slog.LevelError); ok { // a stack takes a while
		s.log(slog.LevelError, "panic in method", append([]any{
			"method", k.method.name, "remote", k.conn.remote,
			"panic", rpcwire.Printable(r), "stack", string(debug.Stack()),
		}, left...)...)
	}
}

// Tests: panic_test.go.
