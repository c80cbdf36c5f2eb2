package registrytest

import (
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// tick is how often the registry looks at its leases. The model looks as often, so
// both remove an instance at the same moment.
const tick = 50 * time.Millisecond

// model is what a registry promises, written as plainly as possible: at every tick it
// looks at all leases. Its numbers are those of modelConfig.
type model struct {
	now      time.Duration // lease time
	revision uint64
	leases   map[registry.Key]*lease
	fences   map[registry.Key]uint64
	sticky   map[registry.Key]bool // drained when they register again
	heard    time.Duration
	lost     map[string][]time.Duration
	refusing func(hostport string) bool

	diskFull bool
	debt     bool                  // a change was published and not stored
	owed     map[registry.Key]bool // instances whose removal was published and not stored
}

type lease struct {
	registry.Instance
	deadline  time.Duration
	reprieved bool // since
	since     time.Duration
	released  bool
	trial     bool // reprieved only for a lease, because the service is small
}

type answer int

const (
	ok answer = iota
	created
	notFound
	fenced
	full
	noSpace
)

const (
	modelMax         = 12
	modelPerService  = 6
	modelGuardLeases = 4
	modelGuardMax    = 40 * time.Second
)

func modelConfig() registry.Config {
	return registry.Config{
		Limits: registry.Limits{Instances: modelMax, PerService: modelPerService},
		// One probe at a time, so that instances are proven dead in the order of their leases.
		Guard: registry.Guard{Leases: modelGuardLeases, Max: modelGuardMax, Probes: 1},
	}
}

func newModel(refusing func(string) bool) *model {
	return &model{
		leases: map[registry.Key]*lease{}, fences: map[registry.Key]uint64{}, sticky: map[registry.Key]bool{},
		owed: map[registry.Key]bool{}, heard: -1, lost: map[string][]time.Duration{}, refusing: refusing,
	}
}

func (m *model) register(in registry.Instance) answer {
	old := m.leases[in.Key]
	if m.diskFull && (old == nil || !m.sameRegistration(in, old)) {
		if refused := m.refuse(in, old); refused != ok {
			return m.unlessDebt(refused)
		}
		return noSpace
	}
	if refused := m.refuse(in, old); refused != ok {
		return refused
	}
	if old == nil {
		in.State = registry.Up
		if m.sticky[in.Key] {
			in.State, in.Sticky = registry.Drained, true
			delete(m.sticky, in.Key)
		}
		m.revision++
		in.Revision = m.revision
		m.leases[in.Key] = &lease{Instance: in}
		m.begin(m.leases[in.Key])
		m.fencesNow(in)
		return created
	}
	was := old.Instance
	changed := !m.sameRegistration(in, old)
	in.State, in.Sticky, in.Revision = was.State, was.Sticky, was.Revision
	if changed || was.State == registry.Suspect {
		m.debt = m.debt || m.diskFull
		m.revision++
		in.Revision = m.revision
		if in.State != registry.Drained {
			in.State = registry.Up
		}
		m.fencesNow(in)
	}
	old.Instance = in
	m.begin(old)
	return ok
}

func (m *model) sameRegistration(in registry.Instance, old *lease) bool {
	in.State, in.Sticky, in.Revision = old.State, old.Sticky, old.Revision
	return sameInstance(in, old.Instance)
}

// refuse returns why in cannot be registered; ok if it can.
func (m *model) refuse(in registry.Instance, old *lease) answer {
	switch {
	case old != nil && in.Incarnation < old.Incarnation, in.Incarnation > 0 && in.Incarnation < m.fences[in.Key]:
		return fenced
	case old == nil && (len(m.leases) >= modelMax || m.size(in.Service) >= modelPerService):
		return full
	}
	return ok
}

// unlessDebt is a, or noSpace while a change is owed to the store: then the registry
// cannot store whether a is right.
func (m *model) unlessDebt(a answer) answer {
	if m.diskFull && m.debt {
		return noSpace
	}
	return a
}

// heal says that there is space again, and that all changes are stored.
func (m *model) heal() {
	m.diskFull, m.debt = false, false
	clear(m.owed)
}

func (m *model) renew(k registry.Key, incarnation uint64) answer {
	l := m.leases[k]
	switch {
	case l == nil || incarnation > l.Incarnation:
		return notFound
	case incarnation > 0 && incarnation < l.Incarnation:
		return fenced
	}
	if l.State == registry.Suspect {
		m.state(l, registry.Up)
	}
	m.begin(l)
	return ok
}

func (m *model) deregister(k registry.Key, incarnation *uint64) answer {
	l := m.leases[k]
	switch {
	case l == nil && m.owed[k]:
		return noSpace
	case l == nil:
		return notFound
	case incarnation != nil && *incarnation < l.Incarnation:
		return fenced
	}
	m.remove(l)
	if m.diskFull {
		return noSpace // although the instance has left the answers
	}
	return ok
}

func (m *model) drain(k registry.Key, sticky bool) answer {
	l := m.leases[k]
	switch {
	case l == nil:
		return m.unlessDebt(notFound)
	case l.State != registry.Drained || l.Sticky != sticky:
		if m.diskFull {
			return noSpace
		}
		l.Sticky = sticky
		m.state(l, registry.Drained)
	}
	return m.unlessDebt(ok)
}

func (m *model) undrain(k registry.Key) answer {
	l := m.leases[k]
	switch {
	case l == nil && m.sticky[k]:
		if m.diskFull {
			return noSpace
		}
		delete(m.sticky, k)
	case l == nil:
		return m.unlessDebt(notFound)
	case l.State == registry.Drained:
		if m.diskFull {
			return noSpace
		}
		l.Sticky = false
		if l.reprieved {
			m.state(l, registry.Suspect)
		} else {
			m.state(l, registry.Up)
		}
	}
	return m.unlessDebt(ok)
}

func (m *model) unfence(k registry.Key) answer {
	switch {
	case m.fences[k] == 0:
		return m.unlessDebt(notFound)
	case m.diskFull:
		return noSpace
	}
	delete(m.fences, k)
	return ok
}

// restart begins every lease again, all at one revision. No instance has renewed yet.
func (m *model) restart(revision uint64) {
	m.now, m.heard, m.revision = 0, -1, revision
	clear(m.lost)
	for _, l := range m.leases {
		l.Revision = revision
		l.deadline, l.reprieved, l.since, l.released = l.Lease, l.State == registry.Suspect, 0, false
		l.trial = l.reprieved && m.size(l.Service) < 3
		if l.Shown() == registry.Up {
			l.State = registry.Unconfirmed
		}
	}
}

func (m *model) begin(l *lease) {
	if l.State == registry.Unconfirmed {
		l.State = registry.Up
	}
	l.deadline, l.reprieved, l.released, l.trial = m.now+l.Lease, false, false, false
	m.heard = m.now
}

func (m *model) state(l *lease, s registry.State) {
	m.debt = m.debt || m.diskFull
	m.revision++
	l.State, l.Revision = s, m.revision
}

func (m *model) remove(l *lease) {
	if m.diskFull {
		m.debt, m.owed[l.Key] = true, true
	}
	m.revision++
	delete(m.leases, l.Key)
	m.fences[l.Key] = max(m.fences[l.Key], l.Incarnation)
	if l.Sticky {
		m.sticky[l.Key] = true
	}
	if m.size(l.Service) == 0 {
		delete(m.lost, l.Service)
	}
}

func (m *model) fencesNow(in registry.Instance) {
	if in.Incarnation >= m.fences[in.Key] && in.Incarnation > 0 {
		delete(m.fences, in.Key)
	}
}

func (m *model) size(service string) (n int) {
	for k := range m.leases {
		if k.Service == service {
			n++
		}
	}
	return n
}

// Tests: suite_test.go.
