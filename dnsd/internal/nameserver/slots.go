package nameserver

import (
	"context"
	"sync"
	"time"
)

// maxTransfers is how many zone transfers run at once. A zone has a few secondaries, and
// all of them may begin at once after a restart.
const maxTransfers = 16

// hurry is how long a client may take for a message of a transfer while another
// waits for its place: 16 KiB a second. Otherwise the slowest clients would soon have
// all places.
const hurry = time.Second

// transferSlots bounds the transfers that run at once: each has a place.
type transferSlots struct {
	places chan struct{} // a token for each

	mu      sync.Mutex // guards what follows
	running map[*conn]bool
	waiting int // transfers without a place
}

func newTransferSlots(n int) *transferSlots {
	return &transferSlots{places: make(chan struct{}, n), running: make(map[*conn]bool)}
}

// take waits for a place, and makes transfers that have one hurry.
func (p *transferSlots) take(ctx context.Context, c *conn, waits func()) error {
	select {
	case p.places <- struct{}{}:
	default:
		waits()
		p.wait(1)
		defer p.wait(-1)
		select {
		case p.places <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[c] = true
	return nil
}

// wait counts the transfers that wait. It also shortens the deadline of writes that
// have begun.
func (p *transferSlots) wait(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting += n; n > 0 {
		for c := range p.running {
			c.SetWriteDeadline(time.Now().Add(hurry))
		}
	}
}

// leave gives a place back.
func (p *transferSlots) leave(c *conn) {
	p.mu.Lock()
	delete(p.running, c)
	p.mu.Unlock()
	<-p.places
}

// patience is how long a write of a transfer may take: usual, or less while another
// transfer waits.
func (p *transferSlots) patience(usual time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting > 0 {
		return min(usual, hurry)
	}
	return usual
}
