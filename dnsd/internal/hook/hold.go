package hook

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// probeTime bounds what is done after a held connection broke.
const probeTime = 10 * time.Second

// held is one instance whose connection is open.
type held struct {
	key         registry.Key
	incarnation uint64
	wake        chan struct{} // has one when the registration may have changed
	gone        chan struct{} // closed when a newer hold took over
}

// holds knows the newest hold of each instance.
type holds struct {
	mu    sync.Mutex // guards byKey
	byKey map[registry.Key]*held
}

func newHolds() *holds { return &holds{byKey: make(map[registry.Key]*held)} }

// take makes h the hold of its instance; the one before it ends.
func (hs *holds) take(key registry.Key, incarnation uint64) *held {
	h := &held{key: key, incarnation: incarnation, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if old := hs.byKey[key]; old != nil {
		close(old.gone)
	}
	hs.byKey[key] = h
	return h
}

// drop forgets h and says whether it was still the hold of its instance.
func (hs *holds) drop(h *held) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byKey[h.key] != h {
		return false
	}
	delete(hs.byKey, h.key)
	return true
}

// wake lets the hold of the instance look again. Looking at each request that
// writes costs one map access; watching the registry would cost every hold of a
// service every change of it.
func (hs *holds) wake(key registry.Key) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.byKey[key]; h != nil {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

func (hs *holds) count() int {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return len(hs.byKey)
}

// hold keeps the response open and renews while it is.
func (x *exchange) hold() error {
	key, err := x.instanceKey(Write)
	if err != nil {
		return err
	}
	if x.s.holds.count() >= x.st.limits.Holds && x.st.limits.Holds >= 0 {
		x.s.metrics.refused.WithLabelValues("holds").Inc()
		return refuse(http.StatusServiceUnavailable, "", "%d registrations are held, which is the limit: keep this one by renewals, or raise it", x.st.limits.Holds).retryAfter(limitRetry)
	}
	in, err := x.beginHold(key)
	if err != nil {
		return err
	}
	h := x.s.holds.take(key, in.Incarnation)
	first := registered(in)
	x.revision(in.Revision)
	s, err := x.begin(comment("held"), frameAt(x.st.registry.At(in.Revision), "registered", first))
	if err == nil {
		err = x.keep(s, h, in)
	}
	mine := x.s.holds.drop(h)
	if err != nil && mine && x.s.life.Err() == nil {
		x.lost(h)
	}
	return nil
}

// beginHold registers what the body says, or renews what is there.
func (x *exchange) beginHold(key registry.Key) (*registry.Instance, error) {
	incarnation, err := x.incarnation()
	if err != nil {
		return nil, err
	}
	body, err := x.readBody()
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		reg, err := decodeRegistration(body)
		if err != nil {
			return nil, err
		}
		if incarnation != nil {
			if reg.Incarnation != 0 && reg.Incarnation != *incarnation {
				return nil, refuse(http.StatusBadRequest, "incarnation", "incarnation is %d in the query and %d in the body: give it once", *incarnation, reg.Incarnation)
			}
			reg.Incarnation = *incarnation
		}
		in, _, err := x.register(key, reg)
		return in, err
	}
	if incarnation == nil {
		lease, ok := x.st.registry.Instance(key)
		if !ok {
			return nil, registry.ErrNotFound
		}
		incarnation = &lease.Incarnation
	}
	in, err := x.st.registry.Renew(x.r.Context(), key, *incarnation)
	if err != nil {
		return nil, err
	}
	x.audit.revision, x.audit.result = in.Revision, "held"
	return in, nil
}

// errBroken says that the connection ended and not the registration.
var errBroken = errors.New("hook: hold: connection broke")

// keep renews until the hold ends in order, which gives nil, or breaks.
func (x *exchange) keep(s *stream, h *held, in *registry.Instance) error {
	x.noteHeld()
	line := lineOf(x.r)
	line.giveUpAfter(in.Lease)
	tick := time.NewTimer(renewAfter(in))
	defer tick.Stop()
	until := time.NewTimer(max(x.st.limits.HoldFor, 2*in.Lease))
	defer until.Stop()
	if x.st.limits.HoldFor < 0 {
		until.Stop()
	}
	ctx := x.r.Context()
	for {
		select {
		case <-x.s.life.Done():
			s.end(endShutdown)
			return nil
		case <-h.gone:
			s.end(endSuperseded)
			return nil
		case <-ctx.Done():
			return errBroken
		case <-until.C:
			s.end(endAgain)
			return nil
		case <-h.wake:
			lease, ok := x.st.registry.Instance(h.key)
			if ok && lease.Incarnation == h.incarnation {
				in = lease.Instance
				tick.Reset(renewAfter(in))
				continue
			}
			s.end(endOf(ok))
			return nil
		case <-tick.C:
			tick.Reset(renewAfter(in))
			if !x.stillMay(Write, h.key.Service) {
				s.end(endRevoked)
				return nil
			}
			// What was written a third of the lease ago and never arrived is no
			// sign of life: then this is no renewal, and the lease runs.
			if line.unacknowledged() > 0 {
				continue
			}
			renewed, err := x.st.registry.Renew(ctx, h.key, h.incarnation)
			var fenced *registry.FencedError
			switch {
			case errors.Is(err, registry.ErrNotFound):
				s.end(endGone)
				return nil
			case errors.As(err, &fenced), err == nil && renewed.Incarnation != h.incarnation:
				s.end(endReplaced)
				return nil
			case errors.Is(err, registry.ErrClosed):
				s.end(endShutdown)
				return nil
			case ctx.Err() != nil:
				return errBroken
			case err != nil: // a store without space: the next tick tries again
				x.st.log.Warn("hook: hold: renew", "instance", h.key, "error", err)
				continue
			}
			in = renewed
			if err := s.send(comment("renewed")); err != nil {
				return errBroken
			}
		}
	}
}

func endOf(replaced bool) string {
	if replaced {
		return endReplaced
	}
	return endGone
}

// noteHeld writes the audit line now: a hold may last for days.
func (x *exchange) noteHeld() {
	x.writeAudit()
	x.audit.action = ""
}

// lost tells the registry that the connection broke without a word: it probes.
func (x *exchange) lost(h *held) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), probeTime)
	defer cancel()
	defer context.AfterFunc(x.s.life, cancel)()
	x.st.registry.ConnectionLost(ctx, h.key, h.incarnation)
	_, still := x.st.registry.Instance(h.key)
	x.audit = audit{action: "connection lost", object: h.key.String(), result: "kept", revision: x.st.registry.Revision()}
	if !still {
		x.audit.result = "removed"
	}
}
