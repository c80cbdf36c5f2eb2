package registry

import (
	"iter"
	"maps"
	"math"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Instance is one registered process. It is immutable once published: the
// registry, sinks, watchers and callers share it by pointer.
type Instance struct {
	Key
	Host        string            // canonical IP literal, or lower-case FQDN with final dot
	Port        uint16            // never 0
	Priority    uint16            // as registered; Published returns the one to publish
	Weight      uint16            // published as registered
	TTL         time.Duration     // of its DNS records: whole seconds, at most Lease/2
	Lease       time.Duration     // how long it stays registered without a renewal
	Meta        map[string]string // nil if empty; must not be changed
	Incarnation uint64            // 0: none was given
	State       State
	Sticky      bool   // the drain lasts when the instance is removed and registers again
	Drain       bool   // the instance itself wants to be left out of the answers, whatever its State
	Revision    uint64 // of its last change

	behind uint16 // the priority to publish for a suspect; 0: it has no rank yet
}

// State says how an instance is published. The zero value is Up.
type State uint8

// The states. If several apply, the last one in this list is reported.
const (
	Up          State = iota // it renews its lease
	Unconfirmed              // Up, and not renewed since all leases began again; only readers see it
	Suspect                  // its lease ended, and the guard gave it a reprieve; published after all others
	Drained                  // an operator took it out of the answers; readers are also told it for an instance that drains itself
)

var stateWords = [...]string{"up", "unconfirmed", "suspect", "drained"}

// String is the word used on the wire.
func (s State) String() string {
	if int(s) < len(stateWords) {
		return stateWords[s]
	}
	return "state(" + strconv.Itoa(int(s)) + ")"
}

const (
	// suspectBehind is at least added to the priority of a suspect. Clients use the lowest
	// priority that they can reach (RFC 2782), so suspects are the last resort.
	suspectBehind = 1000
	// lastLive is the highest priority that is published for an instance that is no
	// suspect. A higher one is published as this, so that there are priorities left for
	// suspects after every live tier.
	lastLive = math.MaxUint16 - 16
)

// Shown returns the state that readers are told.
func (in *Instance) Shown() State {
	if in.Drain {
		return Drained
	}
	return in.State
}

// Published returns the priority to publish, or false if the instance must not be
// published.
func (in *Instance) Published() (priority uint16, ok bool) {
	switch {
	case in.Shown() == Drained:
		return 0, false
	case in.State != Suspect:
		return min(in.Priority, lastLive), true
	case in.behind != 0:
		return in.behind, true
	}
	return uint16(min(int(in.Priority)+suspectBehind, math.MaxUint16)), true
}

// Addr returns Host as an address, or false if it is a name.
func (in *Instance) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(in.Host)
	return a, err == nil
}

// HostPort returns the address to dial.
func (in *Instance) HostPort() string {
	return net.JoinHostPort(in.Host, strconv.Itoa(int(in.Port)))
}

// with returns a copy with another state.
func (in *Instance) with(s State) *Instance {
	c := *in
	c.State, c.behind = s, 0
	return &c
}

// same says whether registering o would not change in: then it is a renewal.
func (in *Instance) same(o *Instance) bool {
	return in.Key == o.Key && in.Host == o.Host && in.Port == o.Port &&
		in.Priority == o.Priority && in.Weight == o.Weight &&
		in.TTL == o.TTL && in.Lease == o.Lease && in.Drain == o.Drain &&
		in.Incarnation == o.Incarnation && maps.Equal(in.Meta, o.Meta)
}

// Change is one step of the history. Old is nil if the instance was added, New if it was
// removed.
type Change struct {
	Revision uint64
	Time     time.Time // of the wall clock, for people and for the age of the history
	Old, New *Instance
	Cause    Cause
}

// Key returns the key of the instance that changed.
func (c *Change) Key() Key {
	if c.New != nil {
		return c.New.Key
	}
	return c.Old.Key
}

// Sink gets all changes in order. The zone is one. The registry waits for each call: it
// must be quick, must not call the registry, and must not keep the slices.
type Sink interface {
	// Load replaces everything: all instances at revision, ordered by key, and the changes
	// before it that are still known, oldest first, one for each revision.
	Load(revision uint64, instances iter.Seq[*Instance], history []Change)
	// Apply gets changes, ordered by revision, before the calls that made them return.
	Apply(changes []Change)
}
