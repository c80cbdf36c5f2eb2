package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// problem is a refusal on its way to the client: the body, and the headers that
// belong to it. Its fields speak to the client; a cause that is ours stays in
// err, for the log.
type problem struct {
	register.Problem
	header http.Header
	err    error
}

func (p *problem) Error() string { return p.Problem.Error() }
func (p *problem) Unwrap() error { return p.err }

// limitRetry is when a full registry may have room again, or a sick store be well: the
// default lease.
const limitRetry = 15 * time.Second

// refuse makes a problem. The detail says what is wrong and what to do.
func refuse(status int, field, detail string, args ...any) *problem {
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	return &problem{Problem: register.Problem{
		Title: title(status), Status: status, Field: field, Detail: detail,
	}}
}

// with adds a header to the refusal.
func (p *problem) with(key, value string) *problem {
	if p.header == nil {
		p.header = make(http.Header)
	}
	p.header.Set(key, value)
	return p
}

// retryAfter says when it is worth trying again, in whole seconds, at least one
// (RFC 9110 section 10.2.3).
func (p *problem) retryAfter(d time.Duration) *problem {
	seconds := max(1, int64((d+time.Second-1)/time.Second))
	return p.with("Retry-After", strconv.FormatInt(seconds, 10))
}

func title(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Error"
}

// write sends the problem. about:blank is the default type (RFC 9457 section
// 4.2.1), so the type member stays out.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	p.Instance = r.URL.Path
	body, err := json.Marshal(&p.Problem)
	if err != nil { // strings and numbers always marshal
		body = []byte(`{"title":"Internal Server Error","status":500}`)
	}
	h := w.Header()
	for key, values := range p.header {
		h[key] = values
	}
	h.Set("Content-Type", register.ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n'))
	}
}

// problemOf turns whatever a handler returned into what the client is told.
// Errors are classified by type; an unknown one is a 500 that tells nothing of
// our inside.
func problemOf(err error) *problem {
	var (
		p      *problem
		field  *registry.FieldError
		fenced *registry.FencedError
		limit  *registry.LimitError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &field):
		return refuse(http.StatusBadRequest, field.Field, "%s %.80q: %s", field.Field, field.Value, field.Problem)
	case errors.As(err, &fenced) && fenced.Gone:
		return refuse(http.StatusConflict, "incarnation",
			"the request is of incarnation %d, and %d was registered last under this id, though it is no more: either a newer process took over, or a clock was ahead; register under a higher incarnation, or let an admin DELETE .../fence",
			fenced.Given, fenced.Live).of(fenced.Live)
	case errors.As(err, &fenced):
		return refuse(http.StatusConflict, "incarnation",
			"incarnation %d lives under this id, the request is of %d: it was replaced; stop, or register under another id",
			fenced.Live, fenced.Given).of(fenced.Live)
	case errors.Is(err, registry.ErrNotFound):
		return refuse(http.StatusNotFound, "", "no such instance: it was never registered, was deregistered or has expired; PUT it")
	case errors.As(err, &limit):
		return refuse(http.StatusTooManyRequests, "", "dnsd holds at most %d %s: deregister some, or raise the limit", limit.Max, limit.What).retryAfter(limitRetry)
	case errors.Is(err, registry.ErrNoSpace):
		return refuse(http.StatusInsufficientStorage, "", "the store has no space left: free some on dnsd's disk, then try again").because(err)
	case errors.Is(err, registry.ErrStore):
		return refuse(http.StatusServiceUnavailable, "", "changes cannot be stored: dnsd's log has the cause").retryAfter(limitRetry).because(err)
	case errors.Is(err, registry.ErrCompacted):
		return refuse(http.StatusGone, "since", "the history does not reach back to there, or that was another life of this registry: watch again without since")
	case errors.Is(err, registry.ErrClosed):
		return refuse(http.StatusServiceUnavailable, "", "dnsd is stopping: try again").retryAfter(time.Second).because(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, "", "the request ended before its answer: try again").retryAfter(time.Second).because(err)
	default:
		return refuse(http.StatusInternalServerError, "", "dnsd failed to serve this request; its log has the cause").because(err)
	}
}

// of names the incarnation that the request is older than.
func (p *problem) of(incarnation uint64) *problem {
	p.Incarnation = incarnation
	return p
}

// because keeps the cause for the log.
func (p *problem) because(err error) *problem {
	p.err = err
	return p
}

// Tests: few_test.go, instances_test.go.
