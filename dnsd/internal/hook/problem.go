package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// problem is a refusal: the body and its headers. The client sees them; err is a cause
// inside dnsd, for the log only.
type problem struct {
	register.Problem
	header http.Header
	err    error
}

func (p *problem) Error() string { return p.Problem.Error() }
func (p *problem) Unwrap() error { return p.err }

// limitRetry is the pause after which a full registry may have room again, or a store
// may work again: the default lease.
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

// problemOf makes a refusal of any error. Errors are classified by type; an unknown one
// is a 500 that does not show its cause.
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
			"the request has incarnation %d, but %d was registered last under this id and then removed: either a newer process took over, or a clock was ahead; register with a higher incarnation, or let an admin DELETE .../fence",
			fenced.Given, fenced.Live).of(fenced.Live)
	case errors.As(err, &fenced) && fenced.Given == 0:
		return refuse(http.StatusConflict, "incarnation",
			"incarnation %d is registered under this id, and the request has none: give a higher incarnation, or register under another id",
			fenced.Live).of(fenced.Live)
	case errors.As(err, &fenced):
		return refuse(http.StatusConflict, "incarnation",
			"incarnation %d is registered under this id, and the request has %d: this process was replaced; stop it, or register under another id",
			fenced.Live, fenced.Given).of(fenced.Live)
	case errors.Is(err, registry.ErrOldWriter):
		return refuse(http.StatusServiceUnavailable, "", "the dnsd that is the writer now is older, and does not know this request: update it, then send the request again").retryAfter(limitRetry).because(err)
	case errors.Is(err, registry.ErrNotWriter):
		return refuse(http.StatusServiceUnavailable, "", "this dnsd follows, and no writer can be reached now%s: try again", causeOf(err, registry.ErrNotWriter)).retryAfter(time.Second).because(err)
	case errors.Is(err, registry.ErrUncertain):
		return refuse(http.StatusServiceUnavailable, "", "the outcome is unknown: the change may have been made; send it again").retryAfter(time.Second).because(err)
	case errors.Is(err, registry.ErrOvertaken):
		return refuse(http.StatusServiceUnavailable, "", "the outcome is unknown: the change may have been made, and another one has followed under this name; look at what is registered, and send it again if it is still wanted").retryAfter(time.Second).because(err)
	case errors.Is(err, registry.ErrNotFound):
		return refuse(http.StatusNotFound, "", "no such instance: it was never registered, was deregistered, or its lease ended; register it with PUT")
	case errors.As(err, &limit):
		return refuse(http.StatusTooManyRequests, "", "dnsd takes at most %d %s: deregister some, or raise limits in the Corefile", limit.Max, limit.What).retryAfter(limitRetry)
	case errors.Is(err, registry.ErrNoSpace):
		return refuse(http.StatusInsufficientStorage, "", "the store has no space left: free some on dnsd's disk, or where dnsd shares an etcd whose quota is used up, make room there (docs/cluster.md, when etcd is full), then try again").because(err)
	case errors.Is(err, registry.ErrStore):
		return refuse(http.StatusServiceUnavailable, "", "changes cannot be stored: dnsd's log has the cause").retryAfter(limitRetry).because(err)
	case errors.Is(err, registry.ErrCompacted):
		return refuse(http.StatusGone, "since", "the history does not reach back to there, or since is of another life of the registry: watch again without since")
	case errors.Is(err, registry.ErrClosed):
		return refuse(http.StatusServiceUnavailable, "", "dnsd is stopping: try again").retryAfter(time.Second).because(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusServiceUnavailable, "", "the request ended before its answer: try again").retryAfter(time.Second).because(err)
	default:
		return refuse(http.StatusInternalServerError, "", "dnsd failed to serve this request; its log has the cause").because(err)
	}
}

// causeOf is what err says beside what it is: " (cause)", or nothing.
func causeOf(err, what error) string {
	text := strings.TrimPrefix(err.Error(), what.Error())
	if text = strings.TrimPrefix(text, ": "); text == "" {
		return ""
	}
	return " (" + cut(text) + ")"
}

// of adds the incarnation that is newer than that of the request.
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
