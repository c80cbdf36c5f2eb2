package nameserver

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

const (
	// limiterSlots bounds the table's memory to 512 KiB. Prefixes that share a
	// slot take it from each other: an attacker with 65,536 prefixes may pass, but
	// the table never grows and never blocks.
	limiterSlots = 1 << 16
	// maxRate times variety is the most that the counter in a slot can hold.
	maxRate = 1_000_000
	// A slot holds the upper bits of the hash, then the second, then the count.
	secondBits, countBits = 16, 24
	// A prefix is what one attacker or one victim has: the smallest network that is
	// announced over IPv4, and what one customer gets over IPv6.
	prefix4, prefix6 = 24, 56
	// variety is how many times as many positive answers a prefix gets in all as equal
	// ones: an attacker can ask for everything in turn.
	variety = 16
	// defaultRate is enough for a resolver with many clients, and for a network whose
	// machines all start at once, and next to nothing for a victim.
	defaultRate = 200
)

// answerClass is what is counted separately for each prefix, so that a flood of random
// names does not stop the answers for names that exist.
type answerClass uint8

const (
	classAnswer   answerClass = iota // each question separately
	classNegative                    // those of a zone together: random names have nothing else in common
	classError                       // all together
	classAll                         // the positive ones of all questions
)

// limiter counts answers for each address prefix. A slot is one word, so that any
// number of loops share the table without a lock.
type limiter struct {
	limit RateLimit
	// key makes the slots of prefixes unknown outside. SipHash is here for the cookies
	// anyway; hash/maphash takes 7 ns in place of 30 for a limited client, but has no
	// fixed seed, and tests that count exactly need one.
	key   sipKey
	slots []atomic.Uint64
}

func newLimiter(limit RateLimit, key sipKey) *limiter {
	if limit.PerSecond < 0 {
		return nil
	}
	return &limiter{limit: limit, key: key, slots: make([]atomic.Uint64, limiterSlots)}
}

// free tells whether a client is not limited at all. The default limit protects the
// Internet: answers to a private network reach no victim there.
func (l *limiter) free(client netip.Addr) bool {
	if client.IsLoopback() {
		return true
	}
	return l.limit.byDefault && (client.IsPrivate() || client.IsLinkLocalUnicast() || sharedSpace.Contains(client))
}

// sharedSpace is the address space of carriers' own networks (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// take counts one answer to client in second now: its class, and within that what it
// says. A positive answer counts for classAll, too. false means that the client has had
// its share.
func (l *limiter) take(client netip.Addr, class answerClass, what []byte, now uint32) bool {
	// The prefix, the class, and what the answer says: a type and a name at most.
	var in [16 + 1 + 2 + 255]byte
	n := 4
	if client.Is4() {
		a := client.As4()
		binary.BigEndian.PutUint32(in[:], binary.BigEndian.Uint32(a[:])&^(1<<(32-prefix4)-1))
	} else {
		a := client.As16()
		binary.BigEndian.PutUint64(in[:], binary.BigEndian.Uint64(a[:8])&^(1<<(64-prefix6)-1))
		n = 8
	}
	in[n] = byte(class)
	ok := l.count(l.key.sum(in[:n+1+copy(in[n+1:], what)]), l.limit.PerSecond, now)
	if class == classAnswer && ok {
		in[n] = byte(classAll)
		return l.count(l.key.sum(in[:n+1]), variety*l.limit.PerSecond, now)
	}
	return ok
}

// count counts one more answer for a hash in a second. false means that there were
// already so many.
func (l *limiter) count(h uint64, perSecond int, now uint32) bool {
	slot := &l.slots[h%limiterSlots]
	const most = 1<<countBits - 1
	key := h&^(1<<(secondBits+countBits)-1) | uint64(now&(1<<secondBits-1))<<countBits
	for {
		old := slot.Load()
		count := uint64(1)
		if old&^most == key {
			count = min(old&most+1, most)
		}
		if slot.CompareAndSwap(old, key|count) {
			return int(count) <= perSecond
		}
	}
}
