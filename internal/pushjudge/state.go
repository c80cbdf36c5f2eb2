package pushjudge

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// subscription is what a client knows by one SUBSCRIBE or FOLLOW.
type subscription struct {
	dns.Question
	follow   bool
	active   bool              // it was accepted
	records  map[string]uint32 // TTLs, by record without TTL
	revision uint64
	stale    bool
	begun    bool // it had a first SET
	more     bool // the last SET had the flag More
	removing bool // a removal was among the changes of this revision
	whole    bool // the changes of this revision are a whole set
}

func (s *subscription) matches(h *dns.RR_Header) bool {
	return s.active && !s.follow && strings.EqualFold(h.Name, s.Name) &&
		(s.Qtype == dns.TypeANY || s.Qtype == h.Rrtype || h.Ttl == RemoveSet) &&
		(s.Qclass == dns.ClassANY || s.Qclass == h.Class || h.Ttl == RemoveSet)
}

// identity is a record without its TTL, with its names in lower case.
func identity(rr dns.RR) string {
	rr = dns.Copy(rr)
	h := rr.Header()
	h.Ttl, h.Name = 0, dns.CanonicalName(h.Name)
	if srv, ok := rr.(*dns.SRV); ok {
		srv.Target = dns.CanonicalName(srv.Target)
	}
	return rr.String()
}

// apply applies one change of a PUSH: RFC 8765 section 6.3.1. To repeat a change is not
// forbidden there.
func (s *subscription) apply(rr dns.RR) error {
	h := rr.Header()
	switch {
	case h.Ttl == Remove:
		delete(s.records, identity(rr))
	case h.Ttl == RemoveSet:
		if h.Rdlength != 0 {
			return fmt.Errorf("RFC 8765 section 6.3.1: a record set is removed with RDATA: %s", rr)
		}
		for key := range s.records {
			is, err := dns.NewRR(key)
			if err != nil {
				return err
			}
			if h.Class == dns.ClassANY || h.Class == is.Header().Class && (h.Rrtype == dns.TypeANY || h.Rrtype == is.Header().Rrtype) {
				delete(s.records, key)
			}
		}
	case h.Ttl <= 1<<31-1:
		s.records[identity(rr)] = h.Ttl
	}
	return nil
}

// set applies a SET, by the rules of docs/dns-names.md. Here every change must be one.
func (s *subscription) set(m Message) error {
	data := m.TLVs[0].Data
	if len(data) < 11 {
		return fmt.Errorf("SET: %d octets of data", len(data))
	}
	flags, revision := data[2], binary.BigEndian.Uint64(data[3:])
	rrs, err := m.records(11)
	if err != nil {
		return err
	}
	switch {
	case flags&^(Whole|More|Stale) != 0:
		return fmt.Errorf("SET: unknown flags: %x", flags)
	case !s.begun && flags&Whole == 0:
		return fmt.Errorf("SET: the first is not WHOLE")
	case s.more && flags&Whole != 0:
		return fmt.Errorf("SET: WHOLE within revision %d", revision)
	case s.more && revision != s.revision:
		return fmt.Errorf("SET: revision %d after MORE of %d", revision, s.revision)
	case s.begun && flags&Whole == 0 && revision < s.revision:
		return fmt.Errorf("SET: revision %d after %d", revision, s.revision)
	case s.begun && flags&Whole == 0 && revision == s.revision && !s.more && len(rrs) > 0:
		return fmt.Errorf("SET: revision %d has changes twice", revision)
	}
	if !s.more {
		s.removing, s.whole = false, flags&Whole != 0
	}
	if flags&Whole != 0 {
		clear(s.records)
	}
	s.begun, s.revision, s.more, s.stale = true, revision, flags&More != 0, flags&Stale != 0
	for _, rr := range rrs {
		if err := s.change(rr); err != nil {
			return err
		}
	}
	if s.more {
		return nil
	}
	return s.complete()
}

// change applies a record of a SET.
func (s *subscription) change(rr dns.RR) error {
	h, key := rr.Header(), identity(rr)
	ttl, there := s.records[key]
	switch {
	case h.Class != dns.ClassINET || h.Rrtype != dns.TypeSRV && h.Rrtype != dns.TypeA && h.Rrtype != dns.TypeAAAA:
		return fmt.Errorf("SET: has %s", rr)
	case h.Rrtype == dns.TypeSRV && !strings.EqualFold(h.Name, s.Name):
		return fmt.Errorf("SET: of %s has %s", s.Name, rr)
	case h.Ttl == Remove && s.whole:
		return fmt.Errorf("SET: a whole set removes %s", rr)
	case h.Ttl == Remove && !there:
		return fmt.Errorf("SET: removes what is not there: %s", rr)
	case h.Ttl == Remove:
		s.removing = true
		delete(s.records, key)
	case h.Ttl > 1<<31-1:
		return fmt.Errorf("SET: TTL %d of %s", h.Ttl, rr)
	case there && h.Ttl == ttl:
		return fmt.Errorf("SET: adds what is there: %s", rr)
	case s.removing:
		return fmt.Errorf("SET: adds after it has removed: %s", rr)
	default:
		s.records[key] = h.Ttl
	}
	return nil
}

// complete checks the records of a whole revision: an address is that of a target.
func (s *subscription) complete() error {
	targets := make(map[string]bool)
	ttls := make(map[uint32]bool)
	for key, ttl := range s.records {
		if rr, err := dns.NewRR(key); err != nil {
			return err
		} else if srv, ok := rr.(*dns.SRV); ok {
			targets[srv.Target] = true
			ttls[ttl] = true
		}
	}
	if len(ttls) > 1 {
		return fmt.Errorf("RFC 2181 section 5.2: the SRV set of %s has %d TTLs at revision %d", s.Name, len(ttls), s.revision)
	}
	for key := range s.records {
		if owner, _, _ := strings.Cut(key, "\t"); !strings.Contains(key, "\tSRV\t") && !targets[owner] {
			return fmt.Errorf("SET: at revision %d %q is the address of no target", s.revision, key)
		}
	}
	return nil
}

// lines returns the records in presentation form, sorted.
func (s *subscription) lines() []string {
	lines := []string{}
	for key, ttl := range s.records {
		rr, err := dns.NewRR(key)
		if err != nil {
			panic("pushjudge: " + err.Error())
		}
		rr.Header().Ttl = ttl
		lines = append(lines, rr.String())
	}
	slices.Sort(lines)
	return lines
}

// Tests: session_test.go.
