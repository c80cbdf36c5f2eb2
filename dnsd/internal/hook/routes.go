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

// exchange is one request on its way through the hook.
type exchange struct {
	s     *Server
	st    *state
	w     *response
	r     *http.Request
	who   identity
	peer  netip.Addr
	audit audit
	// broken: the answer is not whole, and must not look whole.
	broken bool
}

// operation serves one method of one path. An error it returns becomes a
// problem, unless the answer has begun.
type operation struct {
	do func(*exchange) error
	// action is what the audit log calls it; empty: it changes nothing.
	action string
}

// route is one path and its methods.
type route struct {
	path    string
	methods map[string]operation
	// open needs no token; free is not counted by the rate limit either, so that
	// a probe finds an answer whatever its neighbours do.
	open, free bool
}

const (
	pathService  = "/v1/services/{service}"
	pathInstance = pathService + "/instances/{id}"
	pathHold     = pathInstance + "/hold"
	pathWatch    = "/v1/watch"
	pathRenew    = "/v1/renew"
)

// table is everything the hook knows, the same as in the package's comment.
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
		{path: pathHold, methods: map[string]operation{http.MethodPost: {(*exchange).hold, "hold"}}},
		{path: pathRenew, methods: map[string]operation{http.MethodPost: {(*exchange).renew, "renew"}}},
		{path: "/v1/guard", methods: map[string]operation{http.MethodDelete: {(*exchange).releaseGuard, "release guard"}}},
		{path: pathService + "/guard", methods: map[string]operation{http.MethodDelete: {(*exchange).releaseGuard, "release guard"}}},
		{path: pathWatch, methods: get((*exchange).watch)},
		{path: "/metrics", methods: get((*exchange).showMetrics)},
		{path: "/healthz", methods: get((*exchange).healthz), open: true, free: true},
		{path: "/readyz", methods: get((*exchange).readyz), open: true, free: true},
		{path: "/{$}", methods: get((*exchange).console), open: true},
		{path: "/", open: true}, // whatever is left: 404
	}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range table() {
		mux.HandleFunc(rt.path, func(w http.ResponseWriter, r *http.Request) { s.serve(rt, w, r) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := cleanPath(r); !ok {
			// ServeMux would redirect by itself, past limits and log; and a client
			// that follows with GET takes the answer for that of its PUT.
			s.serve(route{path: "/", open: true}, w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// cleanPath gives the path without empty, "." and ".." elements, and whether it has
// none of them.
func cleanPath(r *http.Request) (clean string, ok bool) {
	p := r.URL.EscapedPath()
	if !strings.HasPrefix(p, "/") { // of OPTIONS * or CONNECT
		return "/", false
	}
	clean = path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean, clean == p
}

// serve runs one request to its end: answer, log, audit, count.
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
		s.metrics.count(rt.path, r.Method, x.w.status, time.Since(began))
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

// admit lets the request through to its operation, or says why not.
func (x *exchange) admit(rt route, op operation, known bool) error {
	h := x.w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	x.writeSoon()
	if x.r.ContentLength != 0 {
		// net/http reads what an operation left of the body, and would wait.
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
			x.audit.action = "" // a flood must not fill the log
			return refuse(http.StatusTooManyRequests, "", "more than %d requests a second: renew in batches (POST /v1/renew), hold the registration, or slow down", x.st.limits.Rate).
				retryAfter(wait)
		}
	}
	switch {
	case len(rt.methods) == 0:
		if clean, ok := cleanPath(x.r); !ok {
			return refuse(http.StatusNotFound, "", "no such path: it has empty, . or .. elements; write it as %.200s", clean)
		}
		return refuse(http.StatusNotFound, "", "no such path: the paths begin with /v1/services, /v1/renew, /v1/watch; a service is one label pair such as _math._tcp")
	case !known:
		return refuse(http.StatusMethodNotAllowed, "", "%s is not for this path: use %s", x.r.Method, allow(rt)).with("Allow", allow(rt))
	case denied != nil && !rt.open:
		x.s.metrics.refused.WithLabelValues("token").Inc()
		x.know(false)
		return denied
	case denied == nil && x.st.secured:
		x.know(true)
	}
	return nil
}

// know notes whether the connection is of somebody who may come in.
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

// checkBrowser keeps web pages of others out: they can make a browser on this
// host send requests to loopback. A cross-origin write is refused by what the
// browser says of it. Without tokens a page can also point its own name at
// 127.0.0.1 (DNS rebinding), so a hook that trusts loopback answers only to
// addresses and to localhost.
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
	return refuse(http.StatusMisdirectedRequest, "", "this hook trusts loopback and does not answer as %.80q: use its address or localhost, or configure a token", host)
}

// writeSoon gives the next write its time. What was waited for before, a slow body
// or a slow disk, is not the reader's fault.
func (x *exchange) writeSoon() {
	// Not every writer has deadlines; a recorder in a test has no connection.
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(x.s.times.write))
}

// fail answers with a problem, or, when the answer has begun, breaks it off.
func (x *exchange) fail(err error) {
	p := problemOf(err)
	x.audit.err = p
	if x.w.status != 0 { // the reader went, or was too slow
		x.st.log.Debug("hook: answer broke off", "path", x.r.URL.Path, "error", err)
		x.broken = true
		return
	}
	if p.err != nil {
		// Only a 500 is news: what else fails is the registry's to tell, once and
		// not with each request (a full disk), or the client's own end.
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

// Unwrap leads http.ResponseController to the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
