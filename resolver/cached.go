package resolver

import (
	"errors"
	"net/netip"
	"time"
)

// The address families, as indices.
const (
	v4 = iota
	v6
	families
)

var familyTypes = [families]qtype{typeA, typeAAAA}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return v4
	}
	return v6
}

// family is the known addresses of a target, of one family. They stay while no server
// answers, because the identity of an endpoint must not change with each query that is
// lost.
type family struct {
	addrs    []netip.Addr
	until    time.Time // when the TTL of the answer ends
	renew    time.Time // some time before until: from then on it may be asked for again
	err      error     // the error of the last query, if it failed
	failures int       // since the last answer
	retry    time.Time // after a failure: it is not asked for before this
}

// due reports whether it is time to ask.
func (f *family) due(now time.Time) bool { return !f.renew.After(now) && !f.retry.After(now) }

// cached is what is known of a target.
type cached [families]family

// addrs returns the addresses of both families.
func (h *cached) addrs() []netip.Addr {
	var out []netip.Addr
	for i := range h {
		out = append(out, h[i].addrs...)
	}
	return out
}

// failed returns the error of the last queries, if they failed, and the time when all of
// them may be sent again.
func (h *cached) failed() (again time.Time, err error) {
	for i := range h {
		if h[i].err == nil {
			continue
		}
		if err == nil { // always that of the first family: another error would be news
			err = h[i].err
		}
		if h[i].retry.After(again) {
			again = h[i].retry
		}
	}
	return again, err
}

// refused reports whether every server refused to answer for the target, so that none was
// silent or failed.
func (h *cached) refused() bool {
	some := false
	for i := range h {
		if h[i].err == nil {
			continue
		}
		if !allRefused(h[i].err) {
			return false
		}
		some = true
	}
	return some
}

func allRefused(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	var several tries
	if !errors.As(e.Err, &several) {
		several = tries{e}
	}
	for _, e := range several {
		if e.Err != errRefused {
			return false
		}
	}
	return true
}

// Tests: assembly_test.go, hosts_test.go.
