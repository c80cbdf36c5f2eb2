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
	Priority    uint16            // as registered; see Published
	Weight      uint16            // verbatim
	TTL         time.Duration     // of its DNS records: whole seconds, at most Lease/2
	Lease       time.Duration     // how long it lives without renewal
	Meta        map[string]string // nil when empty; not to be changed
	Incarnation uint64            // 0: none given
	State       State
	Sticky      bool   // drained, also when it registers again after it was gone
	Revision    uint64 // of the change that made it what it is

	behind uint16 // of a suspect: the priority to publish; 0: not ranked
}

// State says how an instance is published. The zero value is Up.
type State uint8

// The states. An instance that is several of them shows the last that applies.
const (
	Up          State = iota // its lease is being renewed
	Unconfirmed              // restored from the backend, not renewed since: published as Up is
	Suspect                  // its lease ended, the guard holds it: published behind all others
	Drained                  // out of the answers by an operator's wish
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
	// suspectBehind is what a suspect stands behind its own priority at least: RFC
	// 2782 clients use the lowest priority they can reach, so suspects are the last
	// resort.
	suspectBehind = 1000
	// lastLive is the highest priority published of who is not a suspect. What is
	// registered above is published as this, so that there are priorities behind
	// every live tier.
	lastLive = math.MaxUint16 - 16
)

// Published returns the priority to publish, or false for an instance that is
// not to be published at all.
func (in *Instance) Published() (priority uint16, ok bool) {
	switch {
	case in.State == Drained:
		return 0, false
	case in.State != Suspect:
		return min(in.Priority, lastLive), true
	case in.behind != 0:
		return in.behind, true
	}
	return uint16(min(int(in.Priority)+suspectBehind, math.MaxUint16)), true
}

// Addr returns Host as an address; false: Host is a name.
func (in *Instance) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(in.Host)
	return a, err == nil
}

// HostPort is what to dial.
func (in *Instance) HostPort() string {
	return net.JoinHostPort(in.Host, strconv.Itoa(int(in.Port)))
}

// with returns a copy in another state.
func (in *Instance) with(s State) *Instance {
	c := *in
	c.State, c.behind = s, 0
	return &c
}

// same says whether o registers what in already is: then it is a renewal.
func (in *Instance) same(o *Instance) bool {
	return in.Key == o.Key && in.Host == o.Host && in.Port == o.Port &&
		in.Priority == o.Priority && in.Weight == o.Weight &&
		in.TTL == o.TTL && in.Lease == o.Lease &&
		in.Incarnation == o.Incarnation && maps.Equal(in.Meta, o.Meta)
}

// Change is one step of the history: nil Old: added; nil New: removed. Old may
// be a later pointer than the New of the change before (Unconfirmed became Up),
// so compare keys and contents, not pointers.
type Change struct {
	Revision uint64
	Time     time.Time // of the wall clock, for people and for bounding the history by age
	Old, New *Instance
}

// Key of the instance that changed.
func (c *Change) Key() Key {
	if c.New != nil {
		return c.New.Key
	}
	return c.Old.Key
}

// Sink is told of all changes in order, like a zone. It is called in the
// registry's order: it must be quick, must not call back, and must not keep
// the slices.
type Sink interface {
	// Load replaces everything: all instances, ordered by key, as they are at
	// revision, and the changes that led there, as far back as they are kept,
	// oldest first, one for each revision.
	Load(revision uint64, instances iter.Seq[*Instance], history []Change)
	// Apply is given changes in order of revision, each one higher than the
	// last, before the call that made them returns.
	Apply(changes []Change)
}
