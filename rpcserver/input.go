package rpcserver

import (
	"errors"
	"log/slog"
	"os"
	"time"
)

// input is the connection's reading side, with its time limits.
type input struct {
	conn   *conn
	until  time.Time // the read deadline; zero: none
	within bool      // until is that of the request that has begun
	idled  bool      // until has passed between two requests
}

func (in *input) Read(p []byte) (int, error) {
	c := in.conn
	for {
		mid := c.mid || (c.buffered != nil && c.buffered() > 0)
		if !mid || !in.within { // one deadline for a request, however slowly it comes
			limit := c.server.cfg.Limits.IdleTimeout
			if in.within = mid; mid {
				limit = c.server.cfg.Limits.FrameTimeout
			}
			if err := in.extend(limit); err != nil {
				return 0, err
			}
		}
		n, err := c.nc.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !c.isStopped() {
			in.until, in.within = time.Time{}, false
			if !mid && c.inflight.Load() > 0 {
				continue // it is not idle: it waits for answers
			}
			in.idled = !mid
			c.server.logPaced(&c.server.paces.conns, linesOfConns, slog.LevelDebug, "timeout", "remote", c.remote, "within request", mid)
		}
		return n, err
	}
}

// extend moves the read deadline to limit from now, roughly, because each move costs.
func (in *input) extend(limit time.Duration) error {
	if limit <= 0 && in.until.IsZero() {
		return nil
	}
	now := time.Now()
	until := time.Time{}
	if limit > 0 {
		if left := in.until.Sub(now); left > limit-limit/8 && left <= limit {
			return nil
		}
		until = now.Add(limit)
	}
	c := in.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return os.ErrDeadlineExceeded
	}
	in.until = until
	return c.nc.SetReadDeadline(until)
}

// Tests: cut_test.go, timeout_test.go.
