package resolver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// exchange asks one server one question: over UDP, and then over TCP if the reply is
// truncated, malformed or too large (RFC 7766 section 5) or if datagrams do not get
// through. If the server does not know EDNS, it is asked without.
func (r *Resolver) exchange(ctx context.Context, server string, q question, w way, tcp bool) (*reply, error) {
	rep, err := r.transport(ctx, server, q, w, tcp, true)
	if err == nil && rep.verdict(q) == verdictOldEDNS {
		return r.transport(ctx, server, q, w, tcp, false)
	}
	return rep, err
}

func (r *Resolver) transport(ctx context.Context, server string, q question, w way, tcp, edns bool) (*reply, error) {
	if tcp || w.stream {
		return r.overTCP(ctx, server, q, edns, w.timeout)
	}
	if r.lossy.has(server) {
		if rep, err := r.overTCP(ctx, server, q, edns, w.timeout); err == nil || ctx.Err() != nil {
			return rep, err
		}
		r.lossy.remove(server)
	}
	return r.overUDP(ctx, server, q, edns, w)
}

func (r *Resolver) overTCP(ctx context.Context, server string, q question, edns bool, timeout time.Duration) (*reply, error) {
	rep, err := r.try(ctx, "tcp", server, q, edns, 0, timeout)
	switch {
	case err != nil:
		return nil, err
	case rep.truncated:
		return nil, errors.New("truncated over TCP")
	}
	rep.tcp = true
	return rep, nil
}

// hedgeAfter is the part of Timeout after which a server that is silent over UDP is asked
// over TCP, too. It leaves time for an answer to the second datagram, and then for TCP to
// connect and answer. In the second round TCP begins at once.
const hedgeAfter = 2

// overUDP asks over UDP, and over TCP when that is not enough: at once after a reply that
// cannot be used or an error of the network, and in addition to UDP when that is silent.
// The first good reply within Timeout wins.
func (r *Resolver) overUDP(ctx context.Context, server string, q question, edns bool, w way) (*reply, error) {
	timeout, wait := w.timeout, w.timeout/hedgeAfter
	if w.eager {
		wait = time.Nanosecond // not 0: timers of 0 are suspects where the race detector died under synctest
	}
	udpCtx, stopUDP := context.WithCancel(ctx)
	defer stopUDP()
	tcpCtx, stopTCP := context.WithCancel(ctx)
	defer stopTCP()
	var beside struct {
		rep *reply
		err error
	}
	done := make(chan struct{})
	hedge := time.AfterFunc(wait, func() {
		defer close(done)
		beside.rep, beside.err = r.overTCP(tcpCtx, server, q, edns, timeout-wait)
		if beside.err == nil {
			stopUDP()
		}
	})
	resend := timeout / resendAfter
	if w.once {
		resend = timeout
	}
	rep, err := r.try(udpCtx, "udp", server, q, edns, resend, timeout)
	good := err == nil && !rep.truncated
	if begun := !hedge.Stop(); begun {
		if good {
			stopTCP()
		}
		<-done
	} else if !good && ctx.Err() == nil {
		beside.rep, beside.err = r.overTCP(ctx, server, q, edns, timeout)
	}
	if good {
		return rep, nil
	}
	if beside.rep == nil && beside.err == nil {
		return nil, context.Cause(ctx) // ctx ended before TCP began
	}
	why := "truncated over UDP"
	switch broken := (*brokenError)(nil); {
	case errors.As(err, &broken):
		why = broken.Error()
	case err == nil:
	case beside.err == nil: // UDP was silent, or nothing could be sent
		r.lossy.add(server)
		return beside.rep, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, neither(err, beside.err, timeout)
	}
	if beside.err != nil {
		return nil, fmt.Errorf("%s, then %w", why, beside.err)
	}
	return beside.rep, nil
}

// neither is the error of a server that was reached neither over UDP nor over TCP.
func neither(udp, tcp error, timeout time.Duration) error {
	var silentUDP, silentTCP *timeoutError
	switch onUDP, onTCP := errors.As(udp, &silentUDP), errors.As(tcp, &silentTCP); {
	case onUDP && onTCP:
		return &timeoutError{"UDP or TCP", timeout}
	case errors.Is(udp, syscall.ECONNREFUSED) && errors.Is(tcp, syscall.ECONNREFUSED):
		return refusedBoth{}
	case errors.Is(udp, syscall.ECONNREFUSED): // a server of something else is there, for example the hook of dnsd
		return fmt.Errorf("%w; over TCP: %w: is this the port of DNS?", udp, tcp)
	}
	return fmt.Errorf("%w; over TCP: %w", udp, tcp)
}

// lossyFor is how long a server is asked over TCP first, after it was reached only that
// way.
const lossyFor = time.Minute

// maxLossy bounds the servers remembered: more than any configuration has.
const maxLossy = 64

// lossy remembers the servers that were reached over TCP but not over UDP.
type lossy struct {
	mu    sync.Mutex // guards until
	until map[string]time.Time
}

func (l *lossy) has(server string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until[server].After(time.Now())
}

func (l *lossy) add(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil || len(l.until) >= maxLossy {
		l.until = map[string]time.Time{}
	}
	l.until[server] = time.Now().Add(lossyFor)
}

func (l *lossy) remove(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, server)
}

// brokenError is a reply that answers the question but cannot be read.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// timeoutError is silence.
type timeoutError struct {
	network string
	after   time.Duration
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("no answer over %s within %v", e.network, e.after)
}
func (e *timeoutError) Timeout() bool { return true }
func (e *timeoutError) Unwrap() error { return os.ErrDeadlineExceeded }
