package nameserver

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

const (
	// limiterSlots bounds the table's memory to 512 KiB. Prefixes that share a
	// slot take it from each other: a table that forgets may let an attacker
	// with 65,536 prefixes pass, but it never grows and never blocks.
	limiterSlots = 1 << 16
	// maxRate is what the counter in a slot can hold, variety times.
	maxRate = 1_000_000
	// A slot: the hash's upper bits, the second, the count.
	secondBits, countBits = 16, 24
)

// answerClass is what is counted apart for each prefix, so that a flood of
// random names does not silence the names that exist.
type answerClass uint8

const (
	classAnswer   answerClass = iota // each question for itself
	classNegative                    // those of a zone together: random names have nothing else in common
	classError                       // all together
	classAll                         // the positive ones of all questions
)

// variety is how many times as much as one answer a prefix gets of all: who may
// forge a source can ask for everything in turn.
const variety = 16

// defaultRate leaves a resolver for many, and a network that comes back at once,
// what they need, and a victim next to nothing.
const defaultRate = 200

// limiter counts answers for each address prefix. A slot is one word, so that
// any number of loops share the table without a lock.
type limiter struct {
	limit RateLimit
	key   sipKey // unknown outside: nobody can choose two prefixes for one slot
	slots []atomic.Uint64
}

func newLimiter(limit RateLimit, key sipKey) *limiter {
	if limit.PerSecond < 0 {
		return nil
	}
	return &limiter{limit: limit, key: key, slots: make([]atomic.Uint64, limiterSlots)}
}

// free tells whether a client is not limited at all. A limit that nobody has set
// is for the Internet: in a network of one's own nobody outside is a victim.
func (l *limiter) free(client netip.Addr) bool {
	if client.IsLoopback() {
		return true
	}
	return l.limit.byDefault && (client.IsPrivate() || client.IsLinkLocalUnicast() || sharedSpace.Contains(client))
}

// sharedSpace is that of carriers' own networks (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// limiterVerdict is what to do with one answer.
type limiterVerdict uint8

const (
	limitPass limiterVerdict = iota
	limitSlip                // answer with TC and nothing else
	limitDrop
)

// take counts one answer to client in second now: of a class, and in it of what
// is said. A positive answer counts among all, too.
func (l *limiter) take(client netip.Addr, class answerClass, what []byte, now uint32) limiterVerdict {
	// The prefix, the class, and what is said: a type and a name at most.
	var in [16 + 1 + 2 + 255]byte
	n := 4
	if client.Is4() {
		a := client.As4()
		v := binary.BigEndian.Uint32(a[:]) &^ (1<<(32-l.limit.IPv4) - 1)
		binary.BigEndian.PutUint32(in[:], v)
	} else {
		a := client.As16()
		hi, lo := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
		if l.limit.IPv6 <= 64 {
			hi, lo = hi&^(1<<(64-l.limit.IPv6)-1), 0
		} else {
			lo &^= 1<<(128-l.limit.IPv6) - 1
		}
		binary.BigEndian.PutUint64(in[:], hi)
		binary.BigEndian.PutUint64(in[8:], lo)
		n = 16
	}
	in[n] = byte(class)
	verdict := l.count(l.key.sum(in[:n+1+copy(in[n+1:], what)]), l.limit.PerSecond, now)
	if class == classAnswer && verdict == limitPass {
		in[n] = byte(classAll)
		return l.count(l.key.sum(in[:n+1]), variety*l.limit.PerSecond, now)
	}
	return verdict
}

// count counts one more of what has a hash, of which so many are free.
func (l *limiter) count(h uint64, perSecond int, now uint32) limiterVerdict {
	slot := &l.slots[h%limiterSlots]
	const most = 1<<countBits - 1
	key := h&^(1<<(secondBits+countBits)-1) | uint64(now&(1<<secondBits-1))<<countBits
	for {
		old := slot.Load()
		count := uint64(1)
		if old&^most == key {
			count = min(old&most+1, most)
		}
		if !slot.CompareAndSwap(old, key|count) {
			continue
		}
		over := int(count) - perSecond
		switch {
		case over <= 0:
			return limitPass
		case l.limit.Slip > 0 && over%l.limit.Slip == 0:
			return limitSlip
		default:
			return limitDrop
		}
	}
}
