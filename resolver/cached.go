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

// family is what is known of a target's addresses of one family. What was answered
// once stays while nobody answers, for the identity of an endpoint must not change
// with each query that is lost.
type family struct {
	addrs    []netip.Addr
	until    time.Time // end of the answer's TTL
	renew    time.Time // a part of it before that, when the set may be asked for, too
	err      error     // of the last query, when it failed
	failures int       // since the last answer
	retry    time.Time // no question before this, after a failure
}

// due tells whether it is time to ask.
func (f *family) due(now time.Time) bool { return !f.renew.After(now) && !f.retry.After(now) }

// cached is what is known of a target.
type cached [families]family

// addrs gives all addresses.
func (h *cached) addrs() []netip.Addr {
	var out []netip.Addr
	for i := range h {
		out = append(out, h[i].addrs...)
	}
	return out
}

// failed gives the error of the last questions, if they failed, and when all of
// them are due again.
func (h *cached) failed() (again time.Time, err error) {
	for i := range h {
		if h[i].err == nil {
			continue
		}
		if err == nil { // always the same one: another would be news
			err = h[i].err
		}
		if h[i].retry.After(again) {
			again = h[i].retry
		}
	}
	return again, err
}

// refused tells whether every server refused to answer for a target, and none was
// silent or broken.
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
