package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// Registry is what this package needs of the registry of this dnsd. A *registry.Registry
// is one.
type Registry interface {
	registry.Writer
	Leads() bool
	Repeat(since uint64) registry.Writer
	Revision() uint64
	Life() registry.Life
	Instance(key registry.Key) (registry.Standing, bool)
	Await(ctx context.Context, revision uint64) error
}

// ServerConfig is the configuration of a Server. All fields but CertificateEnds and Logger are required.
type ServerConfig struct {
	// Name is that of this member.
	Name string
	// Addr is where to listen, like 10.0.0.1:8054; port 0 takes a free one.
	Addr     string
	Identity *Identity
	// Known says whether a present member has published the fingerprint. It is called for
	// each connection and each request. It may take a moment to look again, but should do
	// that rarely: strangers cause it.
	Known    func(Fingerprint) bool
	Registry Registry
	// CertificateEnds is when the certificate ends that this member shows to the store; nil,
	// or the zero time: it has none, or it cannot be read.
	CertificateEnds func() time.Time
	Logger          *slog.Logger // nil: silent
}

const (
	// headerTime bounds the time in which a member sends a header, bodyTime a body, and
	// writeTime the time in which it takes an answer.
	headerTime = 5 * time.Second
	bodyTime   = 5 * time.Second
	writeTime  = 10 * time.Second
	// idleTime is longer than that of a Client, so that it is the Client that closes a
	// connection that is not used: no request meets a connection that is being closed.
	idleTime = 2 * idleClient
	// maxHeader bounds a header: a Client sends some 200 octets.
	maxHeader = 4 << 10
	// mostBatches and mostSlow bound the requests that are served at once: those that
	// are quick, and those with an operation that waits for other machines.
	mostBatches = 256
	mostSlow    = 256
)

// Server serves the other members. Listen makes it, Run serves.
type Server struct {
	cfg     ServerConfig
	door    *door
	http    *http.Server
	batches chan struct{} // has a value for each request that is quick, or not read yet
	slow    chan struct{} // has a value for each request that is slow
}

// Listen opens the address; Run serves.
func Listen(cfg ServerConfig) (*Server, error) {
	// Keepalive probes find a member that lost its power while there was nothing to send.
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	network := "tcp"
	if ap, err := netip.ParseAddrPort(cfg.Addr); err == nil && ap.Addr().Is4() {
		network = "tcp4" // "tcp" would make [::] of 0.0.0.0, which opens more than was asked for
	}
	ln, err := lc.Listen(context.Background(), network, cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err) // err names the address
	}
	return serve(ln, cfg), nil
}

// serve makes a Server on a listener.
func serve(ln net.Listener, cfg ServerConfig) *Server {
	s := newServer(cfg)
	s.door = newDoor(ln, cfg.Identity, cfg.Known, s.cfg.Logger)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
	}
	return s
}

// newServer makes a Server without a connection.
func newServer(cfg ServerConfig) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, batches: make(chan struct{}, mostBatches), slow: make(chan struct{}, mostSlow)}
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.door.Addr() }

// Run serves until the context ends or Close is called, and then returns nil. Requests
// under way get a moment to finish.
func (s *Server) Run(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() { _ = s.http.Serve(s.door) }) // its error is that the door was closed
	closed := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = s.Close()
	})
	defer func() {
		if !unhook() { // two may wait for the same requests, and the other one sees their end later
			<-closed
		}
	}()
	err := s.door.run()
	_ = s.Close()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("peer: accept on %v: %w", s.Addr(), err)
	}
	return nil
}

// Close ends the server. A second Close does nothing.
func (s *Server) Close() error {
	err := s.door.Close()
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	return err
}

// farewell is how long requests may go on when the server ends: longer than a commit
// usually takes, and no longer than one waits for a program to stop.
const farewell = 500 * time.Millisecond

// serve is the handler of all requests.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if f, ok := fingerprintOf(r.TLS); !ok || !s.cfg.Known(f) {
		refuse(w, http.StatusForbidden, fmt.Errorf("%w: the certificate of this connection is not one of a present member any more", registry.ErrNotWriter))
		return
	}
	switch {
	case r.URL.Path == pathState && r.Method == http.MethodGet:
		role := "follower"
		if s.cfg.Registry.Leads() {
			role = "writer"
		}
		state := State{Name: s.cfg.Name, Revision: s.cfg.Registry.Revision(), Life: s.cfg.Registry.Life().String(), Role: role}
		if s.cfg.CertificateEnds != nil {
			state.CertificateEnds = s.cfg.CertificateEnds()
		}
		s.answer(w, state)
	case r.URL.Path == pathOperations && r.Method == http.MethodPost:
		s.operations(w, r)
	default:
		refuse(w, http.StatusNotFound, fmt.Errorf("%w: it does not know %s %.80s: upgrade it", errUnsupported, r.Method, r.URL.Path))
	}
}

// operations runs the operations of one request at once, so that the registry commits
// them together.
func (s *Server) operations(w http.ResponseWriter, r *http.Request) {
	place := s.batches
	if !enter(place) {
		refuse(w, http.StatusServiceUnavailable, errBusy)
		return
	}
	defer func() { <-place }()
	body, err := readBody(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if !s.cfg.Registry.Leads() { // not before the body was read: net/http would close the connection
		refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%w: member %s is a follower", registry.ErrNotWriter, s.cfg.Name))
		return
	}
	all, errs, err := readBatch(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	for i := range all {
		if all[i].kind == connectionLost {
			if !enter(s.slow) {
				refuse(w, http.StatusServiceUnavailable, errBusy)
				return
			}
			<-place
			place = s.slow
			break
		}
	}
	lines := s.run(r.Context(), all, errs)
	s.send(w, appendResults(make([]byte, 0, size(lines)), lines))
}

// run runs operations at once, and returns their results as JSON.
func (s *Server) run(ctx context.Context, all []operation, errs []error) [][]byte {
	lines := make([][]byte, len(all))
	one := func(i int) {
		res := result{err: errs[i]}
		if res.err == nil {
			res = all[i].run(ctx, s.cfg.Registry)
		}
		if res.err != nil {
			res.at = s.cfg.Registry.Revision()
		}
		lines[i] = marshal(res.json(&all[i]))
	}
	var running sync.WaitGroup
	for i := 1; i < len(all); i++ {
		running.Go(func() { one(i) })
	}
	if len(all) > 0 {
		one(0)
	}
	running.Wait()
	return lines
}

// enter takes a place, if there is one.
func enter(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

// readBody reads a body of a bounded size within a bounded time.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTime)) // it fails only in tests, which have no connection
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(min(r.ContentLength, maxRequest)) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, maxRequest)); err != nil {
		return nil, fmt.Errorf("%w: read the request: %w", errMalformed, err)
	}
	_ = c.SetReadDeadline(time.Time{}) // net/http reads on, to see when the client goes away
	return b.Bytes(), nil
}

// answer sends v.
func (s *Server) answer(w http.ResponseWriter, v any) { s.send(w, marshal(v)) }

func (s *Server) send(w http.ResponseWriter, body []byte) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime)) // as above
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// refusal is the body of an answer with another status than 200. Then no operation was
// executed.
type refusal struct {
	Error *failure `json:"error"`
}

func refuse(w http.ResponseWriter, status int, err error) {
	body := marshal(refusal{fail(err)})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// marshal is json.Marshal for values that can always be JSON.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func size(lines [][]byte) int {
	n := 64
	for _, l := range lines {
		n += len(l) + 1
	}
	return n
}
