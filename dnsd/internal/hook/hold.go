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
	// probeTime bounds what is done after a held connection broke.
	probeTime = 10 * time.Second
	// earlyBeat is the part of the time between two renewals before which a
	// heartbeat says nothing new: whoever sends more gets no more.
	earlyBeat = 4
	// afterLease is when a hold without heartbeats looks whether its lease was judged.
	afterLease = 500 * time.Millisecond
	// askTime is for the host of a silent client to acknowledge what it is sent.
	askTime = time.Second
)

// hold begins a hold. What it needs from then on is little, and it has a goroutine
// of its own where the connection can be taken over: thousands may be open.
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
		return refuse(http.StatusServiceUnavailable, "", "%d registrations are held, which is the limit: keep this one by renewals, or raise it", x.st.limits.Holds).retryAfter(limitRetry)
	}
	in, beats, err := x.beginHold(key)
	if err != nil {
		x.s.holds.leave()
		return err
	}
	l, own := x.line(beats, in.Lease)
	h := &held{
		bearer: x.bearer(),
		key:    registry.Key{Service: strings.Clone(key.Service), ID: strings.Clone(key.ID)}, // not the whole request's text
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

// beginHold registers what the body says, or renews what is there. It says
// whether the client announced heartbeats, which then are the body.
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
	done, err := x.st.registry.Renew(x.r.Context(), key, *incarnation)
	if err != nil {
		return nil, false, err
	}
	x.audit.revision, x.audit.result = done.Revision, "held"
	return done.Instance, beats, nil
}

// bearer is what is kept of the exchange while its registration is held: who it
// is, to be asked again after an Update, and whom the log names.
func (x *exchange) bearer() *exchange {
	r := &http.Request{RemoteAddr: strings.Clone(x.r.RemoteAddr), TLS: x.r.TLS}
	if token := x.r.Header.Get("Authorization"); token != "" {
		r.Header = http.Header{"Authorization": {strings.Clone(token)}}
	}
	return &exchange{s: x.s, st: x.st, w: &response{status: http.StatusOK}, r: r, who: x.who, peer: x.peer}
}

// noteHeld writes the audit line now: a hold may last for days.
func (x *exchange) noteHeld() {
	x.writeAudit()
	x.audit.action = ""
}

// run waits for the client and the clock until the hold ends. What was announced
// as heartbeats renews when one came, and never else.
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
		case !came || !time.Now().Before(h.due(began)): // who talks without being asked keeps no clock from us
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

// due is when to look again if nothing comes.
func (h *held) due(began time.Time) time.Time {
	if h.beats {
		switch now, end := time.Now(), h.renewed.Add(h.in.Lease+afterLease); {
		case now.Before(end):
			return end
		case !h.asked.IsZero() && now.Before(h.asked.Add(askTime)):
			return h.asked.Add(askTime)
		default:
			return now.Add(afterLease) // not judged yet, or judged as no fault of its own
		}
	}
	next := h.renewed.Add(renewAfter(h.in))
	if end := began.Add(max(holdFor, 2*h.in.Lease)); end.Before(next) {
		return end
	}
	return next
}

// look is what is done when the clock says so, or somebody who changed the
// registration.
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
			// An operator did that, and the instance cannot know.
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
	// What was written a third of the lease ago and never arrived is no sign of
	// life: then this is no renewal, and the lease runs.
	if !h.line.acknowledged(renewAfter(h.in)) {
		h.renewed = time.Now() // look again in a third of the lease
		return "", false
	}
	return h.renew()
}

// silent judges a client whose lease is over and whose instance the guard holds
// back: is the silence the network's? When its host acknowledges what it is sent now,
// it is not: the process stands still, and need not be waited for.
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
	done, err := x.st.registry.Deregister(x.s.life, h.key, &h.in.Incarnation)
	if err != nil {
		return "", false // it is judged as any other
	}
	x.audit = audit{action: "no heartbeat", object: h.key.String(), result: done.Did.String(), revision: done.Revision}
	x.writeAudit()
	return endGone, false
}

// renew renews the lease and says so.
func (h *held) renew() (reason string, broken bool) {
	if !h.bearer.stillMay(Write, h.key.Service) {
		return endRevoked, false
	}
	h.renewed, h.asked = time.Now(), time.Time{}
	renewed, err := h.bearer.st.registry.Renew(h.bearer.s.life, h.key, h.in.Incarnation)
	var fenced *registry.FencedError
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return endGone, false
	case errors.As(err, &fenced), err == nil && renewed.Instance.Incarnation != h.in.Incarnation:
		return endReplaced, false
	case errors.Is(err, registry.ErrClosed), h.bearer.s.life.Err() != nil:
		return endShutdown, false
	case err != nil: // a store without space: the next time tries again
		h.bearer.st.log.Warn("hook: hold: renew", "instance", h.key, "error", err)
		return "", false
	}
	h.in = renewed.Instance
	return "", h.say(comment("renewed")) != nil
}

// tell says how the instance is published now. A client that works PUTs then.
func (h *held) tell(lease registry.Standing) error {
	p := published(lease)
	p.RenewAfter = register.Duration(renewAfter(h.in))
	return h.say(frameAt(h.bearer.st.registry.At(h.in.Revision), "changed", p))
}

// say writes to the client within the time of one write.
func (h *held) say(b []byte) error { return h.line.send(h.bearer.s.times.write, b) }

// lost tells the registry that the connection broke without a word: it probes. Only
// a host that the connection came from is probed: who holds for another learns
// nothing about its ports.
func (h *held) lost() {
	x := h.bearer
	ctx, cancel := context.WithTimeout(x.s.life, probeTime)
	defer cancel()
	done := registry.Receipt{Revision: h.in.Revision, Instance: h.in}
	if x.speaksFor(ctx, h.in.Host) {
		done = x.st.registry.ConnectionLost(ctx, h.key, h.in.Incarnation)
	}
	x.audit = audit{action: "connection lost", object: h.key.String(), result: "kept", revision: done.Revision}
	if done.Did == registry.Removed || done.Instance == nil { // by this, or meanwhile
		x.audit.result = "removed"
	}
	x.writeAudit()
}
