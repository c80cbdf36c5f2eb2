package push

import (
	"slices"
	"sync"
)

// mostHeld bounds the octets of the long payloads that clients have not read yet: 40
// versions of a service of 100,000 instances. All clients that are sent the same version
// share it, so only clients that read slowly while a large service changes come near it.
const mostHeld = 256 << 20

// held is the long payloads, those of several messages, that clients have not read yet. When
// they are too many, the sessions that are sent the oldest one are aborted: they are the
// furthest behind, and begin with the newest one when they come back.
type held struct {
	most  int            // mostHeld, except in tests
	abort func(*session) // is called with the locks of another session held

	mu     sync.Mutex // guards what follows, and messages.holders. Taken after that of a session
	octets int
	order  []*messages // the oldest first
}

// hold notes that a session is sent p.
func (h *held) hold(p *payload, s *session) {
	if p.len() < 2 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.holders == nil {
		p.holders = make(map[*session]int)
		h.octets += p.octets
		h.order = append(h.order, p.messages)
	}
	p.holders[s]++
	for h.octets > h.most && len(h.order) > 1 {
		oldest := h.order[0]
		for s := range oldest.holders {
			h.abort(s)
		}
		h.dropLocked(oldest)
	}
}

// release notes that a session does not need p any more.
func (h *held) release(p *payload, s *session) {
	if p.len() < 2 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.holders == nil {
		return // the session is being aborted
	}
	if p.holders[s]--; p.holders[s] <= 0 {
		delete(p.holders, s)
	}
	if len(p.holders) == 0 {
		h.dropLocked(p.messages)
	}
}

func (h *held) dropLocked(m *messages) {
	m.holders = nil
	h.octets -= m.octets
	if i := slices.Index(h.order, m); i >= 0 {
		h.order = slices.Delete(h.order, i, i+1)
	}
}

// Tests: held_test.go.
