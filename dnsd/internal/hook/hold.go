package hook

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

const (
	// probeTime bounds the probe after a held connection broke.
	probeTime = 10 * time.Second
	// earlyBeat is the part of the time between two renewals, one fourth, within which a
	// further heartbeat has no effect: a client that sends more costs no more.
	earlyBeat = 4
	// afterLease is the pause between two looks at an instance whose heartbeats ended and
	// whose lease is over, until the registry has decided about it.
	afterLease = 500 * time.Millisecond
	// askTime is how long the host of a silent client has to acknowledge what it is sent.
	askTime = time.Second
)

// hold begins a hold. Thousands may be open, so where the connection can be taken over
// a hold keeps only a small state and a goroutine.
func (x *exchange) hold() error {
	key, err := x.instanceKey(Write)
	if err != nil {
		return err
	}
	if !x.s.holds.enter(x.st.limits.Holds) {
		if x.s.life.Err() != nil {
			return registry.ErrClosed
		}
		x.s.metrics.refused.WithLabelValues("holds").Inc()
		return refuse(http.StatusServiceUnavailable, "", "%d registrations are held, which is the limit: keep this one by renewals, or raise holds in the Corefile", x.st.limits.Holds).retryAfter(limitRetry)
	}
	in, beats, err := x.beginHold(key)
	if err != nil {
		x.s.holds.leave()
		return err
	}
	l, own := x.line(beats, in.Lease)
	h := &held{
		bearer: x.bearer(),
		key:    registry.Key{Service: strings.Clone(key.Service), ID: strings.Clone(key.ID)}, // clones: not the text of the whole request
		in:     in,
		line:   l,
		beats:  beats,
	}
	x.s.holds.take(h)
	x.revision(in.Revision)
	err = l.open(x, comment("held"), frameAt(x.st.registry.At(in.Revision), "registered", registered(in)))
	x.noteHeld()
	if own {
		go h.run(err != nil)
		return nil
	}
	h.run(err != nil)
	return nil
}

// beginHold registers what the body says, or renews the registered instance. beats:
// the client announced heartbeats, which then are the body.
func (x *exchange) beginHold(key registry.Key) (in *registry.Instance, beats bool, err error) {
	q, err := x.query("incarnation", "heartbeat")
	if err != nil {
		return nil, false, err
	}
	switch q.Get("heartbeat") {
	case "1":
		beats = true
	case "", "0":
	default:
		return nil, false, refuse(http.StatusBadRequest, "heartbeat", "heartbeat %.40q: give 1, and send an octet of the body at each renew_after, or leave it out", q.Get("heartbeat"))
	}
	incarnation, err := incarnationOf(q)
	if err != nil {
		return nil, false, err
	}
	var body []byte
	if !beats {
		if body, err = x.readBody(); err != nil {
			return nil, false, err
		}
	}
	if len(body) > 0 {
		reg, err := decodeRegistration(body)
		if err != nil {
			return nil, false, err
		}
		if incarnation != nil {
			if reg.Incarnation != 0 && reg.Incarnation != *incarnation {
				return nil, false, refuse(http.StatusBadRequest, "incarnation", "incarnation is %d in the query and %d in the body: give it once", *incarnation, reg.Incarnation)
			}
			reg.Incarnation = *incarnation
		}
		done, err := x.register(key, reg)
		return done.Instance, false, err
	}
	if incarnation == nil {
		lease, ok := x.st.registry.Instance(key)
		if !ok {
			return nil, false, registry.ErrNotFound
		}
		incarnation = &lease.Incarnation
	}
	done, err := x.st.writer.Renew(x.r.Context(), key, *incarnation)
	if err != nil {
		return nil, false, err
	}
	x.audit.revision, x.audit.result = done.Revision, "held"
	return done.Instance, beats, nil
}

// bearer is what a hold keeps of its request: what identifies the sender, to be checked
// again after an Update, and its name for the log.
func (x *exchange) bearer() *exchange {
	r := &http.Request{RemoteAddr: strings.Clone(x.r.RemoteAddr), TLS: x.r.TLS}
	if token := x.r.Header.Get("Authorization"); token != "" {
		r.Header = http.Header{"Authorization": {strings.Clone(token)}}
	}
	return &exchange{s: x.s, st: x.st, w: &response{status: http.StatusOK}, r: r, who: x.who, peer: x.peer}
}

// noteHeld writes the audit line at once: a hold may last for days.
func (x *exchange) noteHeld() {
	x.writeAudit()
	x.audit.action = ""
}

// run waits for the client and the clock until the hold ends. If heartbeats were
// announced, they renew the lease, and nothing else does.
func (h *held) run(broken bool) {
	s := h.bearer.s
	began := time.Now()
	h.renewed = began
	reason := ""
	for reason == "" && !broken {
		came, err := h.line.wait(h.due(began))
		if reason = h.ending(); reason != "" {
			break
		}
		switch {
		case err != nil:
			broken = true
		case came && h.beats:
			if time.Since(h.renewed) >= renewAfter(h.in)/earlyBeat {
				reason, broken = h.renew()
			}
		case !came || !time.Now().Before(h.due(began)): // octets without meaning do not delay what is due
			reason, broken = h.look(began)
		}
	}
	if reason != "" {
		_ = h.say(frame("end", ending{reason, endDetails[reason]}))
	}
	h.line.close(reason != "")
	if s.holds.drop(h) && broken && s.life.Err() == nil {
		h.lost()
	}
	s.holds.leave()
}

// due is when to look again if nothing arrives.
func (h *held) due(began time.Time) time.Time {
	if h.beats {
		switch now, end := time.Now(), h.renewed.Add(h.in.Lease+afterLease); {
		case now.Before(end):
			return end
		case !h.asked.IsZero() && now.Before(h.asked.Add(askTime)):
			return h.asked.Add(askTime)
		default:
			return now.Add(afterLease) // the registry has not decided yet, or the guard keeps the instance
		}
	}
	next := h.renewed.Add(renewAfter(h.in))
	if end := began.Add(max(holdFor, 2*h.in.Lease)); end.Before(next) {
		return end
	}
	return next
}

// look compares the hold with the registry: when a time is due, and after a write to
// the instance.
func (h *held) look(began time.Time) (reason string, broken bool) {
	lease, ok := h.bearer.st.registry.Instance(h.key)
	switch {
	case !ok:
		return endGone, false
	case lease.Incarnation != h.in.Incarnation:
		return endReplaced, false
	}
	if was := h.in; was != lease.Instance {
		h.in = lease.Instance
		if (was.State == registry.Drained) != (h.in.State == registry.Drained) {
			// An operator did that: the instance must be told.
			if h.tell(lease) != nil {
				return "", true
			}
		}
	}
	if h.beats {
		return h.silent(lease)
	}
	if time.Since(began) >= max(holdFor, 2*h.in.Lease) {
		return endAgain, false
	}
	if time.Since(h.renewed) < renewAfter(h.in) {
		return "", false
	}
	// If what was written a third of the lease ago was never acknowledged, the peer's
	// host may be gone: the lease is not renewed.
	if !h.line.acknowledged(renewAfter(h.in)) {
		h.renewed = time.Now() // look again in a third of the lease
		return "", false
	}
	return h.renew()
}

// silent is for a client whose heartbeats ended and whose instance the guard keeps as a
// suspect: is the network broken? If the client's host acknowledges what it is sent
// now, the network works: the process was stopped, and the instance is removed.
func (h *held) silent(lease registry.Standing) (reason string, broken bool) {
	switch {
	case !knowsAcknowledgements || h.in.State != registry.Suspect:
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
	x.audit = audit{action: "no heartbeat", object: h.key.String(), result: done.Did.String(), revision: done.Revision}
	x.writeAudit()
	return endGone, false
}

// renew renews the lease and tells the client.
func (h *held) renew() (reason string, broken bool) {
	if !h.bearer.stillMay(Write, h.key.Service) {
		return endRevoked, false
	}
	h.renewed, h.asked = time.Now(), time.Time{}
	renewed, err := h.bearer.st.writer.Renew(h.bearer.s.life, h.key, h.in.Incarnation)
	var fenced *registry.FencedError
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return endGone, false
	case errors.As(err, &fenced), err == nil && renewed.Instance.Incarnation != h.in.Incarnation:
		return endReplaced, false
	case errors.Is(err, registry.ErrClosed), h.bearer.s.life.Err() != nil:
		return endShutdown, false
	case err != nil: // the store is full, for example: the next time tries again
		h.bearer.st.log.Warn("hook: hold: renew", "instance", h.key, "error", err)
		return "", false
	}
	h.in = renewed.Instance
	return "", h.say(comment("renewed")) != nil
}

// tell sends how the instance is published now. A client that works answers with a PUT.
func (h *held) tell(lease registry.Standing) error {
	p := published(lease)
	p.RenewAfter = register.Duration(renewAfter(h.in))
	return h.say(frameAt(h.bearer.st.registry.At(h.in.Revision), "changed", p))
}

// say writes to the client, within the timeout of one write.
func (h *held) say(b []byte) error { return h.line.send(h.bearer.s.times.write, b) }

// lost tells the registry that the connection broke; the registry probes the instance.
// Only a host that the connection came from is probed: a hold for another host must
// not show which of its ports are open.
func (h *held) lost() {
	x := h.bearer
	ctx, cancel := context.WithTimeout(x.s.life, probeTime)
	defer cancel()
	done := registry.Receipt{Revision: h.in.Revision, Instance: h.in}
	if x.speaksFor(ctx, h.in.Host) {
		probed, err := x.st.writer.ConnectionLost(ctx, h.key, h.in.Incarnation)
		if err == nil {
			done = probed
		}
	}
	x.audit = audit{action: "connection lost", object: h.key.String(), result: "kept", revision: done.Revision}
	if done.Did == registry.Removed || done.Instance == nil { // by this, or meanwhile
		x.audit.result = "removed"
	}
	x.writeAudit()
}
