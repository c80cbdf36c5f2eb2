package hook

import (
	"context"
	"errors"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
	"github.com/rollcall-dns/rollcall/register"
)

const (
	// probeTime bounds the probe after a held connection broke.
	probeTime = 10 * time.Second
	// askTime is how long the host of a silent client has to acknowledge what it is sent.
	askTime = time.Second
	// renewTries is the part of the time between two renewals that one try may take, one
	// fifth: then the client is told, or it would go to another hook (package register waits
	// for a fourth).
	renewTries = 5
	// tryAgain is the pause before a write is tried again that no writer took. The next
	// writer is elected within seconds.
	tryAgain = 500 * time.Millisecond
)

// look compares the hold with the registry: when a time is due, and after a change of the
// instance.
func (h *held) look(began time.Time) (reason string, broken bool) {
	x := h.bearer
	if !x.stillMay(Write, h.key.Service) {
		return endRevoked, false
	}
	// A follower may not have seen yet what the writer has answered.
	seen := x.st.registry.Revision() >= h.in.Revision
	lease, ok := x.st.registry.Instance(h.key)
	switch {
	case !seen:
	case !ok:
		return endGone, false
	case lease.Incarnation != h.in.Incarnation:
		return endReplaced, false
	case h.in != lease.Instance:
		was := h.in
		h.in = lease.Instance
		if (was.State == registry.Drained) != (h.in.State == registry.Drained) {
			// An operator did that: the instance must be told.
			if h.tell(lease) != nil {
				return "", true
			}
		}
	}
	if h.beats {
		if !h.again.IsZero() && !time.Now().Before(h.again) {
			return h.renew()
		}
		if !seen {
			return "", false
		}
		return h.silent(lease)
	}
	if time.Since(began) >= max(holdFor, 2*h.in.Lease) {
		return endAgain, false
	}
	if time.Now().Before(h.due(began)) {
		return "", false
	}
	h.renewed = time.Now()
	// If what was written a third of the lease ago was never acknowledged, the peer's
	// host may be gone: the lease is not renewed.
	if h.again.IsZero() && !h.line.acknowledged(renewAfter(h.in)) {
		return "", false // look again in a third of the lease
	}
	return h.renew()
}

// silent is for a client whose heartbeats ended and whose instance the guard keeps as a
// suspect: is the network broken? If the client's host acknowledges what it is sent
// now, the network works: the process was stopped, and the instance is removed.
func (h *held) silent(lease registry.Standing) (reason string, broken bool) {
	switch {
	// An instance is a suspect although heartbeats come if this dnsd cannot pass them on.
	case !knowsAcknowledgements || h.in.State != registry.Suspect, time.Since(h.renewed) < h.in.Lease+afterLease:
		h.asked = time.Time{}
		return "", false
	case h.asked.IsZero():
		h.asked = time.Now()
		return "", h.tell(lease) != nil
	case time.Since(h.asked) < askTime || !h.line.acknowledged(askTime):
		return "", false
	}
	x := h.bearer
	done, err := x.st.writer.Deregister(x.s.life, h.key, &h.in.Incarnation)
	if err != nil {
		return "", false // the guard decides about it, as about any other
	}
	if done.Did == registry.Removed {
		x.s.timeline.Sign(done.Revision, timeline.Self)
	}
	x.audit = audit{action: "no heartbeat", object: h.key.String(), result: done.Did.String(), revision: done.Revision}
	x.writeAudit()
	return endGone, false
}

// renew renews the lease and tells the client. If no writer takes the renewal, it is tried
// again: the next writer begins every lease again, so this one is not lost yet.
func (h *held) renew() (reason string, broken bool) {
	x := h.bearer
	if !x.stillMay(Write, h.key.Service) {
		return endRevoked, false
	}
	ctx, cancel := context.WithTimeout(x.s.life, renewAfter(h.in)/renewTries)
	renewed, err := x.st.writer.Renew(ctx, h.key, h.in.Incarnation)
	cancel()
	h.again = time.Time{}
	var fenced *registry.FencedError
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return endGone, false
	case errors.As(err, &fenced), renewed.Instance != nil && renewed.Instance.Incarnation != h.in.Incarnation:
		return endReplaced, false
	case errors.Is(err, registry.ErrClosed), x.s.life.Err() != nil:
		return endShutdown, false
	case noWriter(err):
		// A heartbeat counts until the next one is due: a process that was stopped meanwhile
		// must not be renewed for longer.
		if next := time.Now().Add(tryAgain); !h.beats || next.Before(h.renewed.Add(renewAfter(h.in))) {
			h.again = next
		}
		detail := "the writer has not answered so far: dnsd tries again"
		if !errors.Is(err, context.DeadlineExceeded) {
			detail = problemOf(err).Detail
		}
		return "", h.say(frame(eventWaiting, waiting{detail})) != nil
	case err != nil: // the store is full, for example: the next time tries again
		x.st.log.Warn("hook: hold: renew", "instance", h.key, "error", err)
		return "", false
	}
	if renewed.Instance != nil { // a receipt of another dnsd may lack it
		h.in = renewed.Instance
	}
	return "", h.say(comment("renewed")) != nil
}

// noWriter says whether a write failed only because no writer has answered it.
func noWriter(err error) bool {
	return errors.Is(err, registry.ErrNotWriter) || errors.Is(err, registry.ErrUncertain) || errors.Is(err, context.DeadlineExceeded)
}

// eventWaiting is the event of a renewal that no writer has taken yet.
const eventWaiting = "waiting"

// waiting is the data of eventWaiting.
type waiting struct {
	Detail string `json:"detail"`
}

// tell sends how the instance is published now. A client that works answers with a PUT.
func (h *held) tell(lease registry.Standing) error {
	p := published(lease, h.bearer.st.registry.Leads())
	p.RenewAfter = register.Duration(renewAfter(h.in))
	return h.say(frameAt(h.bearer.st.registry.At(h.in.Revision), "changed", p))
}

// say writes to the client, within the timeout of one write.
func (h *held) say(b []byte) error { return h.line.send(h.bearer.s.times.write, b) }

// lost tells the registry that the connection broke; the registry probes the instance.
// Only a host that the connection came from is probed: a hold for another host must
// not show which of its ports are open.
//
// The client may have gone to another dnsd, which holds the same instance now. That is no
// reason not to probe: an instance that works accepts connections.
func (h *held) lost() {
	x := h.bearer
	ctx, cancel := context.WithTimeout(x.s.life, probeTime)
	defer cancel()
	done := registry.Receipt{Revision: h.in.Revision, Instance: h.in}
	if x.speaksFor(ctx, h.in.Host) {
		done = h.probe(ctx, done)
	}
	x.audit = audit{action: "connection lost", object: h.key.String(), result: "kept", revision: done.Revision}
	if done.Did == registry.Removed || done.Instance == nil { // by this, or meanwhile
		x.audit.result = "removed"
	}
	x.writeAudit()
}

// probe has the instance probed, and returns what was done; before: nothing could be done.
func (h *held) probe(ctx context.Context, before registry.Receipt) registry.Receipt {
	for {
		done, err := h.bearer.st.writer.ConnectionLost(ctx, h.key, h.in.Incarnation)
		if err == nil {
			return done
		}
		if !noWriter(err) {
			return before
		}
		select {
		case <-time.After(tryAgain):
		case <-ctx.Done():
			return before
		}
	}
}

// Tests: follower_test.go, heartbeat_test.go, hold_test.go, keep_test.go.
