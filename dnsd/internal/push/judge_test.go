package push

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/pushjudge"
)

// judged opens a session of the second implementation of the protocol.
func judged(t *testing.T, s *Server, private bool) *pushjudge.Client {
	t.Helper()
	conn := connect(t, s, private).conn
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return pushjudge.NewClient(conn)
}

// TestAnotherImplementationUnderstandsTheServer: at the end of random changes it knows
// what the zone says, by FOLLOW and by SUBSCRIBE to each kind of name, and the server did
// nothing on the way that the RFCs or docs/dns-names.md do not allow.
func TestAnotherImplementationUnderstandsTheServer(t *testing.T) {
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := judged(t, s, true)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rcode, err := c.KeepAlive(time.Hour, time.Hour)
	check(err)
	if rcode != 0 {
		t.Fatalf("KeepAlive: rcode %d", rcode)
	}
	const name = "_math._tcp.svc."
	id, m, err := c.Follow(name)
	check(err)
	if m.Rcode != 0 {
		t.Fatalf("FOLLOW: rcode %d", m.Rcode)
	}
	subs := make(map[uint16]dns.Question)
	for _, q := range []dns.Question{
		{Name: name, Qtype: dns.TypeSRV, Qclass: dns.ClassINET},
		{Name: "_MATH._tcp.svc.", Qtype: dns.TypePTR, Qclass: dns.ClassINET},
		{Name: "a1._math._tcp.svc.", Qtype: dns.TypeANY, Qclass: dns.ClassANY},
		{Name: "math.tcp.svc.", Qtype: dns.TypeA, Qclass: dns.ClassINET},
		{Name: "svc.", Qtype: dns.TypeSOA, Qclass: dns.ClassINET},
		{Name: "_services._dns-sd._udp.svc.", Qtype: dns.TypePTR, Qclass: dns.ClassINET},
	} {
		sub, m, err := c.Subscribe(q.Name, q.Qtype, q.Qclass)
		check(err)
		if m.Rcode != 0 {
			t.Fatalf("SUBSCRIBE to %v: rcode %d", q, m.Rcode)
		}
		subs[sub] = q
	}
	knows := func() bool {
		if revision, whole, _ := c.Revision(id); !whole || revision < w.rev {
			return false
		}
		v := w.zone.View()
		for sub, q := range subs {
			if !slices.Equal(c.Records(sub), lines(v.Set(q.Name, q.Qtype))) {
				return false
			}
		}
		return slices.Equal(c.Records(id), lines(v.Followed(name)))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		n := rnd.IntN(8)
		switch rnd.IntN(4) {
		case 0:
			w.remove("_math._tcp", n)
		case 1:
			in := instance("_math._tcp", n)
			in.TTL = time.Duration(4+rnd.IntN(2)) * time.Second
			w.change(in.Key, in)
		case 2:
			w.put("_other._tcp", n)
		default:
			in := instance("_math._tcp", n)
			in.Weight, in.Host = uint16(rnd.IntN(3)), fmt.Sprintf("10.1.0.%d", rnd.IntN(4))
			w.change(in.Key, in)
		}
	}
	w.put("_math._tcp", 1)
	if err := c.Until(knows); err != nil {
		t.Fatalf("%v\nthe client knows %q", err, c.Records(id))
	}
	check(c.Leave(id))
	for sub := range subs {
		check(c.Leave(sub))
	}
	s.Drain()
	check(c.Until(func() bool { return c.Retry >= 0 }))
	if _, err := c.Read(); err == nil {
		t.Error("a message after RetryDelay")
	}
}

// lines are records as the judge gives them.
func lines(rrs []dns.RR) []string {
	out := []string{}
	for _, rr := range rrs {
		out = append(out, rr.String())
	}
	slices.Sort(out)
	return out
}

// TestAnotherImplementationGetsALargeSet: in messages of the size that it accepts, and
// then a change of half of it.
func TestAnotherImplementationGetsALargeSet(t *testing.T) {
	w := newWorld(t, "svc.")
	w.load("_math._tcp", 3000)
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	c := judged(t, s, true)
	const name = "_math._tcp.svc."
	id, _, err := c.Follow(name)
	if err != nil {
		t.Fatal(err)
	}
	sub, _, err := c.Subscribe(name, dns.TypeSRV, dns.ClassINET)
	if err != nil {
		t.Fatal(err)
	}
	knows := func() bool {
		revision, whole, _ := c.Revision(id)
		return whole && revision == w.rev && len(c.Records(id)) == 2*len(w.all) && len(c.Records(sub)) == len(w.all)
	}
	if err := c.Until(knows); err != nil {
		t.Fatal(err)
	}
	w.load("_math._tcp", 1500)
	if err := c.Until(knows); err != nil {
		t.Fatal(err)
	}
}

// TestEveryMalformedMessageGetsWhatTheRFCSays: by octets that no client of ours sends.
func TestEveryMalformedMessageGetsWhatTheRFCSays(t *testing.T) {
	const aborted = -1
	w := newWorld(t, "svc.")
	s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
	tlv := func(typ uint16, data ...byte) pushjudge.TLV { return pushjudge.TLV{Type: typ, Data: data} }
	question := pushjudge.Question("_math._tcp.svc.", dns.TypeSRV, dns.ClassINET)
	pointer := slices.Concat([]byte{0xc0, 0x0c}, []byte{0, 33, 0, 1})
	for _, tc := range []struct {
		name  string
		m     pushjudge.Message
		patch func(frame []byte)
		want  int // rcode
	}{
		{"8490 5.4: a count", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{tlv(pushjudge.KeepAlive, make([]byte, 8)...)}}, func(b []byte) { b[13] = 1 }, dns.RcodeFormatError},
		{"8490 5.4.2: no TLV", pushjudge.Message{ID: 9}, nil, dns.RcodeFormatError},
		{"8490 5.4.2: no TLV, unidirectional", pushjudge.Message{}, nil, aborted},
		{"8490 5.4.4: a TLV beyond the end", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{tlv(pushjudge.KeepAlive, make([]byte, 8)...)}}, func(b []byte) { b[17] = 9 }, dns.RcodeFormatError},
		{"8490 5.4.5: unknown", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{tlv(0x44)}}, nil, dns.RcodeStatefulTypeNotImplemented},
		{"8490 5.4.5: unknown, unidirectional", pushjudge.Message{TLVs: []pushjudge.TLV{tlv(0x44)}}, nil, aborted},
		{"8490 5.5.2: a response", pushjudge.Message{ID: 9, QR: true}, nil, aborted},
		{"8490 7.1: KeepAlive without id", pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.KeepAlive, make([]byte, 8)...)}}, nil, aborted},
		{"8490 7.1: half a KeepAlive", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{tlv(pushjudge.KeepAlive, 0, 0, 0, 0)}}, nil, dns.RcodeFormatError},
		{"8490 7.2.1: RetryDelay", pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.RetryDelay, 0, 0, 0, 0)}}, nil, aborted},
		{"8765 6.2.1: the same name twice", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{{Type: pushjudge.Follow, Data: question}}}, nil, aborted},
		{"8765 6.2.1: half a question", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{tlv(pushjudge.Subscribe, 0, 0, 33)}}, nil, dns.RcodeFormatError},
		{"8765 6.2.1: a pointer", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{{Type: pushjudge.Subscribe, Data: pointer}}}, nil, dns.RcodeFormatError},
		{"8765 6.2.2: a name of another zone", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{{Type: pushjudge.Subscribe, Data: pushjudge.Question("example.com.", 33, 1)}}}, nil, dns.RcodeNotAuth},
		{"8765 6.3: PUSH", pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.Push, 0)}}, nil, aborted},
		{"8765 6.4.1: half an UNSUBSCRIBE", pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.Unsubscribe, 0)}}, nil, aborted},
		{"8765 6.5.1: RECONFIRM of ANY", pushjudge.Message{TLVs: []pushjudge.TLV{{Type: pushjudge.Reconfirm, Data: pushjudge.Question("svc.", 255, 1)}}}, nil, aborted},
		{"private: FOLLOW of a type", pushjudge.Message{ID: 9, TLVs: []pushjudge.TLV{{Type: pushjudge.Follow, Data: pushjudge.Question("svc.", 1, 1)}}}, nil, dns.RcodeFormatError},
		{"private: SET", pushjudge.Message{TLVs: []pushjudge.TLV{{Type: pushjudge.Set, Data: pushjudge.SetHead(1, 1, 1)}}}, nil, aborted},
	} {
		conn := connect(t, s, true).conn
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		c := pushjudge.NewClient(conn)
		id, _, err := c.Follow("_math._tcp.svc.")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Until(func() bool { _, whole, _ := c.Revision(id); return whole }); err != nil {
			t.Fatal(err)
		}
		frame := tc.m.Frame()
		if tc.patch != nil {
			tc.patch(frame)
		}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		b, err := pushjudge.ReadFrame(conn)
		if tc.want == aborted {
			if err == nil {
				t.Errorf("%s: answered with %x, want the end of the connection", tc.name, b)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v, want rcode %d", tc.name, err, tc.want)
			continue
		}
		if m, err := pushjudge.Parse(b); err != nil || !m.QR || m.ID != 9 || m.Rcode != tc.want {
			t.Errorf("%s: answered with %x, %v; want rcode %d", tc.name, b, err, tc.want)
		}
		if s.Stats().Sessions == 0 {
			t.Errorf("%s: the session has ended", tc.name)
		}
		conn.Close()
	}
}
