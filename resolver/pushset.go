package resolver

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

const (
	// maxPushRecords bounds the records of a followed set, for each of MaxEndpoints: the set
	// must be known as a whole, also the part of it that is not used, or a removal could not
	// be told from one that was missed.
	maxPushRecords = 32
	// maxPushOctets bounds the octets of these records. A set of 100,000 instances with names
	// of usual length stays below it.
	maxPushOctets = 16 << 20
	// chainPatience is how long the next message of a revision may take until the name is asked
	// for by its TTL again. A server gives a session up that does not read one in that time.
	chainPatience = 10 * time.Second
	// recordOctets is what a record counts, besides its names.
	recordOctets = 32
)

// pushSet is the record set of a followed name, as the SETs of one session have told it. A
// revision that comes in several messages is applied when its last one is there, so no
// reader sees a part of it.
type pushSet struct {
	name string
	most int // records

	mu       sync.Mutex // guards what follows
	srvs     map[srv]uint32
	hosts    map[string]map[netip.Addr]uint32 // the values are TTLs
	records  int
	octets   int
	told     bool // a whole set has come
	revision uint64
	stale    bool

	next pushNext
	// waits is when the last message of next came, in nanoseconds since 1970; 0: there is no
	// next. Readers of other names ask for it, and must not wait for mu.
	waits atomic.Int64
}

// pushNext is the messages of a revision of which the last one has not come.
type pushNext struct {
	begun    bool
	whole    bool
	revision uint64
	changes  []dso.Change
	octets   int
}

var (
	errNoWhole     = errors.New("a change came before the whole set")
	errMixed       = errors.New("messages of another revision came within one revision")
	errForeign     = errors.New("a record of a name that is not followed")
	errNotThere    = errors.New("a record was removed that was not there")
	errSetTooLarge = fmt.Errorf("the set is larger than %d records for each of MaxEndpoints, or than %d MiB", maxPushRecords, maxPushOctets>>20)
)

// add takes a message. It reports whether that was the last one of a revision, which is
// applied then. After an error the set is of no use: the server and this client do not mean
// the same one.
func (s *pushSet) add(m dso.Set) (complete bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &s.next
	switch whole := m.Flags&dso.Whole != 0; {
	case whole: // it replaces what has begun, too
		*n = pushNext{begun: true, whole: true, revision: m.Revision}
	case !n.begun && !s.told:
		return false, errNoWhole
	case !n.begun:
		*n = pushNext{begun: true, revision: m.Revision}
	case n.revision != m.Revision:
		return false, errMixed
	}
	for _, c := range m.Changes {
		n.octets += octetsOf(c)
	}
	n.changes = append(n.changes, m.Changes...)
	if len(n.changes) > 2*s.most || n.octets > 2*maxPushOctets { // each record removed, and another added
		return false, errSetTooLarge
	}
	if m.Flags&dso.More != 0 {
		s.waits.Store(time.Now().UnixNano())
		return false, nil
	}
	if err := s.apply(n); err != nil {
		return false, err
	}
	s.told, s.revision, s.stale = true, n.revision, m.Flags&dso.Stale != 0
	*n = pushNext{}
	s.waits.Store(0)
	return true, nil
}

// late reports whether a revision has begun whose next message does not come. Until then the
// set is not what the server has.
func (s *pushSet) late() bool {
	since := s.waits.Load()
	return since != 0 && time.Now().UnixNano()-since >= int64(chainPatience)
}

func octetsOf(c dso.Change) int {
	n := recordOctets + len(c.Name)
	if s, ok := c.RR.(*dns.SRV); ok {
		n += len(s.Target)
	}
	return n
}

func (s *pushSet) apply(n *pushNext) error {
	if n.whole {
		s.srvs, s.hosts = make(map[srv]uint32, len(n.changes)/2), make(map[string]map[netip.Addr]uint32, len(n.changes)/2)
		s.records, s.octets = 0, 0
	}
	for _, c := range n.changes {
		known, err := s.change(c)
		switch {
		case err != nil:
			return err
		case c.Op == dso.Add && !known:
			s.records++
			s.octets += octetsOf(c)
		case c.Op != dso.Add && !known:
			return fmt.Errorf("%w: %s", errNotThere, c.RR)
		case c.Op != dso.Add:
			s.records--
			s.octets -= octetsOf(c)
		}
		if s.records > s.most || s.octets > maxPushOctets {
			return errSetTooLarge
		}
	}
	return nil
}

// change adds or removes one record. It reports whether that was there before.
func (s *pushSet) change(c dso.Change) (known bool, err error) {
	var addr netip.Addr // not unmapped: an A and an AAAA record must not be one
	switch rr := c.RR.(type) {
	case *dns.SRV:
		if c.Name != s.name {
			return false, fmt.Errorf("%w: %s", errForeign, c.Name)
		}
		key := srv{rr.Priority, rr.Weight, rr.Port, rr.Target}
		if _, known = s.srvs[key]; c.Op == dso.Add {
			s.srvs[key] = rr.Hdr.Ttl
		} else {
			delete(s.srvs, key)
		}
		return known, nil
	case *dns.A:
		addr, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		addr, _ = netip.AddrFromSlice(rr.AAAA)
	}
	of := s.hosts[c.Name]
	_, known = of[addr]
	switch {
	case c.Op == dso.Add:
		if of == nil {
			of = map[netip.Addr]uint32{}
			s.hosts[c.Name] = of
		}
		of[addr] = c.RR.Header().Ttl
	case known:
		if delete(of, addr); len(of) == 0 {
			delete(s.hosts, c.Name)
		}
	}
	return known, nil
}

// reply returns the set as the reply to a question for it, and its revision. The reply of
// an empty set is that of a name that does not exist, as the DNS of the same server gives
// it: for watchers it is no news that the one follows the other.
func (s *pushSet) reply() (*reply, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rep := &reply{
		tcp: true, aa: true, soa: true, exact: true, alias: s.name, ttl: 1<<32 - 1, records: len(s.srvs),
		srvs: make([]srv, 0, len(s.srvs)), glue: make(map[string]host, len(s.hosts)),
	}
	if len(s.srvs) == 0 {
		rep.rcode = dns.RcodeNameError
	}
	for key, ttl := range s.srvs {
		rep.srvs = append(rep.srvs, key)
		rep.ttl = min(rep.ttl, ttl)
	}
	// In the order of the map, an error that lists records would be another one each time.
	slices.SortFunc(rep.srvs, func(a, b srv) int {
		return cmp.Or(cmp.Compare(a.target, b.target), cmp.Compare(a.port, b.port),
			cmp.Compare(a.priority, b.priority), cmp.Compare(a.weight, b.weight))
	})
	for name, addrs := range s.hosts {
		h := host{addrs: make([]netip.Addr, 0, len(addrs)), ttl: 1<<32 - 1}
		for addr, ttl := range addrs {
			h.addrs = append(h.addrs, addr.Unmap())
			h.ttl = min(h.ttl, ttl)
		}
		rep.glue[name] = h
	}
	return rep, s.revision
}
