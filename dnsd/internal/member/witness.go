package member

import (
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// testimony is what a member knows of witnesses: of members that have seen a writer of a
// life alive, so that they continue it when they lead. Another begins a new life, which
// costs every watcher a new beginning, and every secondary a transfer of everything.
type testimony struct {
	said     registry.Life   // what the key of this member says
	seen     map[string]life // the life of each other member that was a witness, by its name
	gaveWay  registry.Life   // of the witness that this member let go first
	expected registry.Life   // of a witness that is waited for
	since    time.Time       // when the wait began
}

// mostWitnesses bounds what is remembered of members that are not listed any more.
const mostWitnesses = 64

// testify lets the key of this member say of which life it is a witness.
func (m *Member) testify() {
	if m.said == m.witnessed {
		return
	}
	m.said = m.witnessed
	m.session.say(m.value(life(m.said)))
}

// value is that of the key of this member.
func (m *Member) value(witness life) []byte {
	c := &m.cfg
	return encode(Peer{Name: c.Name, Address: c.Address, Hook: c.Hook, Certificate: c.Certificate, Version: c.Version, Knows: words, Life: witness})
}

// hearTestimony notes what the other members are witnesses of. What a member was is
// forgotten when another process has its name.
func (m *Member) hearTestimony() {
	for _, p := range m.peers {
		_, known := m.testimony.seen[p.Name]
		switch {
		case p.Name == m.cfg.Name:
		case p.Life == 0:
			delete(m.testimony.seen, p.Name)
		case known || len(m.testimony.seen) < mostWitnesses:
			m.testimony.seen[p.Name] = p.Life
		}
	}
}

// givesWay says whether this member, whose key t is the lowest, and that is no witness of
// the life of the store, lets another lead that is one. A witness that is listed is let go
// first, once. One that has lost its key, as all do when they cannot reach the store for
// long, is waited for, for a session.
func (m *Member) givesWay(t *ticket, l registry.Life) bool {
	if m.gaveWay == l {
		return false
	}
	for _, p := range m.peers {
		if p.Key != t.key && registry.Life(p.Life) == l {
			m.gaveWay = l
			m.cfg.Logger.Info("member: another member goes first, which has seen more of the writer before", "name", p.Name)
			t.abandon()
			return true
		}
	}
	for _, of := range m.testimony.seen {
		if registry.Life(of) != l {
			continue
		}
		if m.expected != l {
			m.expected, m.since = l, time.Now()
		}
		return time.Since(m.since) < m.cfg.Session
	}
	return false
}
