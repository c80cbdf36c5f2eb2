package limit

import (
	"context"
	"errors"
	"net"
	"time"
)

// After a failed accept the listener pauses, twice as long after each further
// failure: another part of the process has to close a file first. A connection that
// was taken ends that.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

// Accept passes the connections of a listener to take until the context ends, which
// returns nil, or the listener is closed, which returns that error. Neither a lack of
// file descriptors nor a client that hung up early ends it: failed gets each such
// error, and may be called every second for as long as the cause lasts. take must
// not wait.
func Accept(ctx context.Context, ln net.Listener, take func(net.Conn), failed func(error)) error {
	var pause time.Duration
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			take(c)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		failed(err)
		pause = min(max(2*pause, firstPause), maxPause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}
