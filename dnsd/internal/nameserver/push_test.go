package nameserver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// follow is a FOLLOW as it goes over a connection.
func follow(t testing.TB, id uint16, name string) []byte {
	t.Helper()
	b, err := dso.AppendFollow(nil, id, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readDSO reads one message of the server.
func readDSO(t testing.TB, c net.Conn) dso.Message {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, msg); err != nil {
		t.Fatal(err)
	}
	m, err := dso.Read(msg, dso.FromServer)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSessionBesideQueries: a connection may have queries before a session and in it, and
// their answers stay in order.
func TestSessionBesideQueries(t *testing.T) {
	cert := testCertificate(t)
	z := standard(t)
	s := start(t, Config{
		Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: z}},
		TLS: TLS{Addrs: []string{"127.0.0.1:0"}, Config: cert.server},
	})
	secured, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), cert.client)
	if err != nil {
		t.Fatal(err)
	}
	defer secured.Close()
	for _, c := range []net.Conn{dialTCP(t, s), secured} {
		query, err := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV).Pack()
		if err != nil {
			t.Fatal(err)
		}
		all := append(frame(query), follow(t, 7, "_math._tcp.svc.")...)
		all = append(all, frame(query)...)
		if _, err := c.Write(all); err != nil {
			t.Fatal(err)
		}
		if m := readFrame(t, c); len(m.Answer) != 3 {
			t.Errorf("before the session: %v", m)
		}
		if m := readDSO(t, c); m.ID != 7 || m.Followed() != nil {
			t.Errorf("response: %+v %v", m, m.Followed())
		}
		set, err := readDSO(t, c).Set()
		if err != nil || len(set.Changes) != 6 || set.Revision != uint64(z.Serial()) {
			t.Errorf("first set: %+v, %v", set, err)
		}
		if m := readFrame(t, c); len(m.Answer) != 3 {
			t.Errorf("in the session: %v", m)
		}
		// What a session must not have: RFC 8490 section 7.1.2.
		bad := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
		bad.SetEdns0(1232, false)
		bad.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
		if query, err = bad.Pack(); err != nil {
			t.Fatal(err)
		}
		c.Write(frame(query))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the session goes on after the keepalive option")
		}
	}
	eventually(t, "the end of both", func() bool { st := s.Stats(); return st.Push.Sessions == 0 && st.Conns == 0 })
	if st := s.Stats().Push; st.Taken != 2 || st.Aborted != 2 {
		t.Errorf("%+v", st)
	}
}

// TestSessionsTransferNoZone: a secondary has a connection for that.
func TestSessionsTransferNoZone(t *testing.T) {
	z := standard(t)
	s := start(t, Config{Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}}}})
	c := dialTCP(t, s)
	query, err := new(dns.Msg).SetAxfr("svc.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	c.Write(append(dso.AppendKeepAlive(nil, 3, dso.KeepAlive{}), frame(query)...))
	readDSO(t, c)
	if m := readFrame(t, c); m.Rcode != dns.RcodeRefused {
		t.Errorf("AXFR in a session: %v", m)
	}
}

// TestOpcode6LeavesEverythingElseUntouched: over UDP, and without push also over TCP, its
// answer is NOTIMP, as for every opcode that is not served; queries are answered as before.
func TestOpcode6LeavesEverythingElseUntouched(t *testing.T) {
	z := standard(t)
	keepAlive := dso.AppendKeepAlive(nil, 3, dso.KeepAlive{})
	for _, off := range []bool{false, true} {
		s := start(t, Config{Zones: []Zone{{Zone: z}}, Push: Push{Off: off}})
		if got := raw(t, s, keepAlive[2:]); len(got) != headerLen || got[3]&0xF != dns.RcodeNotImplemented {
			t.Errorf("off=%t, over UDP: %x", off, got)
		}
		response := append([]byte(nil), keepAlive[2:]...)
		response[2] |= 0x80
		if got := raw(t, s, response); got != nil {
			t.Errorf("off=%t, a response over UDP is answered: %x", off, got)
		}
		if st := s.Stats(); st.Push.Taken != 0 {
			t.Errorf("off=%t: %+v", off, st.Push)
		}
		if !off {
			continue
		}
		c := dialTCP(t, s)
		c.Write(keepAlive)
		c.Write(frame(mustPack(t, new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV))))
		if m := readFrame(t, c); m.Rcode != dns.RcodeNotImplemented || m.Id != 3 {
			t.Errorf("off=%t, over TCP: %v", off, m)
		}
		if m := readFrame(t, c); len(m.Answer) != 3 {
			t.Errorf("off=%t, the query after it: %v", off, m)
		}
	}
}

// TestStockToolsSeeNothingNew: what they print is the same with sessions and without, also
// while there are some. What they send with opcode 6 has an error as its answer.
func TestStockToolsSeeNothingNew(t *testing.T) {
	z := standard(t)
	on, off := start(t, Config{Zones: []Zone{{Zone: z}}}), start(t, Config{Zones: []Zone{{Zone: z}}, Push: Push{Off: true}})
	c := dialTCP(t, on)
	c.Write(follow(t, 1, "_math._tcp.svc."))
	readDSO(t, c)
	for tool, status := range map[string][]string{
		"dig": nil, "dig +tcp": nil, "kdig": nil, "kdig +tcp": nil, "drill": nil, "drill -t": nil, "delv -i": nil, "delv -i +tcp": nil,
		"dig +opcode=6": {"NOTIMP", "NOTIMP"}, "dig +opcode=6 +tcp": {"FORMERR", "NOTIMP"},
	} {
		t.Run(tool, func(t *testing.T) {
			words := strings.Fields(tool)
			path, err := exec.LookPath(words[0])
			if err != nil {
				t.Skip(words[0] + " is not installed")
			}
			var said []string
			for i, s := range []*Server{on, off} {
				addr := s.Addrs()[0]
				cmd := exec.CommandContext(t.Context(), path, append(words[1:], "@"+addr.Addr().String(), "-p", fmt.Sprint(addr.Port()), "_math._tcp.svc.", "SRV")...)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %v\n%s", cmd, err, out)
				}
				if status != nil {
					if !strings.Contains(string(out), "status: "+status[i]) {
						t.Errorf("%v: want %s\n%s", cmd, status[i], out)
					}
					continue
				}
				var records []string
				for line := range strings.Lines(string(out)) {
					if !strings.HasPrefix(line, ";") && strings.TrimSpace(line) != "" {
						records = append(records, line)
					}
				}
				said = append(said, strings.Join(records, ""))
			}
			if status == nil && (said[0] != said[1] || strings.Count(said[0], "SRV") != 3) {
				t.Errorf("with sessions:\n%s\nwithout:\n%s", said[0], said[1])
			}
		})
	}
}

func mustPack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSessionsAreNotConnections: they have bounds of their own; beyond these the
// connection goes on without a session.
func TestSessionsAreNotConnections(t *testing.T) {
	s := start(t, Config{
		Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Conns: 1},
		Push: Push{Limits: push.Limits{Sessions: 2}},
	})
	for range 2 {
		c := dialTCP(t, s)
		c.Write(follow(t, 1, "_math._tcp.svc."))
		readDSO(t, c)
		eventually(t, "the place of the connection", func() bool { return s.Stats().Conns == 0 })
	}
	c := dialTCP(t, s)
	c.Write(follow(t, 9, "_math._tcp.svc."))
	m := readDSO(t, c)
	if delay, ok, err := m.RetryDelay(); m.ID != 9 || m.Rcode != dns.RcodeRefused || !ok || err != nil || delay < time.Second || delay > 3*time.Second {
		t.Errorf("one too many: %+v, %v %v %v", m, delay, ok, err)
	}
	c.Write(frame(mustPack(t, new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV))))
	if m := readFrame(t, c); len(m.Answer) != 3 {
		t.Errorf("the query after it: %v", m)
	}
	if st := s.Stats().Push; st.Refused != 1 || st.Sessions != 2 || st.Subscriptions != 2 {
		t.Errorf("%+v", st)
	}
}

// TestConnectionsDoNotKeepSessionsOut: when there are as many as there may be, in all or of
// one address, a connection may still begin a session, and nothing else.
func TestConnectionsDoNotKeepSessionsOut(t *testing.T) {
	for _, limits := range []TCPLimits{{Conns: 1, Idle: 10 * time.Minute}, {ConnsPerAddr: 1}} {
		full := func(placeTime time.Duration) (*Server, net.Conn) {
			s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}, TCP: limits}, func(s *Server) { s.placeTime = placeTime })
			idle := dialTCP(t, s)
			eventually(t, "the connection that takes the only place", func() bool { return s.Stats().Conns == 1 })
			return s, idle
		}
		s, _ := full(time.Minute)
		c := dialTCP(t, s)
		c.Write(follow(t, 1, "_math._tcp.svc."))
		if m := readDSO(t, c); m.ID != 1 || m.Rcode != dns.RcodeSuccess {
			t.Errorf("%+v: the session: %+v", limits, m)
		}
		s, idle := full(50 * time.Millisecond)
		query := frame(mustPack(t, new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)))
		for what, octets := range map[string][]byte{"a query": query, "nothing": nil, "a part of a message": follow(t, 1, "_math._tcp.svc.")[:20]} {
			c := dialTCP(t, s)
			c.Write(octets)
			if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%+v: a connection beyond the bound that sends %s: %v", limits, what, err)
			}
		}
		idle.Write(query)
		if m := readFrame(t, idle); len(m.Answer) != 3 {
			t.Errorf("%+v: the query of the first: %v", limits, m)
		}
	}
}

// TestPlacesForSessionsAreBounded, and a server that stops does not wait for them.
func TestPlacesForSessionsAreBounded(t *testing.T) {
	s := start(t, Config{
		Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Conns: 1}, Push: Push{Limits: push.Limits{Sessions: 2}},
	}, func(s *Server) { s.placeTime = time.Hour })
	var conns []net.Conn
	for range 3 {
		conns = append(conns, dialTCP(t, s))
	}
	last := dialTCP(t, s)
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection beyond all bounds: %v", err)
	}
	conns[1].Close()
	eventually(t, "the place of a connection that has ended", func() bool {
		c := dialTCP(t, s)
		c.Write(follow(t, 1, "_math._tcp.svc."))
		_, err := c.Read(make([]byte, 2))
		return err == nil
	})
	if n := s.Stats().ConnsRefused; n == 0 {
		t.Error("none is counted as refused")
	}
}

// TestStopTellsClientsToComeBack: each a little later than the one before, and the server
// does not wait longer for them than for others.
func TestStopTellsClientsToComeBack(t *testing.T) {
	s, err := Listen(Config{Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: standard(t)}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	var conns []net.Conn
	for range 3 {
		c := dialTCP(t, s)
		c.Write(follow(t, 1, "_math._tcp.svc."))
		readDSO(t, c)
		readDSO(t, c)
		conns = append(conns, c)
	}
	cancel()
	seen := map[time.Duration]bool{}
	for _, c := range conns {
		m := readDSO(t, c)
		delay, ok, err := m.RetryDelay()
		if m.Response || m.Rcode != dns.RcodeSuccess || !ok || err != nil || delay < time.Second || delay > 2*time.Second || seen[delay] {
			t.Errorf("%+v, %v %v %v", m, delay, ok, err)
		}
		seen[delay] = true
	}
	conns[0].Close() // the others stay, and are aborted
	wg.Wait()
}

// TestUpdateOfZonesReachesSessions: a zone that replaces another one sends the difference,
// and the sessions of a zone that goes are told so.
func TestUpdateOfZonesReachesSessions(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 3)...)
	other := namedZone(t, "other.", instances("_math._tcp", 1)...)
	cfg := Config{Zones: []Zone{{Zone: z}, {Zone: other}}}
	s := start(t, cfg)
	stays, goes := dialTCP(t, s), dialTCP(t, s)
	stays.Write(follow(t, 1, "_math._tcp.svc."))
	goes.Write(follow(t, 1, "_math._tcp.other."))
	for _, c := range []net.Conn{stays, goes} {
		readDSO(t, c)
		readDSO(t, c)
	}
	next := testZone(t, instances("_math._tcp", 4)...)
	cfg.Zones = []Zone{{Zone: next}}
	if err := s.Update(cfg); err != nil {
		t.Fatal(err)
	}
	set, err := readDSO(t, stays).Set()
	if err != nil || len(set.Changes) != 2 || set.Revision != 4 {
		t.Errorf("the difference: %+v, %v", set, err)
	}
	if m := readDSO(t, goes); m.Primary.Type != dso.TypeRetryDelay || m.Rcode != dns.RcodeNotAuth {
		t.Errorf("the zone that is gone: %+v", m)
	}
	cfg.Push.Off = true
	if err := s.Update(cfg); err != nil {
		t.Fatal(err)
	}
	if m := readDSO(t, stays); m.Primary.Type != dso.TypeRetryDelay || m.Rcode != dns.RcodeRefused {
		t.Errorf("push off: %+v", m)
	}
}

// TestReconfirmIsPassedOn: over TLS, of a record that the zone has.
func TestReconfirmIsPassedOn(t *testing.T) {
	cert := testCertificate(t)
	told := make(chan dns.RR, 1)
	s := start(t, Config{
		Zones: []Zone{{Zone: standard(t)}},
		TLS:   TLS{Addrs: []string{"127.0.0.1:0"}, Config: cert.server},
		Push:  Push{Reconfirm: func(_ *zone.Zone, rr dns.RR) { told <- rr }},
	})
	c, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), cert.client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := dso.AppendKeepAlive(nil, 3, dso.KeepAlive{})
	for _, text := range []string{"i0.math.tcp.svc. 0 A 192.0.2.9", "i0.math.tcp.svc. 0 A 10.0.0.0"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = dso.AppendReconfirm(b, rr); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if rr := <-told; rr.(*dns.A).A.String() != "10.0.0.0" {
		t.Errorf("told of %v", rr)
	}
}
