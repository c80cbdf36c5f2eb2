package rpcserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// backlogTime is for connections that the kernel has accepted and the server has not:
// closing the listener would reset them. They are there at once or not at all.
const backlogTime = 10 * time.Millisecond

// Shutdown ends the server without an error for any client:
//
//  1. Its instances leave the registry: no resolver sends new clients. A hook that does
//     not answer is not waited for.
//  2. Connected clients are told by a notice to call elsewhere. rpcclient obeys at
//     once. net/rpc's client drops the notice, so requests that still come are answered
//     until nothing has come for Config.Quiet.
//  3. Until the TTL of their records is over, new connections are accepted,
//     and told the same at once: a client may have the record in a cache.
//  4. Each connection ends when its calls are answered, with a last notice that says
//     which request was the last to be executed.
//
// A second (or a tenth of the time) before the end of ctx's time, reading stops. Requests
// that were read are still answered, and the contexts of their methods end. When ctx ends,
// connections are closed, and Shutdown returns the cause: calls may have been lost. It also
// returns why the instance could not be deregistered; its record then ends with its lease.
// Serve returns as soon as the listener is closed, so main has to wait for Shutdown, not for
// Serve.
func (s *Server) Shutdown(ctx context.Context) error {
	hook := leave(ctx, s.recordTime(), s.deregister)
	defer hook.cancel()
	hook.wait(ctx, headStart)
	s.mu.Lock()
	first := !s.draining
	if first {
		s.draining = true
		for c := range s.conns {
			s.drainLocked(c)
		}
	}
	s.mu.Unlock()
	if t := s.cfg.Trace; first && t != nil && t.Draining != nil {
		s.hook(t.Draining)
	}

	reading, cancel := beforeEnd(ctx)
	defer cancel()
	wait(reading, s.cfg.Quiet) // a client that resolved the name just before may be connecting
	hook.waitForRecord(reading)
	s.closeListeners(backlogTime)
	s.accepting.Wait() // so that connections which were waiting there are served
	s.seal()
	served := make(chan struct{})
	go func() {
		s.running.Wait()
		close(served)
	}()
	var err error
	select {
	case <-served:
	case <-reading.Done():
		s.force()
		select {
		case <-served:
		case <-ctx.Done():
			err = fmt.Errorf("rpcserver: shutdown: %w", context.Cause(ctx))
		}
	}
	s.end()
	return errors.Join(hook.finish(ctx), err)
}

// seal lets no more connections in.
func (s *Server) seal() {
	s.mu.Lock()
	s.sealed = true
	s.mu.Unlock()
}

// drainLocked begins to drain c.
func (s *Server) drainLocked(c *conn) {
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		c.drain(s.cfg.Quiet, s.forced)
	}()
}

// retire drains one connection of a server that goes on.
func (s *Server) retire(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.conns[c]; open {
		s.drainLocked(c)
	}
}

// Close ends the server at once: calls in flight are lost. It still deregisters,
// within a second.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.end()
	return s.deregister(ctx)
}

// force has all connections stop reading, and ends the contexts of all calls.
func (s *Server) force() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isForced {
		s.isForced = true
		close(s.forced)
		for c := range s.conns {
			c.live.end(ErrServerClosed)
		}
	}
}

// end closes everything that is still open.
func (s *Server) end() {
	s.force()
	s.mu.Lock()
	s.closed, s.sealed = true, true
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	s.stop()
	s.calls.close()
	for _, c := range conns {
		c.abort()
	}
	s.closeListeners(0)
}

// closeListeners closes the listeners. During grace they still accept connections that are
// waiting.
func (s *Server) closeListeners(grace time.Duration) {
	s.mu.Lock()
	listeners := slices.Collect(maps.Keys(s.listeners))
	s.mu.Unlock()
	for _, l := range listeners { // which may be of the user's making
		if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok && grace > 0 {
			if d.SetDeadline(time.Now().Add(grace)) == nil {
				continue // accept ends by itself, and Serve closes
			}
		}
		l.Close()
	}
}
