package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// start is how etcd's server is started.
type start struct {
	existing bool   // it joins servers that run
	initial  string // the members, as etcd writes them: a=https://10.0.0.1:2380,b=...
}

// word is what one of the other servers says of the cluster, or why it says nothing.
type word struct {
	url     string
	cluster uint64
	members []peerMember
	err     error
}

// plan decides how a server starts: with the data in its directory, which has nothing to
// do with what it is told here; as one of a cluster that begins; or as a new one of a
// cluster that runs. It returns an error where etcd would start something else than what
// is meant, or would not say what is wrong.
func plan(s dnsd.SharedStore, id *identity, words []word) (start, error) {
	own := ownPeer(s)
	heard := slices.DeleteFunc(slices.Clone(words), func(w word) bool { return w.err != nil })
	for _, w := range heard {
		if w.cluster != heard[0].cluster {
			return start{}, fmt.Errorf("the servers at %s and %s are of different clusters: correct the lines peer, or the cluster that is wrong", heard[0].url, w.url)
		}
	}
	if id != nil {
		return start{initial: initial(own, s.Peers, nil)}, planRestart(s, own, id, heard)
	}
	if len(heard) == 0 {
		for _, w := range words {
			if bad := (*badPeer)(nil); errors.As(w.err, &bad) {
				return start{}, fmt.Errorf("whether a cluster runs is not known: %s: %w", w.url, bad)
			}
		}
		return start{initial: initial(own, s.Peers, nil)}, nil
	}
	return planNew(s, own, latest(heard, own))
}

// latest is the server that has heard most of a peer: a change of the members reaches one
// server after the other, and the peer may start before it has reached all. A peer that was
// added has no name until it has started. Where one server lists its ID as started, a server
// that lists it without a name is late: a peer that has voted must not begin again without
// its log.
func latest(heard []word, own dnsd.Peer) word {
	started := func(m peerMember) bool { return m.at(own.URL) && len(m.ClientURLs) > 0 }
	startedAs := func(id uint64) bool {
		return slices.ContainsFunc(heard, func(w word) bool {
			return slices.ContainsFunc(w.members, func(m peerMember) bool { return m.ID == id && started(m) })
		})
	}
	added := func(m peerMember) bool { return m.at(own.URL) && m.Name == "" && !startedAs(m.ID) }
	known := func(m peerMember) bool { return m.at(own.URL) }
	for _, is := range []func(peerMember) bool{added, started, known} {
		for _, w := range heard {
			if slices.ContainsFunc(w.members, is) {
				return w
			}
		}
	}
	return heard[0]
}

// planRestart checks a directory that has data.
func planRestart(s dnsd.SharedStore, own dnsd.Peer, id *identity, heard []word) error {
	me := byID(id.members, id.member)
	for _, w := range heard {
		if w.cluster != id.cluster {
			return fmt.Errorf("%s has the data of another cluster than the one that runs at %s: use the right directory, or an empty one", s.Dir, w.url)
		}
		if now := byID(w.members, id.member); now != nil {
			me = now
		}
	}
	removed := func(w word) bool { return byID(w.members, id.member) == nil }
	switch {
	case len(heard) > 0 && !slices.ContainsFunc(heard, func(w word) bool { return !removed(w) }):
		return fmt.Errorf("the server in %s was removed from the cluster that runs at %s: to let it join again, move %s away and %s", s.Dir, heard[0].url, s.Dir, addIt(own))
	case me == nil:
		return nil
	case me.Name != "" && me.Name != own.Name:
		return fmt.Errorf("%s has the data of peer %s, and this is peer %s: correct the line name, or use another directory", s.Dir, me.Name, own.Name)
	case !me.at(own.URL):
		return fmt.Errorf("the other servers reach peer %s at %s, and not at %s: correct the line peer; or remove %s, move %s away, and %s", own.Name, strings.Join(me.PeerURLs, ", "), own.URL, own.Name, s.Dir, addIt(own))
	}
	return nil
}

// planNew is for a directory without data, while a cluster runs or begins.
func planNew(s dnsd.SharedStore, own dnsd.Peer, w word) (start, error) {
	var me *peerMember
	for i, m := range w.members {
		if m.at(own.URL) {
			me = &w.members[i]
		}
	}
	for _, m := range w.members {
		if m.Name == own.Name && (me == nil || m.ID != me.ID) {
			return start{}, fmt.Errorf("a cluster runs at %s, and its peer %s is at %s, not at %s: correct the line peer, or use another name", w.url, own.Name, strings.Join(m.PeerURLs, ", "), own.URL)
		}
	}
	// Members that have names before they have started are those of a cluster that
	// begins, with the lines peer of another dnsd.
	begins := func(m peerMember) bool { return m.Name != "" && len(m.ClientURLs) == 0 }
	theirs, ours := initial(own, nil, w.members), initial(own, s.Peers, nil)
	other := fmt.Errorf("the server at %s begins a cluster of other peers, %s: write the same lines peer everywhere, and let a dnsd that began with wrong ones begin again with an empty directory", w.url, theirs)
	switch {
	case me == nil && !slices.ContainsFunc(w.members, func(m peerMember) bool { return !begins(m) }):
		return start{}, other
	case me == nil:
		return start{}, fmt.Errorf("a cluster runs at %s, and does not know %s: %s", w.url, own.URL, addIt(own))
	case me.Name != "" && me.Name != own.Name:
		return start{}, fmt.Errorf("a cluster runs at %s, and its peer at %s is %s, not %s: correct the line name", w.url, own.URL, me.Name, own.Name)
	case len(me.ClientURLs) > 0:
		return start{}, fmt.Errorf("a cluster runs at %s, and peer %s was part of it, but %s has no data: if it is lost, remove %s (DELETE /v1/cluster/members/%s at another dnsd), and %s", w.url, own.Name, s.Dir, own.Name, own.Name, addIt(own))
	case me.Name == "":
		return start{existing: true, initial: initial(own, s.Peers, w.members)}, nil
	case theirs != ours:
		return start{}, other
	}
	return start{initial: ours}, nil
}

// addIt says how a server becomes a member.
func addIt(own dnsd.Peer) string {
	return fmt.Sprintf(`add it first: POST /v1/cluster/members {"name":%q,"peer":%q} at another dnsd`, own.Name, own.URL)
}

// ownPeer is the line of this dnsd.
func ownPeer(s dnsd.SharedStore) dnsd.Peer {
	for _, p := range s.Peers {
		if p.Name == s.Name {
			return p
		}
	}
	return dnsd.Peer{}
}

// initial writes a list of members as etcd does: those of a cluster, or, if there are
// none, the peers. A member that has not started has no name yet; it gets that of its
// line, or its id's.
func initial(own dnsd.Peer, peers []dnsd.Peer, members []peerMember) string {
	var all []string
	if members == nil {
		for _, p := range peers {
			all = append(all, p.Name+"="+p.URL)
		}
	}
	for _, m := range members {
		name := m.Name
		for _, p := range append(peers, own) {
			if name == "" && m.at(p.URL) {
				name = p.Name
			}
		}
		if name == "" {
			name = fmt.Sprintf("%x", m.ID)
		}
		for _, u := range m.PeerURLs {
			all = append(all, name+"="+u)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Tests: plan_test.go.
