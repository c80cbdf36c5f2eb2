package nameserver

import (
	"net/netip"
	"slices"
	"sync"
)

// mostSecondaries bounds the secondaries that are counted by address: zones have a few. An
// allowed prefix may have more; those share one count without an address.
const mostSecondaries = 50

// SecondaryCount is what happened with one secondary. They are counts since Listen.
type SecondaryCount struct {
	Addr netip.Addr // the zero Addr: all secondaries that have none of their own

	AXFR, IXFR      uint64 // transfers sent to it
	TransfersFailed uint64 // broken off
	Notifies        uint64 // NOTIFY that it acknowledged
	NotifyFailures  uint64 // NOTIFY given up
}

// secondaryCounts counts by secondary. Transfers and NOTIFY are rare, so a lock is cheap.
type secondaryCounts struct {
	mu sync.Mutex                     // guards by
	by map[netip.Addr]*SecondaryCount // at most mostSecondaries, and the zero Addr
}

// count lets change count something of the secondary at addr.
func (c *secondaryCounts) count(addr netip.Addr, change func(*SecondaryCount)) {
	addr = addr.Unmap()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[netip.Addr]*SecondaryCount)
	}
	s := c.by[addr]
	if s == nil {
		if len(c.by) >= mostSecondaries {
			addr = netip.Addr{}
		}
		if s = c.by[addr]; s == nil {
			s = &SecondaryCount{Addr: addr}
			c.by[addr] = s
		}
	}
	change(s)
}

// all are the counts, by address.
func (c *secondaryCounts) all() (all []SecondaryCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.by {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b SecondaryCount) int { return a.Addr.Compare(b.Addr) })
	return all
}
