package console

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// gate is a way to dnsd that a test can block.
type gate struct {
	url    string
	server *httptest.Server
	proxy  *httputil.ReverseProxy

	mu    sync.Mutex // guards what follows
	to    *url.URL   // of dnsd
	quiet chan struct{}
	held  map[string]*held
	away  bool              // every connection is cut
	fixed map[string]string // answers by path
}

// held is a request that does not reach dnsd before it is released.
type held struct {
	came, gone, release chan struct{} // gone: the page gave it up
}

// gated opens a gate. It must be called before the tab is opened, whose streams end first.
func (s *server) gated(t *testing.T) *gate {
	t.Helper()
	to, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{to: to, held: map[string]*held{}, fixed: map[string]string{}}
	g.proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		g.mu.Lock()
		defer g.mu.Unlock()
		r.SetURL(g.to)
		r.Out.Header.Del("Origin") // the page is the gate's, for the browser
		r.Out.Header.Del("Sec-Fetch-Site")
	}, ErrorLog: log.New(io.Discard, "", 0)} // a request that the page gives up is no error
	ts := httptest.NewServer(g)
	t.Cleanup(func() {
		ts.CloseClientConnections()
		ts.Close()
	})
	g.url, g.server = ts.URL, ts
	return g
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	h := g.held[r.Method+" "+r.URL.Path]
	delete(g.held, r.Method+" "+r.URL.Path)
	away, fixed := g.away, g.fixed[r.URL.Path]
	g.mu.Unlock()
	if away {
		panic(http.ErrAbortHandler)
	}
	if fixed != "" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(fixed))
		return
	}
	if h != nil {
		close(h.came)
		select {
		case <-h.release:
		case <-r.Context().Done():
			close(h.gone)
			return
		}
	}
	g.proxy.ServeHTTP(&answer{ResponseWriter: w, gate: g, watch: r.URL.Path == "/v1/watch"}, r)
}

// lead leads to another dnsd from now on.
func (g *gate) lead(s *server) {
	s.t.Helper()
	to, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.to = to
}

// hold holds the next such request, "GET /v1/events". An answer that was fixed is no more.
func (g *gate) hold(request string) *held {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, path, _ := strings.Cut(request, " ")
	delete(g.fixed, path)
	h := &held{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	g.held[request] = h
	return h
}

// cut ends all connections, and further ones, until it is called with false.
func (g *gate) cut(away bool) {
	g.mu.Lock()
	g.away = away
	g.mu.Unlock()
	if away {
		g.server.CloseClientConnections()
	}
}

// fix gives a path an answer.
func (g *gate) fix(path, body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fixed[path] = body
}

// silence swallows what the streams that are open say from now on. The channel is closed when one
// has said something.
func (g *gate) silence() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.quiet = make(chan struct{})
	return g.quiet
}

// answer is the answer to a request through the gate.
type answer struct {
	http.ResponseWriter
	gate         *gate
	watch, begun bool
	swallow      chan struct{}
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Write(p []byte) (int, error) {
	if !a.watch {
		return a.ResponseWriter.Write(p)
	}
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	if !a.begun { // a stream that begins in the silence is heard
		a.begun, a.swallow = true, a.gate.quiet
	}
	if q := a.gate.quiet; q != a.swallow {
		select {
		case <-q:
		default:
			close(q)
		}
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// Tests: rare_test.go, restart_test.go, stream_test.go, token_test.go.
