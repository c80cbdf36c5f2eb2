package member

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Writer returns the member that the store says is the writer: itself, if Self is set. It
// returns false if there is none.
func (m *Member) Writer() (Peer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.view.peers) == 0 {
		return Peer{}, false
	}
	return m.view.peers[0], true
}

// Peers returns all members, the writer first, and this one among them.
func (m *Member) Peers() []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.view.peers)
}

// Changed returns a channel that is closed at the next change of Writer, of Peers, or of
// whether the registry of this member leads, and when it has got other content.
func (m *Member) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Known returns the member whose peer listener has a certificate, by its SHA-256 in
// hexadecimal.
func (m *Member) Known(certificate string) (Peer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.view.peers {
		if p.Certificate == certificate && certificate != "" {
			return p, true
		}
	}
	return Peer{}, false
}

// setPeers takes the members as they were at a revision of the store.
func (m *Member) setPeers(peers map[string]Peer, at int64) {
	if t := m.session.now(); t != nil && t.created <= at && peers[t.key].created != t.created {
		t.abandon() // it was deleted while this member was away
	}
	m.peers, m.seen, m.unreached = peers, at, true
	m.hearTestimony()
	for key := range m.reached {
		if _, ok := peers[key]; !ok {
			delete(m.reached, key)
		}
	}
	m.publish()
}

// introduce tells, once, which members are there when this one begins. A wrong prefix is
// seen by that: the others are missing.
func (m *Member) introduce() {
	var others []string
	for _, p := range m.peers {
		switch {
		case p.Name != m.cfg.Name:
			others = append(others, p.Name)
		case p.Address != m.cfg.Address: // else it is the process before this one
			m.warnOfName(p)
		}
	}
	slices.Sort(others)
	if len(others) > mostWitnesses {
		others = append(others[:mostWitnesses], "...")
	}
	m.cfg.Logger.Info("member: has read the store", "prefix", m.cfg.Prefix, "name", m.cfg.Name, "others", strings.Join(others, " "))
}

func (m *Member) warnOfName(p Peer) {
	m.cfg.Logger.Warn("member: another member has the name of this one: give each its own, or operators take one for the other", "name", p.Name, "address", p.Address)
}

// readPeers reads the members alone. It is for a writer whose watch has to begin again.
func (m *Member) readPeers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Session/2)
	defer cancel()
	peers := make(map[string]Peer)
	header, err := m.cfg.Store.Range(ctx, m.keys.members(), 0, func(p kv.Pair) error {
		if p.Lease != 0 {
			peers[p.Key] = readPeer(p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.heard()
	m.headAt = max(m.headAt, m.term.journal.headAt.Load()) // the watch begins after it
	m.known.Store(&known{header.Cluster, header.Revision, m.headAt})
	m.setPeers(peers, header.Revision)
	m.loaded = true
	if m.term.ticket.gone.Load() {
		return m.lose(errors.New("its key in the store is gone"))
	}
	return nil
}

// applyPeers applies what changed of members, and of the settings.
func (m *Member) applyPeers(g group) error {
	if g.meta != nil && !g.meta.Deleted {
		if err := m.applyMeta(g.meta); err != nil {
			return err
		}
	}
	if len(g.peers) == 0 {
		return nil
	}
	own := m.session.now()
	lost := false
	for _, e := range g.peers {
		if !e.Deleted && e.Lease == 0 {
			m.byHandLog.Do(func() {
				m.cfg.Logger.Warn("member: a key of no member is ignored: delete it with etcdctl del", "key", e.Key, "err", errNoLease)
			})
		}
		if e.Deleted || e.Lease == 0 {
			delete(m.peers, e.Key)
			delete(m.reached, e.Key)
			lost = lost || own != nil && e.Key == own.key && e.Modified > own.created
			continue
		}
		p := readPeer(e.Pair)
		old, listed := m.peers[e.Key]
		m.peers[e.Key] = p
		if listed && old.created == p.created {
			continue // it says something else of itself
		}
		m.unreached = true
		if m.isOwn(p) {
			continue
		}
		if p.Name == m.cfg.Name {
			m.warnOfName(p)
		}
		if m.term != nil {
			m.term.keeper.welcome()
		}
	}
	m.hearTestimony()
	m.publish()
	if !lost {
		return nil
	}
	own.abandon()
	if m.term != nil {
		return m.lose(errors.New("its key in the store was deleted"))
	}
	return nil
}

// succeed deletes the key of the process that had the name and the address of this one
// before: it is dead, because this process listens there now. That saves the wait for its
// session.
func (m *Member) succeed(ctx context.Context) {
	for _, p := range m.peers {
		if p.Name == m.cfg.Name && p.Address == m.cfg.Address {
			m.delete(ctx, p, "this process has its name and its address, so the process before has ended")
		}
	}
}

// delete deletes the key of a member that is dead.
func (m *Member) delete(ctx context.Context, p Peer, why string) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	began := time.Now()
	result, err := m.cfg.Store.Txn(ctx, kv.Txn{
		If:   []kv.Compare{{Key: p.Key, Created: true, Is: p.created}},
		Then: []kv.Op{{Key: p.Key, Delete: true}},
	})
	if err != nil || !result.Done {
		m.cfg.Logger.Debug("member: the key of a dead member is left to its session", "name", p.Name, "done", result.Done, "err", err)
		return
	}
	m.cfg.Logger.Warn("member: the key of a dead member is deleted", "name", p.Name, "address", p.Address, "why", why, "took", time.Since(began))
}

// Tests: cluster_test.go, members_test.go.
