package register

import (
	"io"
	"sync"
	"time"
)

// heart is the body of the request that holds a registration: an octet at once,
// and then one whenever a renewal is due. The hook renews for these and for nothing
// else, so that a process that stands still is not renewed by its kernel.
type heart struct {
	pace   time.Duration      // between two renewals; owned by Read
	change chan time.Duration // another pace, capacity 1
	jitter func(time.Duration) time.Duration

	began bool // owned by Read
	stop  chan struct{}
	once  sync.Once
}

func newHeart(pace time.Duration, jitter func(time.Duration) time.Duration) *heart {
	return &heart{pace: pace, jitter: jitter, change: make(chan time.Duration, 1), stop: make(chan struct{})}
}

// Read waits until it is time for the next octet.
func (h *heart) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if h.began {
		due := time.NewTimer(h.jitter(h.pace))
		defer due.Stop()
		select {
		case <-due.C:
		case h.pace = <-h.change: // the next may be due much sooner
		case <-h.stop:
			return 0, io.EOF
		}
	}
	h.began = true
	p[0] = '.'
	return 1, nil
}

// setPace tells Read of another pace.
func (h *heart) setPace(pace time.Duration) {
	select { // the one before it that nobody has seen
	case <-h.change:
	default:
	}
	h.change <- pace // there is room: nobody else sends
}

// Close ends the body.
func (h *heart) Close() error {
	h.once.Do(func() { close(h.stop) })
	return nil
}

// Tests: hold_test.go.
