package registrytest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func (m *model) connectionLost(k registry.Key, incarnation uint64) {
	if l := m.leases[k]; l != nil && l.Incarnation == incarnation && m.dead(l) {
		m.proven(l)
	}
}

func (m *model) release(service string) (n int) {
	for _, l := range m.leases {
		if l.reprieved && (service == "" || service == l.Service) {
			l.released, l.deadline = true, m.now
			n++
		}
	}
	return n
}

// tick lets time pass and judges the leases that ended, in the order of their ends.
func (m *model) tick() {
	m.now += tick
	var due []*lease
	for _, l := range m.leases {
		if l.deadline <= m.now {
			due = append(due, l)
		}
	}
	slices.SortFunc(due, func(a, b *lease) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), a.Compare(b.Key))
	})
	all := len(m.leases)
	overdue := 0
	for _, l := range m.leases {
		if at := m.due(l); m.heard < at && at <= m.now {
			overdue++
		}
	}
	var suspects []*lease
	for _, l := range due {
		deaf := all >= 3 && m.heard < m.due(l) && overdue >= 3
		reprieve := deaf || m.beyondShare(l)
		end := l.since + min(modelGuardLeases*l.Lease, modelGuardMax)
		if l.trial {
			end = l.since + l.Lease
		}
		ended := l.released || m.now >= end
		if l.trial && !l.released && reprieve {
			ended = false
		}
		switch {
		case l.Shown() == registry.Drained || l.reprieved && ended:
			m.remove(l)
			continue
		case l.reprieved || reprieve:
			m.suspect(l, false)
		case m.before(l) < 3 && strings.HasSuffix(l.Service, "._tcp"):
			m.suspect(l, true)
		default:
			m.lose(l)
			continue
		}
		suspects = append(suspects, l)
	}
	for _, l := range suspects {
		if m.dead(l) {
			m.proven(l)
		}
	}
}

// due is the time by which l should have renewed: half a lease after its last renewal.
func (m *model) due(l *lease) time.Duration {
	if l.reprieved {
		return l.since - l.Lease/2
	}
	return l.deadline - l.Lease/2
}

// gone counts the instances of the service that were lost in the last lease.
func (m *model) gone(l *lease) (n int) {
	for _, t := range m.lost[l.Service] {
		if t > m.now-l.Lease {
			n++
		}
	}
	return n
}

func (m *model) before(l *lease) int { return m.size(l.Service) + m.gone(l) }

func (m *model) beyondShare(l *lease) bool {
	return m.before(l) >= 3 && m.gone(l) >= max(1, m.before(l)*3/10)
}

// proven removes an instance that refuses connections, but no more of a service than
// the guard's share.
func (m *model) proven(l *lease) {
	switch {
	case !m.beyondShare(l):
		m.lose(l)
	case l.State != registry.Suspect && l.Shown() != registry.Drained:
		m.suspect(l, false)
	}
}

func (m *model) suspect(l *lease, trial bool) {
	if !l.reprieved {
		l.reprieved, l.since = true, m.now
	}
	l.trial = trial
	if l.State != registry.Suspect {
		m.state(l, registry.Suspect)
	}
	l.deadline = max(min(m.now+l.Lease, l.since+min(modelGuardLeases*l.Lease, modelGuardMax)), m.now+tick)
}

func (m *model) lose(l *lease) {
	m.lost[l.Service] = append(m.lost[l.Service], m.now)
	m.remove(l)
}

// dead says whether a probe proves l dead: only a TCP server takes TCP connections.
func (m *model) dead(l *lease) bool {
	return strings.HasSuffix(l.Service, "._tcp") && m.refusing(l.HostPort())
}

// Tests: suite_test.go.
