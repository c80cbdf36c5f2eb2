package member

import (
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// absence is a time without the store that was longer than a session. The content may be
// old until this member has what the store had when it was heard again. Member.hearing
// guards the fields.
type absence struct {
	read     bool          // the fields below are known
	life     registry.Life // of the head, as it was read after the store was heard again
	revision uint64        // that the store had then
}

// heard notes that the store has answered.
func (m *Member) heard() {
	m.hearing.Lock()
	defer m.hearing.Unlock()
	silent := m.silent()
	// Before it has read the store once, it has no content, or is stale until it has read.
	if silent > m.cfg.Session && m.synced.Load() {
		m.absent = &absence{}
	}
	m.answered.Store(int64(time.Since(m.began)))
}

// silent is how long the store has not answered.
func (m *Member) silent() time.Duration {
	return time.Since(m.began) - time.Duration(max(m.answered.Load(), 0))
}

// missing returns the absence after which nothing was read of the store; nil: there is none.
// What is read from now on is from after it.
func (m *Member) missing() *absence {
	m.hearing.Lock()
	defer m.hearing.Unlock()
	if m.absent == nil || m.absent.read {
		return nil
	}
	return m.absent
}

// returned notes what the store had after an absence. Later changes do not count: a store
// that changes all the time would have more than this member for ever.
func (m *Member) returned(a *absence, of registry.Life, revision uint64) {
	m.hearing.Lock()
	defer m.hearing.Unlock()
	*a = absence{true, of, revision}
}

// listen returns how long the store has not answered, and whether this member may not have
// yet what the store had after an absence.
func (m *Member) listen() (silent time.Duration, behind bool) {
	m.hearing.Lock()
	defer m.hearing.Unlock()
	if a := m.absent; a != nil && a.read {
		// The life first: every life begins above the revisions of those before it.
		at := position{life: m.cfg.Registry.Life()}
		at.revision = m.cfg.Registry.Revision()
		if !at.below(a.revision, a.life) {
			m.absent = nil
		}
	}
	return m.silent(), m.absent != nil
}
