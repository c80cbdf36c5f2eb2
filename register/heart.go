package register

import (
	"io"
	"sync"
	"time"
)

// heart is the body of the request that holds a registration: one octet at once, and
// then one whenever a renewal is due. The hook renews the lease for these octets and
// for nothing else: the kernel of a stopped process must not renew it.
type heart struct {
	pace   time.Duration      // time between two renewals; owned by Read
	change chan time.Duration // a new pace; capacity 1
	jitter func(time.Duration) time.Duration

	began bool // owned by Read
	stop  chan struct{}
	once  sync.Once
}

func newHeart(pace time.Duration, jitter func(time.Duration) time.Duration) *heart {
	return &heart{pace: pace, jitter: jitter, change: make(chan time.Duration, 1), stop: make(chan struct{})}
}

// Read waits until the next octet is due.
func (h *heart) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if h.began {
		due := time.NewTimer(h.jitter(h.pace))
		defer due.Stop()
		select {
		case <-due.C:
		case h.pace = <-h.change: // the next octet may be due much sooner
		case <-h.stop:
			return 0, io.EOF
		}
	}
	h.began = true
	p[0] = '.'
	return 1, nil
}

// setPace gives Read a new pace.
func (h *heart) setPace(pace time.Duration) {
	select { // drop a pace that Read has not taken yet
	case <-h.change:
	default:
	}
	h.change <- pace // there is room: this is the only sender
}

// Close ends the body: Read returns io.EOF.
func (h *heart) Close() error {
	h.once.Do(func() { close(h.stop) })
	return nil
}

// Tests: hold_test.go.
