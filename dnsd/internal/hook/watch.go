package hook

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// Names of events beside register.EventPut and register.EventDelete.
const (
	eventSnapshot = "snapshot" // an instance that is registered at the beginning
	eventSync     = "sync"     // the present state is complete; the id continues from it
)

// watch streams changes as server-sent events, see docs/http-api.md.
func (x *exchange) watch() error {
	q, err := x.query("service", "since")
	if err != nil {
		return err
	}
	service, err := x.serviceToRead(q)
	if err != nil {
		return err
	}
	since, err := x.since(q.Get("since"), q.Has("since"))
	if err != nil {
		return err
	}
	if !x.s.watches.enter(x.st.limits.Watches) {
		x.s.metrics.refused.WithLabelValues("watches").Inc()
		return refuse(http.StatusServiceUnavailable, "", "%d watches are open, which is the limit: close some, or raise watches in the Corefile", x.st.limits.Watches).retryAfter(limitRetry)
	}
	defer x.s.watches.leave()
	var p *pieces // taken before the watch begins: a watch that waits for memory would fall behind
	if since == nil && x.r.Method != http.MethodHead {
		if p, err = x.pieces(service); err != nil {
			return err
		}
		defer p.finish()
	}
	w, err := x.st.registry.Watch(service, since)
	if err != nil {
		return err
	}
	defer w.Close()
	if x.r.Method == http.MethodHead {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	defer context.AfterFunc(x.s.life, cancel)()
	s, err := x.begin([]byte("retry: 1000\n\n"))
	if err != nil {
		return nil // the reader is gone, which is not an error
	}
	var f ahead
	if since == nil {
		if f, err = x.sendPresent(p, service, w.Since()); err != nil {
			return nil
		}
		p.finish()
		if err := s.send(frameAt(x.st.registry.At(w.Since()), eventSync, syncEvent{w.Since(), eventSync})); err != nil {
			return nil
		}
	}
	return x.follow(ctx, s, w, service, f)
}

// since is where the client continues; nil: it begins with the present state. A
// Last-Event-ID is newer than the URL, which a reconnecting EventSource repeats.
func (x *exchange) since(text string, given bool) (*registry.Position, error) {
	field := "since"
	if last := x.r.Header.Get("Last-Event-ID"); last != "" {
		field, text, given = "Last-Event-ID", last, true
	}
	if !given {
		return nil, nil
	}
	at, err := registry.ParsePosition(text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, field, "%s %.64q: give the id of the event that you saw last, such as %s", field, text, x.st.registry.At(x.st.registry.Revision()))
	}
	return &at, nil
}

// ahead has, by service, the revision of the present state that was sent, if it is newer
// than the beginning of the watch. Older events would lead the reader back.
type ahead map[string]uint64

// sendPresent sends the present state. Only the event after it, sync, has an id: a
// reader that loses the connection before it begins again.
func (x *exchange) sendPresent(p *pieces, service string, since uint64) (ahead, error) {
	f := make(ahead)
	leads := x.st.registry.Leads()
	send := func(v registry.View) error {
		if v.Revision > since {
			f[v.Service] = v.Revision
		}
		for _, l := range v.Instances {
			if _, err := p.out.Write(frame(eventSnapshot, register.Event{
				Revision: l.Revision, Type: eventSnapshot, Service: v.Service, Instance: published(l, leads),
			})); err != nil {
				return err
			}
		}
		return nil
	}
	if service != "" {
		if v, ok := x.st.registry.Service(service); ok {
			if err := send(v); err != nil {
				return nil, err
			}
		}
	} else {
		_, views := x.st.registry.Services()
		for v := range views {
			if err := send(v); err != nil {
				return nil, err
			}
		}
	}
	return f, p.out.Flush()
}

type syncEvent struct {
	Revision uint64 `json:"revision"`
	Type     string `json:"type"`
}

// follow sends events until the stream ends.
func (x *exchange) follow(ctx context.Context, s *stream, w *registry.Watch, service string, f ahead) error {
	for {
		wait, cancel := context.WithTimeout(ctx, x.s.times.keepAlive)
		events, err := w.Next(wait)
		cancel()
		switch {
		case err == nil:
			// Checked here as well as below: where changes never stop, the stream is
			// never silent.
			if !x.stillMay(Read, service) {
				s.end(endRevoked)
				return nil
			}
			if err := s.sendEvents(events, f); err != nil {
				return nil
			}
			continue
		case errors.Is(err, registry.ErrSlow):
			x.s.metrics.refused.WithLabelValues("slow").Inc()
			s.end(endSlow)
			return nil
		case errors.Is(err, registry.ErrCompacted):
			s.end(endCompacted)
			return nil
		case x.s.life.Err() != nil, errors.Is(err, registry.ErrClosed):
			s.end(endShutdown)
			return nil
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		if !x.stillMay(Read, service) {
			s.end(endRevoked)
			return nil
		}
		if err := s.send(comment("alive")); err != nil {
			return nil
		}
	}
}

// sendEvents sends, in one write, the events that the reader has not seen.
func (s *stream) sendEvents(events []*registry.Event, f ahead) error {
	parts := make([][]byte, 0, len(events))
	for _, e := range events {
		if len(f) == 0 || e.Revision > f[e.Key().Service] {
			parts = append(parts, e.Encoded(encodeChange))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return s.send(parts...)
}

// encodeChange makes the frame of a change, which all watchers share.
func encodeChange(c *registry.Event) []byte {
	e := register.Event{Revision: c.Revision, Type: register.EventPut, Service: c.Key().Service}
	in := c.New
	if in == nil {
		e.Type, in = register.EventDelete, c.Old
	}
	left := in.Lease // a lease begins, or it is not known how long ago it began
	if c.New == nil {
		left = 0
	}
	e.Instance = published(registry.Standing{Instance: in, ExpiresIn: left}, true)
	return frameAt(c.Position(), e.Type, e)
}

// stillMay says whether the sender of a running stream may still do verb under the
// present configuration.
func (x *exchange) stillMay(verb Verb, service string) bool {
	now := x.s.state.Load()
	if now == x.st {
		return true
	}
	who, err := now.identify(x.r)
	if err != nil || !who.may(verb, service) {
		return false
	}
	x.st, x.who = now, who
	return true
}

// serviceToRead is the service that a query names ("": it names none), which the sender may
// read.
func (x *exchange) serviceToRead(q url.Values) (string, error) {
	service := q.Get("service")
	if q.Has("service") {
		if err := registry.CheckService(service); err != nil {
			return "", err
		}
	}
	return service, x.mayRead(service)
}
