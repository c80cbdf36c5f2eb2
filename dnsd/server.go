package dnsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is the whole of dnsd: registries, zones, name servers, hooks. Make it with
// New, and start it with Run. Its methods are safe for concurrent use.
type Server struct {
	log   *slog.Logger
	ready atomic.Bool // all parts run

	mu      sync.Mutex // guards the fields below; held for a whole Reload
	cfg     Config
	blocks  []*block
	dns     []*listener
	failed  chan error // the error of a part that ended by itself
	running bool
	closed  bool
}

// New checks cfg and opens what it names: stores are read, sockets are bound. Requests
// and queries wait in the sockets until Run. After an error nothing is open.
func New(cfg Config) (*Server, error) {
	whole, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	s := &Server{log: cfg.Logger, failed: make(chan error, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	p, err := s.prepare(whole)
	if err != nil {
		return nil, err
	}
	if err := s.commit(p); err != nil {
		return nil, err
	}
	return s, nil
}

// Run serves until ctx ends, and then for Config.LameDuck more, and returns nil. If a
// part fails, Run returns its error. In both cases everything is stopped gracefully and
// closed: first the hook, so that no request is accepted that cannot be answered, then
// DNS, then the registries. A dnsd that writes for others lets another one write before it
// stops DNS. A Server runs once.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.running || s.closed {
		s.mu.Unlock()
		return errors.New("dnsd: a server runs only once")
	}
	s.running = true
	s.start()
	s.ready.Store(true)
	s.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
		err = s.lameDuck()
	case err = <-s.failed:
	}
	return errors.Join(err, s.Close())
}

// start runs the parts that do not run yet. The caller holds mu.
func (s *Server) start() {
	for _, b := range s.blocks {
		b.start(s.failed)
	}
	for _, l := range s.dns {
		l.start(s.failed)
	}
}

// lameDuck serves for Config.LameDuck, while /readyz says 503.
func (s *Server) lameDuck() error {
	s.ready.Store(false)
	s.mu.Lock()
	d := s.cfg.LameDuck
	s.mu.Unlock()
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case err := <-s.failed:
		return err
	}
}

// Close stops and closes everything. Run does it at its end; Close is for a Server that
// never ran.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.ready.Store(false)
	return closeParts(s.blocks, s.dns)
}

// Reload replaces the configuration while the server runs. Registrations, and sockets
// whose address did not change, stay. After an error nothing has changed.
func (s *Server) Reload(cfg Config) error {
	whole, err := cfg.checked()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("dnsd: reload: the server is closed; make a new one")
	}
	p, err := s.prepare(whole)
	if err != nil {
		return err
	}
	return s.commit(p)
}

// DNSAddr is the first address of DNS.
func (s *Server) DNSAddr() netip.AddrPort { return s.DNSAddrs()[0] }

// DNSAddrs are all addresses of DNS, UDP and TCP alike.
func (s *Server) DNSAddrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []netip.AddrPort
	for _, l := range s.dns {
		addrs = append(addrs, l.server.Addrs()...)
	}
	return addrs
}

// TLSAddrs are the addresses of DNS over TLS.
func (s *Server) TLSAddrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []netip.AddrPort
	for _, l := range s.dns {
		addrs = append(addrs, l.server.TLSAddrs()...)
	}
	return addrs
}

// HookURL is where the first block's hook is, such as http://127.0.0.1:8053.
func (s *Server) HookURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blocks[0].hook.part.URL()
}

// String lists on one line the zones with their addresses, hooks and stores.
func (s *Server) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, b := range s.blocks {
		var addrs []string
		for _, l := range s.dns {
			if l.serves(b) {
				for _, a := range l.server.Addrs() {
					addrs = append(addrs, a.String())
				}
				for _, a := range l.server.TLSAddrs() {
					addrs = append(addrs, tlsPrefix+a.String())
				}
			}
		}
		store := b.cfg.Store.Kind
		if b.cfg.Store.Path != "" {
			store += " " + b.cfg.Store.Path
		}
		if b.group != nil {
			store += b.group.String()
		}
		parts = append(parts, fmt.Sprintf("zone %s on %s (udp, tcp), hook %s, store %s",
			strings.Join(b.cfg.Origins, " "), strings.Join(addrs, " "), b.hook.part.URL(), store))
	}
	return strings.Join(parts, "; ")
}
