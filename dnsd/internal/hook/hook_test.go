package hook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hook is a running server with a registry in memory.
type hook struct {
	*Server
	t        testing.TB
	registry *registry.Registry
	cfg      Config
	client   *http.Client
	audit    *lines
}

// lines collects the audit log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func start(t testing.TB, change func(*Config, *registry.Config)) *hook {
	t.Helper()
	return startOn(t, nil, change)
}

// startOn serves on pipes instead of sockets, unless pipes is nil, for synctest.
func startOn(t testing.TB, pipes *pipes, change func(*Config, *registry.Config)) *hook {
	t.Helper()
	h := &hook{t: t, audit: &lines{}}
	h.cfg = Config{Addr: "127.0.0.1:0", Zone: "svc.", Audit: slog.New(slog.NewTextHandler(h.audit, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	h.cfg.Limits.Rate = noRate
	rcfg := registry.Config{}
	if change != nil {
		change(&h.cfg, &rcfg)
	}
	var err error
	if h.registry, err = registry.Open(rcfg); err != nil {
		t.Fatal(err)
	}
	h.cfg.Registry = h.registry
	transport := &http.Transport{}
	if pipes == nil {
		h.Server, err = Listen(h.cfg)
	} else {
		h.Server, err = newServer(pipes, h.cfg)
		transport.DialContext = pipes.dial
	}
	if err != nil {
		h.registry.Close()
		t.Fatal(err)
	}
	h.client = &http.Client{Transport: transport}
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		running.Wait()
		if err := h.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// pipes is a listener in memory, with nothing outside of the process, so that
// synctest knows when all goroutines wait for the clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8053} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return p.dialFrom(ctx, net.IPv4(127, 0, 0, 1))
}

func (p *pipes) dialFrom(ctx context.Context, ip net.IP) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case p.conns <- pipeConn{theirs, ip}:
		return mine, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeConn has an address; a net.Pipe has none.
type pipeConn struct {
	net.Conn
	ip net.IP
}

func (c pipeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: c.ip, Port: 40000} }

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (h *hook) request(method, path, body string, header ...string) *http.Request {
	h.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.URL()+path, r)
	if err != nil {
		h.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func (h *hook) do(method, path, body string, header ...string) answer {
	h.t.Helper()
	resp, err := h.client.Do(h.request(method, path, body, header...))
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, b}
}

func (a answer) problem(t testing.TB) register.Problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != register.ProblemType {
		t.Fatalf("content type %q, want %q; body %s", got, register.ProblemType, a.body)
	}
	var p register.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	if p.Status != a.status {
		t.Errorf("problem says %d, the answer %d", p.Status, a.status)
	}
	return p
}

func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v in %d %s", err, a.status, a.body)
	}
	return v
}

// noRate is more requests a second than any test sends.
const noRate = mostRate

const a1 = "/v1/services/_math._tcp/instances/a1"

// put registers an instance, which must succeed.
func (h *hook) put(path, body string, header ...string) register.Published {
	h.t.Helper()
	a := h.do(http.MethodPut, path, body, header...)
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		h.t.Fatalf("PUT %s %s: %d %s", path, body, a.status, a.body)
	}
	return decode[register.Published](h.t, a)
}

// at is the id of a revision.
func (h *hook) at(revision int) string { return h.registry.At(uint64(revision)).String() }

// event is one server-sent event or one comment.
type event struct{ id, name, data, comment string }

// events reads a stream.
type events struct {
	t      testing.TB
	resp   *http.Response
	in     *bufio.Reader
	cancel context.CancelFunc
}

func (h *hook) stream(method, path, body string, header ...string) *events {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	resp, err := h.client.Do(h.request(method, path, body, header...).WithContext(ctx))
	if err != nil {
		cancel()
		h.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		cancel()
		h.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		h.t.Errorf("content type %q", got)
	}
	e := &events{h.t, resp, bufio.NewReader(resp.Body), cancel}
	h.t.Cleanup(e.close)
	return e
}

func (e *events) close() {
	e.cancel()
	e.resp.Body.Close()
}

// block returns the next event or comment; false: the stream has ended.
func (e *events) block() (event, bool) {
	e.t.Helper()
	var ev event
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			return ev, false
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			return ev, true
		case strings.HasPrefix(line, ":"):
			ev.comment = value
		case name == "id":
			ev.id = value
		case name == "event":
			ev.name = value
		case name == "data":
			ev.data = value
		}
	}
}

// next returns the next event, without comments.
func (e *events) next() event {
	e.t.Helper()
	for {
		ev, ok := e.block()
		if !ok {
			e.t.Fatal("the stream ended")
		}
		if ev.name != "" {
			return ev
		}
	}
}

// until returns the events up to one of that name, which is the last one.
func (e *events) until(name string) []event {
	e.t.Helper()
	var all []event
	for {
		ev := e.next()
		all = append(all, ev)
		if ev.name == name {
			return all
		}
	}
}

// eventually polls a condition of which no event tells.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 10s: %s", what)
		}
	}
}
