package hook

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
)

const (
	// usualEvents are in an answer if the client does not say how many, and mostEvents at
	// most: about 200 KiB.
	usualEvents, mostEvents = 200, 1000
	// longestWait bounds a request that waits for an event: a proxy closes a connection that
	// is silent for longer.
	longestWait = 30 * time.Second
	// signTime is how long an answer waits after an event: the request that made the change
	// signs it when its commit is over, which is after the event is there. It also gathers
	// the events of a moment into one answer.
	signTime = 100 * time.Millisecond
	// eventBytes is the memory of an event while its answer is sent: most are shorter.
	eventBytes = 512
)

// showEvents answers with the last events, or with those after a cursor, for which it may
// wait.
func (x *exchange) showEvents() error {
	q, err := x.query("service", "since", "limit", "wait")
	if err != nil {
		return err
	}
	service, err := x.serviceToRead(q)
	if err != nil {
		return err
	}
	a, err := eventsAsked(q)
	if err != nil {
		return err
	}
	if x.r.Method == http.MethodHead {
		x.w.Header().Set("Content-Type", "application/json")
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	read := func() timeline.Page { return x.s.timeline.Last(a.limit, a.wanted(service)) }
	if a.since != nil {
		read = func() timeline.Page { return x.s.timeline.After(*a.since, a.limit, a.wanted(service)) }
	}
	release, err := x.memory(eventBytes*a.limit, "ask for less")
	if err != nil {
		return err
	}
	defer func() { release() }()
	page := read()
	switch left := unsigned(page); {
	case left > 0:
		select {
		case <-time.After(left):
		case <-x.r.Context().Done():
		case <-x.s.life.Done():
		}
		page = read()
	case a.wait > 0 && len(page.Events) == 0 && !page.Missed:
		release()
		if page, release, err = x.eventsAfter(a, page.Next, service); err != nil {
			return err
		}
	}
	if !x.stillMay(Read, service) {
		return refuse(http.StatusForbidden, "", "this token may not read this any more: use one that may, or have it allowed again")
	}
	return x.sendEvents(page)
}

// unsigned is how long the newest event may still get its sender; 0: it has it.
func unsigned(p timeline.Page) time.Duration {
	if len(p.Events) == 0 {
		return 0
	}
	e := p.Events[len(p.Events)-1]
	if e.Who != "" {
		return 0
	}
	return min(signTime-time.Since(e.Time), signTime) // the clock may have been set back
}

// askedEvents is what a request for events says.
type askedEvents struct {
	since *timeline.Cursor // nil: the last ones
	limit int
	wait  time.Duration
}

func (a askedEvents) wanted(service string) func(string) bool {
	return func(of string) bool { return service == "" || of == service }
}

func eventsAsked(q url.Values) (a askedEvents, err error) {
	a.limit = usualEvents
	if q.Has("limit") {
		if a.limit, err = strconv.Atoi(q.Get("limit")); err != nil || a.limit < 1 || a.limit > mostEvents {
			return a, refuse(http.StatusBadRequest, "limit", "limit %.40q: give a number from 1 to %d", q.Get("limit"), mostEvents)
		}
	}
	if q.Has("since") {
		at, err := timeline.ParseCursor(q.Get("since"))
		if err != nil {
			return a, refuse(http.StatusBadRequest, "since", "since %.64q: give the next of an earlier answer, or leave it out", q.Get("since"))
		}
		a.since = &at
	}
	if q.Has("wait") {
		if a.wait, err = time.ParseDuration(q.Get("wait")); err != nil || a.wait < 0 || a.wait > longestWait {
			return a, refuse(http.StatusBadRequest, "wait", "wait %.40q: give a time up to %v, such as 20s", q.Get("wait"), longestWait)
		}
		if a.since == nil {
			return a, refuse(http.StatusBadRequest, "wait", "wait needs since, the next of an earlier answer")
		}
	}
	return a, nil
}

// eventsAfter waits until there are events after since, or until the time is over. A request that waits
// counts as a watch, and has no memory of long answers: release gives back what the page has.
func (x *exchange) eventsAfter(a askedEvents, since timeline.Cursor, service string) (page timeline.Page, release func(), err error) {
	release = func() {}
	if !x.s.watches.enter(x.st.limits.Watches) {
		x.s.metrics.refused.WithLabelValues("watches").Inc()
		return page, release, refuse(http.StatusServiceUnavailable, "", "%d watches are open, which is the limit: close some, or raise watches in the Corefile", x.st.limits.Watches).retryAfter(limitRetry)
	}
	defer x.s.watches.leave()
	x.waited = true
	ctx, cancel := context.WithTimeout(x.r.Context(), a.wait)
	defer cancel()
	defer context.AfterFunc(x.s.life, cancel)()
	page.Next = since
	for ctx.Err() == nil && len(page.Events) == 0 && !page.Missed {
		release()
		release = func() {}
		if added := x.s.timeline.Added(page.Next); added != nil {
			select {
			case <-added:
			case <-ctx.Done():
				return page, release, nil
			}
		}
		select {
		case <-time.After(signTime):
		case <-ctx.Done():
		}
		again, err := x.memory(eventBytes*a.limit, "ask for less")
		if err != nil {
			return page, release, err
		}
		release = again
		page = x.s.timeline.After(page.Next, a.limit, a.wanted(service))
	}
	return page, release, nil
}

// eventsAnswer is the JSON of events, see docs/http-api.md.
type eventsAnswer struct {
	Next   string           `json:"next"`
	Missed bool             `json:"missed,omitempty"`
	Events []timeline.Event `json:"events"`
}

func (x *exchange) sendEvents(page timeline.Page) error {
	return x.json(http.StatusOK, eventsAnswer{page.Next.String(), page.Missed, page.Events})
}

// note adds an event that is no change of an instance.
func (x *exchange) note(what, service, why string) {
	x.s.timeline.Add(timeline.Note{What: what, Who: x.who.name, Why: why, Service: service})
}

// Tests: events_test.go.
