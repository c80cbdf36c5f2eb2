package push

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// pushed is what a client of RFC 8765 knows: the records of all its subscriptions.
type pushed struct {
	*client
	records  map[string]bool
	messages int
}

// next reads one message, and applies it if it is a PUSH.
func (c *pushed) next() dso.Message {
	c.t.Helper()
	m := c.read()
	if m.Primary.Type != dso.TypePush {
		return m
	}
	c.messages++
	changes, err := m.Push()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, ch := range changes {
		if ch.Op == dso.Remove {
			delete(c.records, identity(ch.RR))
		} else {
			c.records[identity(ch.RR)] = true
		}
	}
	return m
}

func (c *pushed) subscribe(id uint16, name string, qtype, class uint16) {
	c.t.Helper()
	frame, err := dso.AppendSubscribe(nil, id, dso.Question{Name: name, Type: qtype, Class: class})
	c.send(frameOf(c.t, frame, err))
	for {
		if m := c.next(); m.Response {
			if m.ID != id || m.Rcode != dns.RcodeSuccess || m.Primary.Type != 0 { // RFC 8765 section 6.2.2
				c.t.Fatalf("SUBSCRIBE %s %d: %+v", name, qtype, m)
			}
			return
		}
	}
}

func newPushed(t *testing.T, s *Server) *pushed {
	return &pushed{client: connect(t, s, true), records: map[string]bool{}}
}

// agrees reads until the client knows what the zone has for a question.
func (c *pushed) agrees(w *world, name string, qtype uint16) {
	c.t.Helper()
	want := map[string]bool{}
	for _, rr := range w.zone.View().Set(name, qtype) {
		want[identity(rr)] = true
	}
	of := func() []string {
		var got []string
		for _, r := range sorted(c.records) {
			f := strings.Fields(r)
			if f[0] == name && (qtype == dns.TypeANY || f[3] == dns.TypeToString[qtype]) {
				got = append(got, r)
			}
		}
		return got
	}
	for range 2000 {
		if slices.Equal(of(), sorted(want)) {
			return
		}
		if c.ready() {
			c.next()
		}
	}
	c.t.Fatalf("%s %s: the client knows\n%s\nthe zone has\n%s", name, dns.TypeToString[qtype], strings.Join(of(), "\n"), strings.Join(sorted(want), "\n"))
}

// TestPushesOfEveryKindOfName: what is subscribed to is sent as it is and as it changes.
func TestPushesOfEveryKindOfName(t *testing.T) {
	w := newWorld(t, "svc.")
	w.put("_math._tcp", 1)
	w.put("_math._tcp", 2)
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	questions := []struct {
		name  string
		qtype uint16
	}{
		{"_math._tcp.svc.", dns.TypeSRV},
		{"_math._tcp.svc.", dns.TypePTR},
		{"_math._tcp.svc.", dns.TypeANY},
		{"a1._math._tcp.svc.", dns.TypeANY},
		{"a1._math._tcp.svc.", dns.TypeTXT},
		{"a1.math.tcp.svc.", dns.TypeA},
		{"math.tcp.svc.", dns.TypeA},
		{"math.tcp.svc.", dns.TypeAAAA},
		{"_services._dns-sd._udp.svc.", dns.TypePTR},
		{"svc.", dns.TypeSOA},
		{"svc.", dns.TypeANY},
		{"ns.svc.", dns.TypeA},
		{"nothing.svc.", dns.TypeANY},
	}
	c := newPushed(t, s)
	for i, q := range questions {
		c.subscribe(uint16(i+1), q.name, q.qtype, dns.ClassINET)
	}
	check := func() {
		t.Helper()
		for _, q := range questions {
			c.agrees(w, q.name, q.qtype)
		}
	}
	check()
	w.put("_math._tcp", 3)
	check()
	w.remove("_math._tcp", 1)
	check()
	w.put("_other._udp", 1)
	check()
	w.load("_math._tcp", 5)
	check()
	w.load("_math._tcp", 0)
	check()
}

// TestAChangeIsPushedOnce: if several subscriptions match it (RFC 8765 section 6.3.1).
func TestAChangeIsPushedOnce(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := newPushed(t, s)
	c.subscribe(1, "a1.math.tcp.svc.", dns.TypeA, dns.ClassINET)
	c.subscribe(2, "a1.math.tcp.svc.", dns.TypeA, dns.ClassANY)
	c.subscribe(3, "a1.math.tcp.svc.", dns.TypeANY, dns.ClassANY)
	c.subscribe(4, "a2.math.tcp.svc.", dns.TypeA, dns.ClassINET)
	w.put("_math._tcp", 1)
	w.put("_math._tcp", 2)
	c.agrees(w, "a2.math.tcp.svc.", dns.TypeA)
	c.agrees(w, "a1.math.tcp.svc.", dns.TypeA)
	if c.messages != 2 {
		t.Errorf("%d messages for two changes", c.messages)
	}
	c.send(dso.AppendUnsubscribe(nil, 3))
	c.subscribe(5, "fence.svc.", dns.TypeA, dns.ClassINET)
	w.remove("_math._tcp", 1)
	c.agrees(w, "a1.math.tcp.svc.", dns.TypeA)
	if c.messages != 3 {
		t.Errorf("%d messages for three changes", c.messages)
	}
}

// TestSubscriptionsThatComeAndGoMissNothing: what covered another one goes while changes
// are on their way.
func TestSubscriptionsThatComeAndGoMissNothing(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		c := newPushed(t, s)
		c.subscribe(1, "_math._tcp.svc.", dns.TypeSRV, dns.ClassINET)
		id := uint16(2)
		any := uint16(0)
		for range 200 {
			switch rnd.IntN(5) {
			case 0:
				if any == 0 {
					c.subscribe(id, "_math._tcp.svc.", dns.TypeANY, dns.ClassINET)
					any, id = id, id+1
				} else {
					c.send(dso.AppendUnsubscribe(nil, any))
					any = 0
				}
			case 1:
				if c.ready() {
					c.next()
				}
			case 2:
				w.remove("_math._tcp", rnd.IntN(10))
			default:
				w.put("_math._tcp", rnd.IntN(10))
			}
		}
		c.agrees(w, "_math._tcp.svc.", dns.TypeSRV)
		c.conn.Close()
	}
}

// TestRFC8765NeedsTLS: on a connection that is not private its types are unknown.
func TestRFC8765NeedsTLS(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := connect(t, s, false)
	frame, err := dso.AppendSubscribe(nil, 4, dso.Question{Name: "_a._tcp.svc.", Type: dns.TypeSRV, Class: dns.ClassINET})
	if m := c.request(frameOf(t, frame, err)); m.Rcode != dns.RcodeStatefulTypeNotImplemented {
		t.Errorf("SUBSCRIBE: %+v", m)
	}
	c.follow(5, "_a._tcp.svc.")
	c.send(dso.AppendUnsubscribe(nil, 5))
	c.closed()
}

func TestReconfirmOfARecordThatIsThere(t *testing.T) {
	w := newWorld(t, "svc.")
	w.put("_math._tcp", 7)
	told := make(chan dns.RR, 10)
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}, Reconfirm: func(_ *zone.Zone, rr dns.RR) { told <- rr }})
	c := newPushed(t, s)
	c.subscribe(1, "_math._tcp.svc.", dns.TypeSRV, dns.ClassINET)
	for _, text := range []string{"a7.math.tcp.svc. 0 A 10.0.0.8", "x.elsewhere. 0 A 10.0.0.7", "A7.math.tcp.SVC. 0 A 10.0.0.7"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := dso.AppendReconfirm(nil, rr)
		c.send(frameOf(t, frame, err))
	}
	select {
	case rr := <-told:
		if rr.Header().Name != "a7.math.tcp.svc." || rr.(*dns.A).A.String() != "10.0.0.7" {
			t.Errorf("told of %v", rr)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not told")
	}
	if n := s.Stats().Reconfirmed; n != 1 {
		t.Errorf("reconfirmed: %d", n)
	}
}
