package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exchange is one request and its answer.
type exchange struct {
	s     *Server
	st    *state
	w     *response
	r     *http.Request
	who   identity
	peer  netip.Addr
	audit audit
	// broken: the answer is incomplete, and must not look complete.
	broken bool
	// waited: it waited for an event, so that how long it took says nothing of dnsd.
	waited bool
}

// operation serves one method of one path. Its error becomes a problem, unless the
// answer has begun.
type operation struct {
	do func(*exchange) error
	// action is its name in the audit log; empty: it changes nothing.
	action string
}

// route is one path and its methods.
type route struct {
	path    string
	methods map[string]operation
	// open: no token is needed. free: the rate limit does not count it, so that a health
	// probe is answered whatever other clients send.
	open, free bool
}

const (
	pathService  = "/v1/services/{service}"
	pathInstance = pathService + "/instances/{id}"
	pathHold     = pathInstance + "/hold"
	pathWatch    = "/v1/watch"
	pathRenew    = "/v1/renew"
	pathCluster  = "/v1/cluster"
	pathMembers  = pathCluster + "/members"
	pathSnapshot = "/v1/snapshot"
	pathEvents   = "/v1/events"
	pathPush     = "/v1/push"
	pathConsole  = "/console/{file}"
	pathFront    = "/{$}"    // the console
	pathSD       = "/v1/sd/" // service discovery as other programs read it
)

// table has every route. A test holds docs/http-api.md to it.
func table() []route {
	get := func(do func(*exchange) error) map[string]operation {
		return map[string]operation{http.MethodGet: {do: do}}
	}
	return []route{
		{path: "/v1/services", methods: get((*exchange).listServices)},
		{path: pathService, methods: get((*exchange).showService)},
		{path: pathInstance, methods: map[string]operation{
			http.MethodGet:    {do: (*exchange).showInstance},
			http.MethodPut:    {(*exchange).putInstance, "register"},
			http.MethodDelete: {(*exchange).deleteInstance, "deregister"},
		}},
		{path: pathInstance + "/drain", methods: map[string]operation{
			http.MethodPut:    {(*exchange).drain, "drain"},
			http.MethodDelete: {(*exchange).undrain, "undrain"},
		}},
		{path: pathInstance + "/fence", methods: map[string]operation{http.MethodDelete: {(*exchange).clearFence, "clear fence"}}},
		{path: "/v1/fences", methods: get((*exchange).listFences)},
		{path: pathHold, methods: map[string]operation{http.MethodPost: {(*exchange).hold, "hold"}}},
		{path: pathRenew, methods: map[string]operation{http.MethodPost: {(*exchange).renew, "renew"}}},
		{path: "/v1/guard", methods: map[string]operation{http.MethodDelete: {(*exchange).releaseGuard, "release guard"}}},
		{path: pathService + "/guard", methods: map[string]operation{http.MethodDelete: {(*exchange).releaseGuard, "release guard"}}},
		{path: pathWatch, methods: get((*exchange).watch)},
		{path: pathEvents, methods: get((*exchange).showEvents)},
		{path: pathService + "/dns", methods: get((*exchange).showDNS)},
		{path: pathPush, methods: map[string]operation{http.MethodGet: {(*exchange).showPush, "sessions"}}},
		{path: pathCluster, methods: get((*exchange).showCluster)},
		{path: pathMembers, methods: map[string]operation{http.MethodPost: {(*exchange).addMember, "add member"}}},
		{path: pathMembers + "/{name}", methods: map[string]operation{http.MethodDelete: {(*exchange).removeMember, "remove member"}}},
		{path: pathSnapshot, methods: map[string]operation{
			http.MethodGet:  {(*exchange).takeSnapshot, "snapshot"},
			http.MethodPost: {(*exchange).restore, "restore"},
		}},
		{path: pathSD + "prometheus", methods: get((*exchange).prometheusTargets)},
		{path: pathSD + "traefik", methods: get((*exchange).traefikConfig)},
		{path: "/metrics", methods: get((*exchange).showMetrics)},
		{path: "/healthz", methods: get((*exchange).healthz), open: true, free: true},
		{path: "/readyz", methods: get((*exchange).readyz), open: true, free: true},
		{path: pathFront, methods: get((*exchange).console), open: true},
		{path: pathConsole, methods: get((*exchange).consoleFile), open: true},
		{path: "/", open: true}, // every other path: 404
	}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range table() {
		mux.HandleFunc(rt.path, func(w http.ResponseWriter, r *http.Request) { s.serve(rt, w, r) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := cleanPath(r); !ok {
			// ServeMux would redirect by itself, without limits and log; and a client
			// that follows with GET takes the answer for that of its PUT.
			s.serve(route{path: "/", open: true}, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// cleanPath returns the path without empty, "." and ".." elements. ok: it had none.
func cleanPath(r *http.Request) (clean string, ok bool) {
	p := r.URL.EscapedPath()
	if !strings.HasPrefix(p, "/") { // OPTIONS * or CONNECT
		return "/", false
	}
	clean = path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean, clean == p
}

// serve serves one request: answer, log, audit, metrics.
func (s *Server) serve(rt route, w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	x := &exchange{s: s, st: s.state.Load(), w: &response{ResponseWriter: w}, r: r, peer: peerAddr(r)}
	if c := connOfRequest(r); c != nil && c.access != x.st.access {
		// The next request needs a connection with the present TLS configuration.
		w.Header().Set("Connection", "close")
	}
	op, known := rt.methods[r.Method]
	if !known && r.Method == http.MethodHead {
		op, known = rt.methods[http.MethodGet]
	}
	x.audit.action, x.audit.object = op.action, objectOf(r)
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler { //nolint:errorlint // the value itself, by net/http's rule
				panic(v)
			}
			x.st.log.Error("hook: panic", "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			x.fail(refuse(http.StatusInternalServerError, "", "dnsd failed to serve this request; its log has the cause"))
		}
		s.metrics.count(x, rt.path, time.Since(began))
		x.writeAudit()
		if x.broken {
			panic(http.ErrAbortHandler)
		}
	}()
	if err := x.admit(rt, op, known); err != nil {
		x.fail(err)
		return
	}
	if err := op.do(x); err != nil {
		x.fail(err)
	}
}

// admit checks whether the request may reach its operation.
func (x *exchange) admit(rt route, op operation, known bool) error {
	h := x.w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	x.writeSoon()
	if x.r.ContentLength != 0 {
		// net/http reads the rest of the body after the operation, and would wait for it.
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(x.s.times.body))
	}
	if err := x.checkBrowser(); err != nil {
		return err
	}
	var denied error
	x.who, denied = x.st.identify(x.r)
	if !rt.free {
		if wait, ok := x.s.callers.take(x.who.caller, time.Now()); !ok {
			x.s.metrics.refused.WithLabelValues("rate").Inc()
			x.audit.action = "" // a flood of requests must not fill the log
			return refuse(http.StatusTooManyRequests, "", "more than %d requests a second: renew in batches (POST /v1/renew), hold the registration, or slow down", x.st.limits.Rate).
				retryAfter(wait)
		}
	}
	switch {
	case len(rt.methods) == 0:
		if clean, ok := cleanPath(x.r); !ok {
			return refuse(http.StatusNotFound, "", "no such path: it has empty, . or .. elements; write %.200s", clean)
		}
		return refuse(http.StatusNotFound, "", "no such path: paths begin with /v1/services, /v1/renew or /v1/watch, and a service is written as _math._tcp; see docs/http-api.md")
	case !known:
		return refuse(http.StatusMethodNotAllowed, "", "this path does not have %s: use %s", x.r.Method, allow(rt)).with("Allow", allow(rt))
	case denied != nil && !rt.open:
		x.s.metrics.refused.WithLabelValues("token").Inc()
		x.know(false)
		return denied
	case denied == nil && x.st.secured:
		x.know(true)
	}
	return x.checkConditions()
}

// checkConditions refuses a write with a condition (RFC 9110 section 13.1): no write of this
// API knows any, and without its condition it would be one that the client did not ask for.
func (x *exchange) checkConditions() error {
	if x.r.Method == http.MethodGet || x.r.Method == http.MethodHead {
		return nil
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if x.r.Header[name] != nil {
			return refuse(http.StatusBadRequest, name, "a write here has no condition, and this one has %s: leave it out, and give an incarnation to keep older processes out", name)
		}
	}
	return nil
}

// know records whether the connection's caller has shown what is required.
func (x *exchange) know(known bool) {
	if c := connOfRequest(x.r); c != nil {
		c.pool.know(c, known)
	}
}

func allow(rt route) string {
	var list []string
	for m := range rt.methods {
		list = append(list, m)
		if m == http.MethodGet {
			list = append(list, http.MethodHead)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// checkBrowser refuses requests of web pages from other origins: they can make a browser
// on this host send requests to loopback. The browser's headers show a cross-origin
// write. A page can also point its own name at 127.0.0.1 (DNS rebinding), so a hook that
// trusts loopback answers only for addresses and localhost.
func (x *exchange) checkBrowser() error {
	if err := x.s.origin.Check(x.r); err != nil {
		return refuse(http.StatusForbidden, "", "a web page of another origin may not change anything here")
	}
	if x.st.secured || !x.st.loopback {
		return nil
	}
	host := x.r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return nil
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return nil
	}
	return refuse(http.StatusMisdirectedRequest, "", "this hook has no tokens, so it answers only for its address or localhost, not for %.80q: use one of these, or configure a token", host)
}

// writeSoon sets the deadline of the next write: the wait before it, for a slow
// body or a slow disk, was not the reader's fault.
func (x *exchange) writeSoon() {
	// A recorder in a test has no deadlines.
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(x.s.times.write))
}

// fail answers with a problem, or breaks the answer off if it has begun.
func (x *exchange) fail(err error) {
	p := x.problemOf(err)
	x.audit.err = p
	if x.w.status != 0 { // the reader is gone, or was too slow
		x.st.log.Debug("hook: answer broke off", "path", x.r.URL.Path, "error", err)
		x.broken = true
		return
	}
	if p.err != nil {
		// Only a 500 is logged as an error: the registry logs the other causes (a full
		// disk) once, and not with each request.
		level := slog.LevelDebug
		if p.Status == http.StatusInternalServerError {
			level = slog.LevelError
		}
		if level < slog.LevelError || x.s.failures.take() {
			x.st.log.Log(context.WithoutCancel(x.r.Context()), level, "hook: serve", "method", x.r.Method, "path", x.r.URL.Path, "status", p.Status, "error", p.err)
		}
	}
	x.writeSoon()
	p.write(x.w, x.r)
}

// json answers with a value.
func (x *exchange) json(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	x.writeSoon()
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(append(body, '\n'))
	}
	return nil
}

// response remembers the status.
type response struct {
	http.ResponseWriter
	status int
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
