package hook

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// audit is the line about one write.
type audit struct {
	action   string // empty: no line is written
	object   string // "_math._tcp/a1", "_math._tcp", "12 instances"
	host     string
	result   string // "created", "renewed"...; empty: the status
	revision uint64
	quiet    bool // a renewal without a change
	err      *problem
}

// did takes the receipt of a write, for the audit line and for its event.
func (x *exchange) did(done registry.Receipt) {
	switch done.Did {
	case registry.Created, registry.Changed, registry.Removed: // the change has a revision of its own
		x.s.timeline.Sign(done.Revision, x.who.name)
	}
	x.audit.result, x.audit.revision = done.Did.String(), done.Revision
	x.audit.quiet = done.Did == registry.Renewed
}

// objectOf is what a write is about, as its path says: "_math._tcp/a1", "_math._tcp".
func objectOf(r *http.Request) string {
	service, id := r.PathValue("service"), r.PathValue("id")
	switch {
	case id != "":
		return registry.Key{Service: service, ID: id}.String()
	case service != "":
		return service
	case r.URL.Path == pathRenew:
		return "instances" // how many is known when the body was read
	case strings.HasPrefix(r.URL.Path, pathMembers):
		return "a member" // which is known when the body was read
	}
	return "all services"
}

// writeAudit writes the line: the sender, the action, the object, the result. It never
// sees a token.
func (x *exchange) writeAudit() {
	a := &x.audit
	if a.action == "" {
		return
	}
	ctx, level := context.WithoutCancel(x.r.Context()), a.level()
	if !x.st.audit.Enabled(ctx, level) {
		return
	}
	if a.err != nil && len(x.who.grants) == 0 && x.who.cert == nil && !x.s.refusals.take() {
		return
	}
	attrs := []slog.Attr{slog.String("who", x.who.name), slog.String("what", a.action), slog.String("object", cut(a.object))}
	if a.host != "" {
		attrs = append(attrs, slog.String("host", cut(a.host)))
	}
	if a.result == "" {
		a.result = strings.ToLower(title(x.w.status))
	}
	attrs = append(attrs, slog.String("result", a.result), slog.Int("status", x.w.status), slog.Uint64("revision", a.revision))
	if a.err != nil {
		attrs = append(attrs, slog.String("reason", cut(a.err.Detail)))
	}
	x.st.audit.LogAttrs(ctx, level, "hook write", attrs...)
}

// level is a warning if an operator should look at it.
func (a *audit) level() slog.Level {
	switch {
	case a.err == nil && a.quiet:
		return slog.LevelDebug
	case a.err == nil:
		return slog.LevelInfo
	}
	switch a.err.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestTimeout,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// cut bounds text that the client may have chosen.
func cut(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
