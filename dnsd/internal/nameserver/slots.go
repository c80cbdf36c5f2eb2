package nameserver

import (
	"context"
	"sync"
	"time"
)

// hurry is how long a client may take for a message of a transfer while another
// waits for its place: 16 KiB a second, or all places are soon with the slowest.
const hurry = time.Second

// transferSlots are the places of the transfers under way.
type transferSlots struct {
	places chan struct{} // a token for each

	mu      sync.Mutex // guards what follows
	running map[*conn]bool
	waiting int
}

func newTransferSlots(n int) *transferSlots {
	return &transferSlots{places: make(chan struct{}, n), running: make(map[*conn]bool)}
}

// take waits for a place, and lets those who hold one know.
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

// wait counts those who wait. A write that began before there was one must not
// go on for as long as it might have.
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

// patience is how long a write of a transfer may take, when it may usually take
// so long.
func (p *transferSlots) patience(usual time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting > 0 {
		return min(usual, hurry)
	}
	return usual
}
