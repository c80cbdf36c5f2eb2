package push

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// octets makes a frame without package dso, so that it may be wrong in any way.
func octets(id, flags uint16, counts [4]uint16, rest ...byte) []byte {
	b := []byte{0, 0}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, flags)
	for _, c := range counts {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	b = append(b, rest...)
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

// tlv makes one value.
func tlv(kind uint16, data ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// of is a frame of one or more values.
func of(id uint16, values ...[]byte) []byte {
	var all []byte
	for _, v := range values {
		all = append(all, v...)
	}
	return octets(id, 6<<11, [4]uint16{}, all...)
}

// question is the data of SUBSCRIBE and FOLLOW.
func question(name string, qtype, class uint16) []byte {
	var buf [256]byte
	n, err := dns.PackDomainName(name, buf[:], 0, nil, false)
	if err != nil {
		panic(err)
	}
	b := binary.BigEndian.AppendUint16(buf[:n:n], qtype)
	return binary.BigEndian.AppendUint16(b, class)
}

const (
	aborted = -1 - iota // a reset: RFC 8490 section 5.3
	ignored             // no answer, and the session goes on
)

// TestEveryWrongMessageGetsWhatTheRFCSays, by its section. A message is sent to a session
// that is established, with the subscription 99 to _taken._tcp.svc., unless it is the
// first one.
func TestEveryWrongMessageGetsWhatTheRFCSays(t *testing.T) {
	none := [4]uint16{}
	keepAlive := tlv(1, 0, 0, 0, 0, 0, 0, 0, 0)
	long := make([]byte, 65_535-12-4)
	cases := []struct {
		section string
		first   bool
		tls     bool
		send    []byte
		want    int
	}{
		{"8490 5.1.1: an unknown type", false, false, of(5, tlv(0x77)), dns.RcodeStatefulTypeNotImplemented},
		{"8490 5.1.1: an unknown type as the first", true, false, of(5, tlv(0x77)), dns.RcodeStatefulTypeNotImplemented},
		{"8490 5.1: unidirectional as the first", true, false, of(0, tlv(0xF802, 0, 7)), aborted},
		{"8490 5.3: shorter than a header", false, false, []byte{0, 3, 1, 2, 3}, ignored},
		{"8490 5.4: QDCOUNT in a request", false, false, octets(5, 6<<11, [4]uint16{1}, keepAlive...), dns.RcodeFormatError},
		{"8490 5.4: ANCOUNT in a request", false, false, octets(5, 6<<11, [4]uint16{0, 1}, keepAlive...), dns.RcodeFormatError},
		{"8490 5.4: NSCOUNT in a request", false, false, octets(5, 6<<11, [4]uint16{0, 0, 1}, keepAlive...), dns.RcodeFormatError},
		{"8490 5.4: ARCOUNT in a request", false, false, octets(5, 6<<11, [4]uint16{0, 0, 0, 1}, keepAlive...), dns.RcodeFormatError},
		{"8490 5.4: a count in a unidirectional message", false, false, octets(0, 6<<11, [4]uint16{1}, tlv(0xF802, 0, 7)...), aborted},
		{"8490 5.4.1: a response", false, false, octets(5, 1<<15|6<<11, none, keepAlive...), aborted},
		{"8490 5.4.1: a response with the id 0", false, false, octets(0, 1<<15|6<<11, none, keepAlive...), aborted},
		{"8490 5.4.1: bits that have no meaning", false, false, octets(5, 6<<11|0x7f0, none, keepAlive...), dns.RcodeSuccess},
		{"8490 5.4.2: a request without a TLV", false, false, of(5), dns.RcodeFormatError},
		{"8490 5.4.2: a unidirectional message without a TLV", false, false, of(0), aborted},
		{"8490 5.4.4: a TLV that ends after the message", false, false, of(5, []byte{0, 1, 0, 9, 0}), dns.RcodeFormatError},
		{"8490 5.4.4: a part of a TLV after the first", false, false, of(5, keepAlive, []byte{0, 3, 0}), dns.RcodeFormatError},
		{"8490 5.4.5: an unknown type in a unidirectional message", false, false, of(0, tlv(0x77)), aborted},
		{"8490 5.4.5: an unknown additional TLV", false, false, of(5, keepAlive, tlv(0x77, 1, 2)), dns.RcodeSuccess},
		{"8490 7.1: KeepAlive of 4 octets", false, false, of(5, tlv(1, 0, 0, 0, 0)), dns.RcodeFormatError},
		{"8490 7.1: KeepAlive with the id 0", false, false, of(0, keepAlive), aborted},
		{"8490 7.2.1: RetryDelay as a request", false, false, of(5, tlv(2, 0, 0, 0, 0)), aborted},
		{"8490 7.2.1: RetryDelay with the id 0", false, false, of(0, tlv(2, 0, 0, 0, 0)), aborted},
		{"8490 7.3: padding as the primary TLV", false, false, of(5, tlv(3, 0, 0)), dns.RcodeStatefulTypeNotImplemented},
		{"8490 7.3: padding", false, false, of(5, keepAlive, tlv(3, 0, 0)), dns.RcodeSuccess},
		{"8490 7.3: the longest message", false, false, of(5, tlv(1, long...)), dns.RcodeFormatError},
		{"8765 5: SUBSCRIBE without TLS", false, false, of(5, tlv(0x40, question("_a._tcp.svc.", 33, 1)...)), dns.RcodeStatefulTypeNotImplemented},
		{"8765 5: UNSUBSCRIBE without TLS", false, false, of(0, tlv(0x42, 0, 5)), aborted},
		{"8765 5: RECONFIRM without TLS", false, false, of(0, tlv(0x43, question("_a._tcp.svc.", 33, 1)...)), aborted},
		{"8765 6.2: SUBSCRIBE with the id 0", false, true, of(0, tlv(0x40, question("_a._tcp.svc.", 33, 1)...)), aborted},
		{"8765 6.2.1: SUBSCRIBE", false, true, of(5, tlv(0x40, question("_a._tcp.svc.", 33, 1)...)), dns.RcodeSuccess},
		{"8765 6.2.1: SUBSCRIBE as the first", true, true, of(5, tlv(0x40, question("_a._tcp.svc.", 255, 255)...)), dns.RcodeSuccess},
		{"8765 6.2.1: SUBSCRIBE without a class", false, true, of(5, tlv(0x40, 0, 0, 33)), dns.RcodeFormatError},
		{"8765 6.2.1: SUBSCRIBE with an octet more", false, true, of(5, tlv(0x40, append(question("_a._tcp.svc.", 33, 1), 0)...)), dns.RcodeFormatError},
		{"8765 6.2.1: a compressed name", false, true, of(5, tlv(0x40, 0xC0, 12, 0, 33, 0, 1)), dns.RcodeFormatError},
		{"8765 6.2.1: the id of a subscription", false, true, of(99, tlv(0x40, question("_a._tcp.svc.", 33, 1)...)), aborted},
		{"8765 6.2.1: the id of a subscription in another request", false, false, of(99, keepAlive), aborted},
		{"8765 6.2.2: a name outside of the zones", false, true, of(5, tlv(0x40, question("_a._tcp.elsewhere.", 33, 1)...)), dns.RcodeNotAuth},
		{"8765 6.2.2: another class", false, true, of(5, tlv(0x40, question("_a._tcp.svc.", 33, 3)...)), dns.RcodeNotAuth},
		{"8765 6.3: PUSH of a client", false, true, of(0, tlv(0x41, 0)), aborted},
		{"8765 6.3: PUSH of a client as a request", false, true, of(5, tlv(0x41, 0)), aborted},
		{"8765 6.4: UNSUBSCRIBE with an id", false, true, of(5, tlv(0x42, 0, 7)), aborted},
		{"8765 6.4.1: UNSUBSCRIBE of an unknown id", false, true, of(0, tlv(0x42, 0, 7)), ignored},
		{"8765 6.4.1: UNSUBSCRIBE of 1 octet", false, true, of(0, tlv(0x42, 7)), aborted},
		{"8765 6.5: RECONFIRM with an id", false, true, of(5, tlv(0x43, question("_a._tcp.svc.", 33, 1)...)), aborted},
		{"8765 6.5.1: RECONFIRM of type ANY", false, true, of(0, tlv(0x43, question("_a._tcp.svc.", 255, 1)...)), aborted},
		{"8765 6.5.1: RECONFIRM of a record that is not there", false, true, of(0, tlv(0x43, append(question("x.svc.", 1, 1), 10, 0, 0, 1)...)), ignored},
		{"FOLLOW with the id 0", false, false, of(0, tlv(0xF800, question("_a._tcp.svc.", 33, 1)...)), aborted},
		{"FOLLOW of type A", false, false, of(5, tlv(0xF800, question("_a._tcp.svc.", 1, 1)...)), dns.RcodeFormatError},
		{"FOLLOW of class ANY", false, false, of(5, tlv(0xF800, question("_a._tcp.svc.", 33, 255)...)), dns.RcodeFormatError},
		{"FOLLOW without data", false, false, of(5, tlv(0xF800)), dns.RcodeFormatError},
		{"FOLLOW of a name twice", false, false, of(5, tlv(0xF800, question("_TAKEN._tcp.svc.", 33, 1)...)), aborted},
		{"FOLLOW outside of the zones", false, false, of(5, tlv(0xF800, question("_a._tcp.elsewhere.", 33, 1)...)), dns.RcodeNotAuth},
		{"SET of a client", false, false, of(0, tlv(0xF801, make([]byte, 11)...)), aborted},
		{"UNFOLLOW with an id", false, false, of(5, tlv(0xF802, 0, 7)), aborted},
		{"UNFOLLOW of an unknown id", false, false, of(0, tlv(0xF802, 0, 7)), ignored},
		{"UNFOLLOW of 3 octets", false, false, of(0, tlv(0xF802, 0, 7, 7)), aborted},
	}
	for _, tc := range cases {
		t.Run(tc.section, func(t *testing.T) {
			w := newWorld(t, "svc.")
			s := newServer(t, Config{Zones: []*zone.Zone{w.zone}})
			c := connect(t, s, tc.tls)
			if !tc.first {
				c.follow(99, "_taken._tcp.svc.")
			}
			c.send(tc.send)
			if tc.want == aborted {
				c.closed()
				s.Wait()
				if st := s.Stats(); st.Aborted != 1 || st.Sessions != 0 {
					t.Errorf("%+v", st)
				}
				return
			}
			if tc.want != ignored {
				m := c.read()
				if !m.Response || m.ID != 5 || m.Rcode != tc.want {
					t.Errorf("got %+v", m)
				}
				if padded := string(tc.send[len(tc.send)-6:len(tc.send)-2]) == "\x00\x03\x00\x02"; padded != m.Padded() {
					t.Errorf("padded: %t", m.Padded())
				}
			}
			// The session goes on.
			if m := c.request(dso.AppendKeepAlive(nil, 6, dso.KeepAlive{})); m.Rcode != dns.RcodeSuccess {
				t.Errorf("after it: %+v", m)
			}
		})
	}
}

// FuzzSession: whatever octets come, in whatever pieces, nothing panics, what comes back is
// whole and well-formed, and no longer than what is asked for by it.
func FuzzSession(f *testing.F) {
	follow := of(7, tlv(0xF800, question("_math._tcp.svc.", 33, 1)...))
	f.Add(false, uint8(3), append(follow, of(0, tlv(0xF802, 0, 7))...))
	f.Add(true, uint8(0), append(of(5, tlv(0x40, question("svc.", 255, 255)...)), of(0, tlv(0x42, 0, 5))...))
	f.Add(true, uint8(200), append(of(5, tlv(1, 0, 0, 0, 0, 0, 0, 0, 0), tlv(3, 0)), of(0, tlv(0x43, question("a1.math.tcp.svc.", 1, 1)...))...))
	f.Add(false, uint8(1), octets(5, 0, [4]uint16{1}, question("svc.", 6, 1)...))
	w := newWorld(f, "svc.")
	w.put("_math._tcp", 1)
	f.Fuzz(func(t *testing.T, tls bool, piece uint8, in []byte) {
		if len(in) > 4096 {
			return
		}
		echo := func(dst, msg []byte, _ netip.Addr, _ bool) ([]byte, bool) {
			return append(binary.BigEndian.AppendUint16(dst, uint16(len(msg))), msg...), false
		}
		s := New(Config{Zones: []*zone.Zone{w.zone}, Answer: echo})
		ours, theirs := pipe(t)
		if !s.Serve(Conn{Conn: theirs, TLS: tls}) {
			t.Fatal("no room for a session")
		}
		out := make(chan int)
		go func() {
			c := newClient(t, ours)
			total := 0
			for {
				msg, err := c.frame()
				if err != nil {
					out <- total
					return
				}
				total += 2 + len(msg)
				if !dso.Is(msg) {
					continue
				}
				m, err := dso.Read(msg, dso.FromServer)
				if err != nil {
					t.Errorf("%x: %v", msg, err)
				}
				if m.Primary.Type == dso.TypeSet {
					if _, err := m.Set(); err != nil {
						t.Error(err)
					}
				}
				if m.Primary.Type == dso.TypePush {
					if _, err := m.Push(); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		for rest := in; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			if _, err := ours.Write(rest[:n]); err != nil {
				break // aborted
			}
			rest = rest[n:]
		}
		s.Close()
		s.Wait()
		ours.Close()
		// A request of 12 octets and more gets one response, padded to 468, and the sets of
		// this zone, which are small.
		if total := <-out; total > 4096+len(in)*40 {
			t.Errorf("%d octets for %d", total, len(in))
		}
		if st := s.Stats(); st.Sessions != 0 || st.Subscriptions != 0 {
			t.Errorf("%+v", st)
		}
	})
}
