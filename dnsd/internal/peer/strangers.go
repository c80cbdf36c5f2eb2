package peer

import (
	"net/netip"
	"time"
)

const (
	// handshakeBurst is how many handshakes from one address may be under way or have
	// failed lately. A member opens fewer connections at once, and does not fail.
	handshakeBurst = 16
	// handshakeRefill is how long one failed handshake counts. A handshake costs a fraction
	// of a millisecond of computing, so an address costs no more than that in a second.
	handshakeRefill = time.Second
	// mostStrangers bounds the addresses that are remembered.
	mostStrangers = 4096
)

// strangers bounds the handshakes that fail, for each address. It is not safe for
// concurrent use.
type strangers struct {
	by map[netip.Addr]*stranger
}

// stranger is a bucket of tokens: each handshake takes one, and a member gets it back.
type stranger struct {
	used float64
	at   time.Time // of used
}

// enter says whether a handshake from addr may begin now.
func (s *strangers) enter(addr netip.Addr, now time.Time) bool {
	one := s.by[addr]
	if one == nil {
		if s.by == nil {
			s.by = make(map[netip.Addr]*stranger)
		}
		for other := range s.by {
			if len(s.by) < mostStrangers {
				break
			}
			delete(s.by, other) // which one, no sender can choose
		}
		one = &stranger{at: now}
		s.by[addr] = one
	}
	one.used = max(0, one.used-now.Sub(one.at).Seconds()/handshakeRefill.Seconds())
	one.at = now
	if one.used+1 > handshakeBurst {
		return false
	}
	one.used++
	return true
}

// member gives the token of a handshake back, because it succeeded.
func (s *strangers) member(addr netip.Addr) {
	if one := s.by[addr]; one != nil {
		one.used = max(0, one.used-1)
	}
}

// Tests: door_test.go.
