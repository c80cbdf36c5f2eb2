package resolver

import (
	"context"
	"log/slog"
	"sync"
)

// lock is a mutex. What is to be logged while it is held is logged when it is given up: the
// Logger is the user's, so it may be slow, and may call the Resolver.
type lock struct {
	sync.Mutex
	lines []func() // guarded by Mutex
}

func (l *lock) Unlock() {
	lines := l.lines
	l.lines = nil
	l.Mutex.Unlock()
	for _, line := range lines {
		line()
	}
}

// logLocked logs a line when Resolver.mu is given up.
func (r *Resolver) logLocked(level slog.Level, msg string, args ...any) {
	if r.Logger != nil {
		r.mu.lines = append(r.mu.lines, func() { r.Logger.Log(context.Background(), level, msg, args...) })
	}
}
