package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/register"
)

// keep makes all registrations of the server, which listens on l. A hook that cannot be
// reached is tried until the server ends. A hook that refuses ends Serve.
func (s *Server) keep(l net.Listener) {
	defer close(s.keeping)
	if err := s.announceable(); err != nil {
		s.unregistered(l, err)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx) // when one is refused, the others are not tried any more
	defer cancel()
	var each sync.WaitGroup
	for i := range s.cfg.Announce {
		each.Go(func() {
			if err := s.keepOne(ctx, i, l); err != nil && ctx.Err() == nil {
				s.unregistered(l, err)
				cancel()
			}
		})
	}
	each.Wait()
}

// announceable checks what register cannot see, because it gets one registration at a time.
func (s *Server) announceable() error {
	for i := range s.cfg.Announce {
		a := &s.cfg.Announce[i]
		for j := range i {
			if b := &s.cfg.Announce[j]; a.Service == b.Service && a.ID == b.ID && a.Port == b.Port && slices.Equal(a.Hooks, b.Hooks) {
				return fmt.Errorf("rpcserver: Config.Announce has %s twice: remove one, or give one another ID", a.Service)
			}
		}
	}
	for service, receivers := range s.cfg.Needs {
		if !slices.ContainsFunc(s.cfg.Announce, func(c register.Config) bool { return c.Service == service }) {
			return fmt.Errorf("rpcserver: Config.Needs has %q, which is no service in Config.Announce", service)
		}
		for _, r := range receivers {
			if !s.services.has(r) {
				return fmt.Errorf("rpcserver: Config.Needs: %s needs %q, which is not registered: call Register first, or correct the name", service, r)
			}
		}
	}
	return nil
}

// keepOne makes the registration i.
func (s *Server) keepOne(ctx context.Context, i int, l net.Listener) error {
	cfg := s.cfg.Announce[i]
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
	drained, _ := s.serving.drains(s.cfg.Needs[cfg.Service])
	steered := !cfg.Drain // what the configuration drains stays so
	cfg.Drain = cfg.Drain || drained
	lease, err := register.Keep(ctx, cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.leases[i] = lease
	s.mu.Unlock()
	go s.watch(lease)
	if steered {
		go s.steer(lease, s.cfg.Needs[cfg.Service], drained)
	}
	return nil
}

// unregistered ends Serve.
func (s *Server) unregistered(l net.Listener, err error) {
	s.log(slog.LevelError, "registration refused, serving ends", "err", err)
	s.mu.Lock()
	s.keepErr = errors.Join(s.keepErr, err)
	s.mu.Unlock()
	l.Close()
}

// watch logs when another process has taken the instance's place. Without a Logger,
// register does. It ends with the lease.
func (s *Server) watch(lease *register.Lease) {
	<-lease.Done()
	if err := lease.Err(); errors.Is(err, register.ErrReplaced) {
		s.log(slog.LevelError, "this server goes on, unregistered: no new client finds it", "err", err)
	}
}

// Leases are the server's registrations that are made so far, in the order of
// Config.Announce. The Status of a lease is the present state, it takes changes of weight,
// and its Done is closed when another process has taken the instance's place.
func (s *Server) Leases() []*register.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.leases), func(l *register.Lease) bool { return l == nil })
}

// Announced waits until the server has all its registrations, which begins with Serve. It
// fails when one is refused, or ctx ends.
func (s *Server) Announced(ctx context.Context) error {
	if len(s.cfg.Announce) == 0 {
		return errors.New("rpcserver: not announced: Config.Announce is empty")
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
	if slices.Contains(s.leases, nil) {
		return ErrServerClosed
	}
	return nil
}

// deregister ends the registrations, or the attempts at them.
func (s *Server) deregister(ctx context.Context) error {
	s.stop()
	s.mu.Lock()
	if !s.began {
		s.began = true
		close(s.keeping)
	}
	s.mu.Unlock()
	<-s.keeping // soon, because its context has ended
	leases := s.Leases()
	errs := make([]error, len(leases))
	var each sync.WaitGroup
	for i, lease := range leases {
		each.Go(func() { errs[i] = lease.Close(ctx) })
	}
	each.Wait()
	return errors.Join(errs...)
}

// recordTime is the longest TTL of the records of the server.
func (s *Server) recordTime() (ttl time.Duration) {
	for _, lease := range s.Leases() {
		ttl = max(ttl, lease.Status().Published.TTL.Std())
	}
	return ttl
}

// Tests: foreign_test.go, keep_test.go, shutdown_test.go, stop_test.go.
