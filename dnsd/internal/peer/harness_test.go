package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func identity(t testing.TB) *Identity {
	t.Helper()
	me, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return me
}

func certificate(t testing.TB, i *Identity) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(i.certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open returns a registry; one with Follow has the content of an empty store.
func open(t testing.TB, cfg registry.Config) *registry.Registry {
	t.Helper()
	r, err := registry.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// follower returns a registry that follows writer until detach.
func follower(t testing.TB, writer *registry.Registry) (r *registry.Registry, detach func()) {
	t.Helper()
	r = open(t, registry.Config{Follow: true})
	if err := r.Reset(writer.Content()); err != nil {
		t.Fatal(err)
	}
	return r, writer.Attach(&feed{t: t, to: r})
}

// feed passes the changes of one registry to another, as the store does.
type feed struct {
	t  testing.TB
	to *registry.Registry
}

func (f *feed) Load(uint64, iter.Seq[*registry.Instance], []registry.Change) {}

func (f *feed) Apply(changes []registry.Change) {
	b := &registry.Batch{}
	for _, c := range changes {
		if c.New != nil {
			in := *c.New
			c.New = &in
		}
		b.Revision, b.Changes = c.Revision, append(b.Changes, c)
	}
	if err := f.to.Follow(b); err != nil {
		f.t.Errorf("Follow: %v", err)
	}
}

// members is a Members whose writer a test sets.
type members struct {
	mu      sync.Mutex
	to      Target
	err     error
	changed chan struct{}
}

func newMembers(to Target) *members { return &members{to: to, changed: make(chan struct{})} }

func (m *members) Writer() (Target, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.to, m.changed, m.err
}

func (m *members) set(to Target, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.to, m.err = to, err
	close(m.changed)
	m.changed = make(chan struct{})
}

// wire carries requests to Servers in this process, without a network. A test can make it
// fail.
type wire struct {
	from    *x509.Certificate
	servers map[string]*Server // by fingerprint

	mu       sync.Mutex
	requests [][]operation // that arrived, by the operations
	// before is called with the number of the request, from 1, before it is served; after
	// when it was. An error breaks the connection there. errRefused of before does so before
	// anything was sent.
	before, after func(ctx context.Context, n int) error
}

var (
	errRefused = errors.New("connection refused")
	// errLate of before: the request is executed after lateBy, when its sender has given up.
	errLate = errors.New("late")
)

const lateBy = 2 * answerTime

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	n := len(w.requests) + 1
	w.requests = append(w.requests, nil)
	before, after := w.before, w.after
	w.mu.Unlock()
	isLate := false
	if before != nil {
		if err := before(r.Context(), n); err == errLate {
			isLate = true
		} else if err != nil {
			if err != errRefused {
				io.Copy(io.Discard, r.Body)
			}
			return nil, err
		}
	}
	body, _ := io.ReadAll(r.Body)
	all, _, err := readBatch(body)
	if err != nil {
		return nil, fmt.Errorf("the request %s: %w", body, err)
	}
	w.mu.Lock()
	w.requests[n-1] = all
	w.mu.Unlock()
	s := w.servers[r.URL.Host]
	if s == nil {
		return nil, errors.New("no such server")
	}
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{w.from}}
	if isLate {
		time.AfterFunc(lateBy, func() { s.serve(httptest.NewRecorder(), in.WithContext(context.Background())) })
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	answer := make(chan *http.Response, 1)
	go func() {
		rec := httptest.NewRecorder()
		s.serve(rec, in)
		answer <- rec.Result()
	}()
	select {
	case resp := <-answer:
		if after != nil {
			if err := after(r.Context(), n); err != nil {
				return nil, err
			}
		}
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// seen returns the number of operations of each request so far.
func (w *wire) seen() (sizes []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		sizes = append(sizes, len(r))
	}
	return sizes
}

// pair is a follower with its Writes, and a writer, joined by a wire.
type pair struct {
	writer, own *registry.Registry
	writes      *Writes
	members     *members
	wire        *wire
	target      Target // of the writer
	detach      func() // ends the following of own
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{writer: open(t, registry.Config{})}
	p.own, p.detach = follower(t, p.writer)
	me, other := identity(t), identity(t)
	p.target = Target{Name: "a", Address: "10.0.0.1:8054", Fingerprint: other.Fingerprint()}
	p.members = newMembers(p.target)
	p.wire = &wire{from: certificate(t, me), servers: make(map[string]*Server)}
	p.serve("a", other.Fingerprint(), p.writer)
	client := &Client{me: me.Fingerprint(), transport: p.wire, close: func() {}}
	p.writes = NewWrites(WritesConfig{Registry: p.own, Members: p.members, Client: client})
	t.Cleanup(p.writes.Close)
	return p
}

// serve lets the wire reach a registry under a fingerprint.
func (p *pair) serve(name string, f Fingerprint, r Registry) {
	s := newServer(ServerConfig{Name: name, Registry: r, Known: func(Fingerprint) bool { return true }})
	p.wire.servers[f.String()] = s
}

func key(id string) registry.Key { return registry.Key{Service: "_math._tcp", ID: id} }

func sample(id string) registry.Instance {
	return registry.Instance{Key: key(id), Host: "10.0.0.7", Port: 9000, Priority: 10, Weight: 100, TTL: 5 * time.Second, Lease: 15 * time.Second, Incarnation: 7}
}
