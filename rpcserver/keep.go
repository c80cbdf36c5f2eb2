package rpcserver

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/rollcall-dns/rollcall/register"
)

// keep registers the server as listening on l. A hook that cannot be reached is tried
// until the server ends. A hook that refuses ends Serve.
func (s *Server) keep(l net.Listener) {
	defer close(s.keeping)
	cfg := *s.cfg.Announce
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		if cfg.Port == 0 {
			cfg.Port = uint16(tcp.Port)
		}
		if cfg.Host == "" && !tcp.IP.IsUnspecified() {
			cfg.Host = tcp.IP.String()
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = s.logger // nil: register logs what must not go unnoticed
	}
	cfg.Background = false
	lease, err := register.Keep(s.ctx, cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = lease
	if err != nil && s.ctx.Err() == nil {
		s.keepErr = err
		s.log(slog.LevelError, "registration refused, serving ends", "err", err)
		l.Close()
	}
	if err == nil {
		go s.watch(lease)
	}
}

// watch logs when another process has taken the instance's place. Without a Logger,
// register does. It ends with the lease.
func (s *Server) watch(lease *register.Lease) {
	<-lease.Done()
	if err := lease.Err(); errors.Is(err, register.ErrReplaced) {
		s.log(slog.LevelError, "this server goes on, unregistered: no new client finds it", "err", err)
	}
}

// Lease is the server's registration, nil before it is made. Its Status is the present
// state, it takes changes of weight, and its Done is closed when another process has
// taken the instance's place.
func (s *Server) Lease() *register.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
}

// Announced waits until the server is registered, which begins with Serve. It fails when
// the server cannot be registered, or ctx ends.
func (s *Server) Announced(ctx context.Context) error {
	if s.cfg.Announce == nil {
		return errors.New("rpcserver: not announced: Config.Announce is nil")
	}
	select {
	case <-s.keeping:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keepErr != nil {
		return s.keepErr
	}
	if s.lease == nil {
		return ErrServerClosed
	}
	return nil
}

// deregister ends the registration, or the attempt at one.
func (s *Server) deregister(ctx context.Context) error {
	s.stop()
	s.mu.Lock()
	if !s.began {
		s.began = true
		close(s.keeping)
	}
	s.mu.Unlock()
	<-s.keeping // soon, because its context has ended
	if lease := s.Lease(); lease != nil {
		return lease.Close(ctx)
	}
	return nil
}

// Tests: foreign_test.go, keep_test.go, shutdown_test.go, stop_test.go.
