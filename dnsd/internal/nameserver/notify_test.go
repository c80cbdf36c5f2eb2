package nameserver

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// secondary receives NOTIFY and answers with reply, unless that is nil.
type secondary struct {
	addr netip.AddrPort
	got  chan *dns.Msg
}

func newSecondary(t testing.TB, keys map[string]string, reply func(n int, m *dns.Msg) *dns.Msg) *secondary {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &secondary{addr: pc.LocalAddr().(*net.UDPAddr).AddrPort(), got: make(chan *dns.Msg, 1000)}
	var n atomic.Int64
	srv := &dns.Server{PacketConn: pc, TsigSecret: keys, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	srv.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if m.IsTsig() != nil && w.TsigStatus() != nil {
			t.Errorf("NOTIFY's signature: %v", w.TsigStatus())
		}
		s.got <- m
		if r := reply(int(n.Add(1)), m); r != nil {
			if ts := m.IsTsig(); ts != nil {
				r.SetTsig(ts.Hdr.Name, ts.Algorithm, 300, time.Now().Unix())
			}
			w.WriteMsg(r)
		}
	})
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	done := make(chan struct{})
	go func() { defer close(done); srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { srv.Shutdown(); <-done })
	return s
}

func accept(_ int, m *dns.Msg) *dns.Msg { return new(dns.Msg).SetReply(m) }

func (s *secondary) next(t testing.TB) *dns.Msg {
	t.Helper()
	select {
	case m := <-s.got:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("no NOTIFY came")
		return nil
	}
}

func TestNotifyAtTheStartAndAfterChangesCoalesced(t *testing.T) {
	z := standard(t)
	plain := newSecondary(t, nil, accept)
	signed := newSecondary(t, map[string]string{"xfr.": testSecret}, accept)
	s := start(t, Config{Zones: []Zone{{Zone: z, TSIG: testKeys, Transfer: []Secondary{{Notify: plain.addr}, {Notify: signed.addr, Key: "xfr."}}}}})
	for _, sec := range []*secondary{plain, signed} {
		m := sec.next(t)
		if m.Opcode != dns.OpcodeNotify || !m.Authoritative || m.Question[0] != (dns.Question{Name: "svc.", Qtype: dns.TypeSOA, Qclass: dns.ClassINET}) ||
			len(m.Answer) != 1 || m.Answer[0].(*dns.SOA).Serial != z.Serial() {
			t.Fatalf("not a NOTIFY of the zone: %v", m)
		}
		if (m.IsTsig() != nil) != (sec == signed) {
			t.Errorf("signed: %t", m.IsTsig() != nil)
		}
	}
	first := z.Serial()
	const changes = 500
	for i := range changes {
		change(z, uint64(first)+1+uint64(i), nil, instance("_math._tcp", 1000+i))
	}
	for _, sec := range []*secondary{plain, signed} {
		n := 1
		for sec.next(t).Answer[0].(*dns.SOA).Serial != first+changes {
			n++
		}
		if n > 5 {
			t.Errorf("%d NOTIFY for %d changes at once", n, changes)
		}
	}
	if st := s.Stats(); st.NotifyFailures != 0 {
		t.Errorf("NOTIFY is not counted: %+v", st)
	}
}

func TestNotifyIsRepeatedUntilAcknowledged(t *testing.T) {
	sec := newSecondary(t, nil, func(n int, m *dns.Msg) *dns.Msg {
		if n == 1 {
			return nil // lost
		}
		return accept(n, m)
	})
	s := start(t, Config{Zones: []Zone{{Zone: standard(t), Transfer: []Secondary{{Notify: sec.addr}}}}})
	sec.next(t)
	sec.next(t)
	eventually(t, "the acknowledgement", func() bool { return s.Stats().Notifies > 0 })
}

func TestUpdateMovesNotifyToTheNewSecondary(t *testing.T) {
	z := standard(t)
	one, two := newSecondary(t, nil, accept), newSecondary(t, nil, accept)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Notify: one.addr}}}}})
	one.next(t)
	if err := s.Update(Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Notify: two.addr}}}}}); err != nil {
		t.Fatal(err)
	}
	two.next(t)
}
