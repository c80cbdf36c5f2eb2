package rpcserver

import "sync"

// live has the calls of one connection that can be ended from outside: those with a
// context, and those that wait for their turn.
type live struct {
	mu    sync.Mutex       // guards all below, and waits and givenUp of each call
	calls map[uint64]*call // by the number of the request
	cause error            // all have ended
}

func (l *live) add(k *call) {
	l.mu.Lock()
	if l.calls == nil {
		l.calls = make(map[uint64]*call)
	}
	l.calls[k.seq] = k // a client that uses a number twice cannot cancel the first
	k.listed = true
	cause := l.cause
	l.mu.Unlock()
	if cause != nil && k.ctx != nil {
		k.ctx.end(cause)
	}
}

func (l *live) remove(k *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[k.seq] == k {
		delete(l.calls, k.seq)
	}
}

// begin is called when it is the turn of a call that waited. It is false if it was given up
// meanwhile, and answered.
func (l *live) begin(k *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	k.waits = false
	return !k.givenUp
}

// giveUp ends a call that the client has given up. It returns the method if the call waits
// for its turn, which it is not going to get: then the caller of giveUp answers it.
func (l *live) giveUp(seq uint64) (unanswered *method) {
	l.mu.Lock()
	k := l.calls[seq]
	var ctx *callContext
	if k != nil {
		ctx = k.ctx
		if k.waits && !k.givenUp {
			k.givenUp, unanswered = true, k.method
		}
	}
	l.mu.Unlock()
	if ctx != nil {
		ctx.end(ErrGaveUp)
	}
	return unanswered
}

// end ends all contexts, also of calls that come later.
func (l *live) end(cause error) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = cause
	}
	var all []*callContext
	for _, k := range l.calls {
		if k.ctx != nil {
			all = append(all, k.ctx)
		}
	}
	l.mu.Unlock()
	for _, ctx := range all {
		ctx.end(cause)
	}
}

// Tests: context_test.go.
