package member

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

const (
	// probeTime bounds one connection: a host in reach answers far sooner.
	probeTime = time.Second
	// probePause is between the two refusals that prove a death: a listener that is made
	// again at once, as at a restart, is not refused twice.
	probePause = 50 * time.Millisecond
)

// probe is the outcome of connecting to a member.
type probe struct {
	key      string
	accepted bool
	refused  bool // twice
}

// Doubt says that a connection to p broke, or was refused. If p is the writer, it is
// probed. If its host refuses connections, another member leads at once, and not only when
// the session of p is over. Doubt does not wait.
func (m *Member) Doubt(p Peer) {
	select {
	case m.doubts <- p.Key:
	default: // another member is in doubt; the caller will come again
	}
}

// reach connects to a member that was not reached yet, because the refusal of an address
// proves nothing that never accepted. Any of them may be the writer one day.
func (m *Member) reach(ctx context.Context) {
	if m.probing || !m.unreached {
		return
	}
	var others []Peer
	for _, p := range m.peers {
		if !m.reached[p.Key] && p.Address != "" && !m.isOwn(p) {
			others = append(others, p)
		}
	}
	m.unreached = false // until the next second
	if len(others) == 0 {
		return
	}
	p := others[rand.IntN(len(others))]
	m.probing = true
	m.try(ctx, func(ctx context.Context) probe {
		return probe{key: p.Key, accepted: m.connect(ctx, p.Address) == nil}
	})
}

// doubt probes a member that may be dead.
func (m *Member) doubt(ctx context.Context, key string) {
	p, ok := m.Writer()
	if !ok || p.Self || p.Key != key || !m.reached[key] || m.probing || m.session.now() == nil {
		return
	}
	m.probing = true
	m.try(ctx, func(ctx context.Context) probe {
		for i := range 2 {
			if i > 0 {
				sleep(ctx, probePause)
			}
			if err := m.connect(ctx, p.Address); !errors.Is(err, syscall.ECONNREFUSED) {
				return probe{key: key, accepted: err == nil}
			}
		}
		return probe{key: key, refused: true}
	})
}

// try probes in the background. The outcome comes to bury.
func (m *Member) try(ctx context.Context, ask func(context.Context) probe) {
	m.parts.Go(func() {
		p := ask(ctx)
		select {
		case m.probed <- p:
		case <-ctx.Done():
		}
	})
}

func (m *Member) connect(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return m.cfg.Probe(ctx, address)
}

// bury deletes the key of a member that refuses connections. That is safe even if it
// lives: each commit has the condition that its key is there.
func (m *Member) bury(ctx context.Context, p probe) {
	m.probing = false
	dead, ok := m.peers[p.key]
	switch {
	case !ok:
	case p.accepted:
		m.reached[p.key], m.unreached = true, true // there may be others
	case p.refused && m.term == nil:
		m.delete(ctx, dead, "its host refuses connections to its address")
	}
}
