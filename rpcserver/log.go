package rpcserver

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// A client can cause these as often as it likes, and each line may have a stack in it.
	// The first of a second says what there is to know.
	linesOfFaults = 1
	// Lines about single connections are for a search for a fault: a reader of the log
	// follows no more.
	linesOfConns = 100
)

// pace bounds the lines of the log about one thing.
type pace struct {
	mu    sync.Mutex // guards all below
	since time.Time  // when the present second has begun
	lines int        // of it
	left  int        // lines left out since the last one that was not
	aside bool       // one is being written aside
}

// next reports whether a line may be written, of most in a second, and how many were left out
// before it.
func (p *pace) next(most int, now time.Time) (left int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.since) >= time.Second {
		p.since, p.lines = now, 0
	}
	if p.lines >= most {
		p.left++
		return 0, false
	}
	p.lines++
	left, p.left = p.left, 0
	return left, true
}

func (s *Server) log(level slog.Level, msg string, args ...any) {
	s.cfg.Logger.Log(context.Background(), level, msg, args...)
}

// beginAside reports whether a line may be written aside, until endAside.
func (p *pace) beginAside() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aside {
		p.left++
		return false
	}
	p.aside = true
	return true
}

func (p *pace) endAside() {
	p.mu.Lock()
	p.aside = false
	p.mu.Unlock()
}

// logAside is logPaced, of linesOfFaults, for goroutines that must not wait for the Logger:
// those that accept connections, and that read requests. While one line is being written,
// others are left out.
func (s *Server) logAside(p *pace, level slog.Level, msg string, args ...any) {
	if p.beginAside() {
		go func() {
			defer p.endAside()
			s.logPaced(p, linesOfFaults, level, msg, args...)
		}()
	}
}

// logPaced is log for what happens with a call or a connection. It must not be called with
// a lock held: the Logger is the user's code, and may take as long as it likes.
func (s *Server) logPaced(p *pace, most int, level slog.Level, msg string, args ...any) {
	if left, ok := s.due(p, most, level); ok {
		s.log(level, msg, append(args, left...)...)
	}
}

// due reports whether such a line may be written, and what it says of those left out.
func (s *Server) due(p *pace, most int, level slog.Level) (left []any, ok bool) {
	if !s.cfg.Logger.Enabled(context.Background(), level) {
		return nil, false
	}
	n, ok := p.next(most, time.Now())
	if n > 0 {
		left = []any{"left out", n}
	}
	return left, ok
}
