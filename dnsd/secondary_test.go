package dnsd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// secondary is a secondary server of svc.: it transfers the zone when a serial is newer
// than its own (RFC 1034 section 4.3.5), by differences where it gets them (RFC 1995).
type secondary struct {
	soa     *dns.SOA // nil: it has no zone yet
	records map[string]bool
	whole   int // how often it got the whole zone
}

// refresh brings the secondary up to date with s. It says whether it transferred.
func (c *secondary) refresh(t *testing.T, s *Server) bool {
	t.Helper()
	if c.soa != nil && int32(serialOf(t, s)-c.soa.Serial) <= 0 {
		return false
	}
	all := c.transfer(t, s)
	last, ok := all[0].(*dns.SOA)
	if !ok {
		t.Fatalf("a transfer begins with %v", all[0])
	}
	_, differences := all[min(1, len(all)-1)].(*dns.SOA)
	if !differences {
		c.records = map[string]bool{}
		c.whole++
	}
	adding := true // after an even number of SOA records
	for _, rr := range all[1 : len(all)-1] {
		_, isSOA := rr.(*dns.SOA)
		switch text := rr.String(); {
		case isSOA:
			adding = !adding
		case adding == c.records[text] && differences:
			t.Errorf("a difference from %d to %d: %s, and it is there: %t", c.soa.Serial, last.Serial, text, c.records[text])
		case adding:
			c.records[text] = true
		default:
			delete(c.records, text)
		}
	}
	c.soa = last
	return true
}

// transfer asks for a difference, or for the zone, and returns all records of the answer.
func (c *secondary) transfer(t *testing.T, s *Server) (all []dns.RR) {
	t.Helper()
	conn, err := dns.Dial("tcp", s.DNSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q := new(dns.Msg).SetAxfr("svc.")
	if c.soa != nil {
		q.SetIxfr("svc.", c.soa.Serial, "ns.svc.", "hostmaster.svc.")
	}
	if err := conn.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	newest := 0 // SOA records of the new serial: a difference has three, the whole zone two
	for {
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		m, err := conn.ReadMsg()
		if err != nil || m.Rcode != dns.RcodeSuccess {
			t.Fatalf("after %d records: %v, %v", len(all), m, err)
		}
		all = append(all, m.Answer...)
		for _, rr := range m.Answer {
			if soa, ok := rr.(*dns.SOA); ok && soa.Serial == all[0].(*dns.SOA).Serial {
				newest++
			}
		}
		want := 2
		if _, ok := all[min(1, len(all)-1)].(*dns.SOA); ok {
			want = 3
		}
		if newest == want {
			return all
		}
	}
}

// check compares the zone with that of s, which must have the same serial.
func (c *secondary) check(t *testing.T, s *Server) {
	t.Helper()
	fresh := &secondary{}
	fresh.refresh(t, s)
	if got, want := c.text(), fresh.text(); got != want {
		t.Errorf("a secondary has\n%s\nand the zone is\n%s", got, want)
	}
}

func (c *secondary) text() string {
	all := []string{fmt.Sprint(c.soa)}
	for text := range c.records {
		all = append(all, text)
	}
	slices.Sort(all[1:])
	return strings.Join(all, "\n")
}

// TestReloadAmongChanges: whatever is registered while a reload is under way, a secondary
// that transferred the zone with the old name servers gets the new ones, at once: their
// serial is none that it has.
func TestReloadAmongChanges(t *testing.T) {
	for name, setup := range map[string]func(*testing.T) (*Server, func(*Zone), Stores){
		"alone": func(t *testing.T) (*Server, func(*Zone), Stores) {
			return begin(t, Config{Zones: []Zone{alone(Store{})}}).Server, func(z *Zone) { z.Store = Store{} }, nil
		},
		"writer": func(t *testing.T) (*Server, func(*Zone), Stores) {
			stores := newInMemory()
			w, _ := writer(t, three(t, stores)...)
			return w.Server, func(z *Zone) { z.Store.Shared.Name = w.blocks[0].cfg.Store.Shared.Name }, stores
		},
		"follower": func(t *testing.T) (*Server, func(*Zone), Stores) {
			stores := newInMemory()
			_, others := writer(t, three(t, stores)...)
			return others[0].Server, func(z *Zone) { z.Store.Shared.Name = others[0].blocks[0].cfg.Store.Shared.Name }, stores
		},
	} {
		for changes := range 3 {
			t.Run(fmt.Sprint(name, " ", changes), func(t *testing.T) {
				s, edit, stores := setup(t)
				n := 0
				change := func() {
					n++
					put(t, s, "a1", fmt.Sprintf(`{"port":%d,"lease":"1h"}`, 1000+n))
				}
				for range 40 { // enough, or a difference is longer than the zone
					n++
					put(t, s, fmt.Sprint("b", n), `{"port":8080,"lease":"1h"}`)
				}
				change()
				z := oneOf("")
				edit(&z)
				z.Apex.NS = []NameServer{{Name: "ns1.svc.", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.53")}}}
				w, err := Config{Zones: []Zone{z}, Stores: stores}.checked()
				if err != nil {
					t.Fatal(err)
				}
				var known []*secondary // of each serial with the old name servers
				note := func() {
					c := &secondary{}
					c.refresh(t, s)
					known = append(known, c)
				}
				note()
				s.mu.Lock()
				p, err := s.prepare(w)
				s.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
				for range changes {
					change()
					note()
				}
				s.mu.Lock()
				err = s.commit(p)
				s.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					for _, c := range known {
						c.refresh(t, s)
						c.check(t, s)
					}
					change()
				}
			})
		}
	}
}

// TestSecondaryOfSeveral: while all dnsd are reloaded one after the other, a secondary may
// ask any of them. When all are reloaded, it has what they have.
func TestSecondaryOfSeveral(t *testing.T) {
	stores := newInMemory()
	all := three(t, stores)
	for i := range 40 {
		put(t, all[0].Server, fmt.Sprint("b", i), `{"port":8080,"lease":"1h"}`)
	}
	for first := range all {
		for second := range all {
			for i, name := range []string{"a", "b", "c"} {
				var known []*secondary
				for range 2 {
					await(t, all...)
					c := &secondary{}
					c.refresh(t, all[first].Server)
					known = append(known, c)
				}
				z := oneOf(name)
				z.Apex.NS = []NameServer{{Name: "ns1.svc.", Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(first), byte(second)})}}}
				if err := all[i].Reload(Config{Zones: []Zone{z}, Stores: stores}); err != nil {
					t.Fatal(err)
				}
				put(t, all[i].Server, "a1", fmt.Sprintf(`{"port":%d,"lease":"1h"}`, 1000+100*first+10*second+i))
				await(t, all...)
				for _, c := range known {
					c.refresh(t, all[second].Server)
					c.check(t, all[second].Server)
				}
			}
		}
	}
}
