package hook

import (
	"net/http"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

const (
	// earlyBeat is the part of the time between two renewals, one fourth, within which a
	// further heartbeat has no effect: a client that sends more costs no more.
	earlyBeat = 4
	// afterLease is the pause between two looks at an instance whose heartbeats ended and
	// whose lease is over, until the registry has decided about it.
	afterLease = 500 * time.Millisecond
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
	var which uint64 // 0: any
	if incarnation != nil {
		which = *incarnation
	}
	done, err := x.st.writer.Renew(x.r.Context(), key, which)
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
				h.renewed, h.asked = time.Now(), time.Time{}
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
		if !h.again.IsZero() {
			return h.again
		}
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
	if !h.again.IsZero() {
		next = h.again
	}
	if end := began.Add(max(holdFor, 2*h.in.Lease)); end.Before(next) {
		return end
	}
	return next
}
