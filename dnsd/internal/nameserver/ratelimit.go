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
	// maxRate is what the counter in a slot can hold.
	maxRate = 1 << 15
)

// answerClass is what is counted apart for each prefix, so that a flood of
// random names does not silence the names that exist.
type answerClass uint8

const (
	classAnswer answerClass = iota
	classNegative
	classError
)

// limiter counts answers for each address prefix. A slot is one word (upper
// half of the key's hash, the second, the count), so that any number of
// loops share the table without a lock.
type limiter struct {
	limit RateLimit
	key   sipKey // unknown outside: nobody can choose two prefixes for one slot
	slots []atomic.Uint64
}

func newLimiter(limit RateLimit, key sipKey) *limiter {
	if limit.PerSecond == 0 {
		return nil
	}
	return &limiter{limit: limit, key: key, slots: make([]atomic.Uint64, limiterSlots)}
}

// limiterVerdict is what to do with one answer.
type limiterVerdict uint8

const (
	limitPass limiterVerdict = iota
	limitSlip                // answer with TC and nothing else
	limitDrop
)

// take counts one answer of class to client in second now.
func (l *limiter) take(client netip.Addr, class answerClass, now uint32) limiterVerdict {
	var in [18]byte
	n := 0
	if client.Is4() {
		a := client.As4()
		v := binary.BigEndian.Uint32(a[:]) &^ (1<<(32-l.limit.IPv4) - 1)
		binary.BigEndian.PutUint32(in[:], v)
		n = 4
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
	h := l.key.sum(in[:n+1])
	slot := &l.slots[h%limiterSlots]
	tag := h &^ (1<<32 - 1) // 32 bits
	second := uint64(uint16(now)) << 16

	for {
		old := slot.Load()
		count := uint64(1)
		if old&^0xFFFF == tag|second {
			if count = old&0xFFFF + 1; count > 0xFFFF {
				return limitDrop // saturated until the next second
			}
		}
		if !slot.CompareAndSwap(old, tag|second|count) {
			continue
		}
		over := int(count) - l.limit.PerSecond
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
