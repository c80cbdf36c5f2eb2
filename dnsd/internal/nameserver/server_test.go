package nameserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestUDPAndTCPShareOnePort(t *testing.T) {
	startBoth(t, Config{Addrs: []string{"127.0.0.1:0", "[::1]:0"}, Zones: []Zone{{Zone: standard(t)}}}, func(t *testing.T, s *Server) {
		if n := len(s.Addrs()); n != 2 {
			t.Fatalf("%d addresses", n)
		}
		for _, addr := range s.Addrs() {
			for _, network := range []string{"udp", "tcp"} {
				c := dns.Client{Net: network}
				r, _, err := c.Exchange(new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV), addr.String())
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Answer) != 3 || len(r.Extra) != 3 {
					t.Errorf("%s %s: %v", network, addr, r)
				}
			}
		}
	})
}

func TestATakenPortIsAnError(t *testing.T) {
	first := start(t, Config{})
	if s, err := Listen(Config{Addrs: []string{first.Addrs()[0].String()}}); err == nil {
		s.Close()
		t.Fatal("two servers on one port")
	} else if !strings.Contains(err.Error(), first.Addrs()[0].String()) {
		t.Errorf("error does not name the address: %v", err)
	}
	// UDP alone is enough.
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s, err := Listen(Config{Addrs: []string{c.LocalAddr().String()}}); err == nil {
		s.Close()
		t.Fatal("shares a UDP port with another program")
	}
}

func TestRepliesLeaveFromTheAddressThatWasAsked(t *testing.T) {
	startBoth(t, Config{Addrs: []string{"0.0.0.0:0", "[::]:0"}, Zones: []Zone{{Zone: standard(t)}}}, func(t *testing.T, s *Server) {
		for i, hosts := range [][]string{{"127.0.0.1", "127.0.0.2", "127.9.9.9"}, {"::1", "127.0.0.3"}} {
			for _, host := range hosts {
				to := netip.AddrPortFrom(netip.MustParseAddr(host), s.Addrs()[i].Port())
				// A connected socket hears only the address it asked.
				c, err := dns.DialTimeout("udp", to.String(), 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				c.SetDeadline(time.Now().Add(5 * time.Second))
				if err := c.WriteMsg(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA)); err != nil {
					t.Fatal(err)
				}
				if _, err := c.ReadMsg(); err != nil {
					t.Errorf("%s: %v", to, err)
				}
				c.Close()
			}
		}
	})
}

func TestGarbageGetsSilenceOrFORMERR(t *testing.T) {
	startBoth(t, Config{Zones: []Zone{{Zone: standard(t)}}}, func(t *testing.T, s *Server) {
		if out := raw(t, s, []byte("x")); out != nil {
			t.Errorf("one octet was answered: % x", out)
		}
		if out := raw(t, s, make([]byte, 12)); out == nil || out[3]&0xF != dns.RcodeFormatError {
			t.Errorf("an empty header: % x", out)
		}
		if out := raw(t, s, make([]byte, 4000)); out != nil {
			t.Errorf("a packet longer than any query: % x", out)
		}
		if out := raw(t, s, nil); out != nil {
			t.Errorf("an empty packet was answered: % x", out)
		}
	})
}

func TestUpdateReplacesEverythingAtOnce(t *testing.T) {
	a, b := namedZone(t, "a."), namedZone(t, "b.")
	s := start(t, Config{Zones: []Zone{{Zone: a}}})
	if m := ask(t, s, "udp", "b.", dns.TypeSOA); m.Rcode != dns.RcodeRefused {
		t.Fatal(m)
	}
	if err := s.Update(Config{Zones: []Zone{{Zone: b}}, MaxUDP: 600}); err != nil {
		t.Fatal(err)
	}
	if m := ask(t, s, "udp", "b.", dns.TypeSOA, edns(1232)); m.Rcode != dns.RcodeSuccess || m.IsEdns0().UDPSize() != 600 {
		t.Error(m)
	}
	if m := ask(t, s, "tcp", "a.", dns.TypeSOA); m.Rcode != dns.RcodeRefused {
		t.Error(m)
	}
	if err := s.Update(Config{MaxUDP: 1}); err == nil {
		t.Error("a bad configuration was taken")
	}
	if m := ask(t, s, "udp", "b.", dns.TypeSOA); m.Rcode != dns.RcodeSuccess {
		t.Error("a bad configuration changed something")
	}
}

func TestConfigErrorsNameTheirPlace(t *testing.T) {
	z := testZone(t)
	for want, c := range map[string]Config{
		"max UDP size":   {MaxUDP: 100},
		"NSID":           {NSID: strings.Repeat("x", 65)},
		"rate limit":     {RateLimit: RateLimit{PerSecond: 1_000_001}},
		"prefix":         {RateLimit: RateLimit{IPv4: 33}},
		"TLS":            {TLS: TLS{Addrs: []string{"127.0.0.1:0"}}},
		"cookie secret":  {CookieSecrets: []string{"00"}},
		"algorithm":      {Zones: []Zone{{Zone: z, TSIG: map[string]Key{"k.": {Algorithm: "md5", Secret: "AAAA"}}}}},
		"base64":         {Zones: []Zone{{Zone: z, TSIG: map[string]Key{"k.": {Secret: "!"}}}}},
		"zone: nil":      {Zones: []Zone{{}}},
		"no TSIG key":    {Zones: []Zone{{Zone: z, Transfer: []Peer{{Key: "nope."}}}}},
		"neither":        {Zones: []Zone{{Zone: z, Transfer: []Peer{{}}}}},
		"no address":     {},
		"want host:port": {Addrs: []string{"127.0.0.1"}},
	} {
		if c.Addrs == nil && want != "no address" {
			c.Addrs = []string{"127.0.0.1:0"}
		}
		s, err := Listen(c)
		if err == nil {
			s.Close()
			t.Errorf("%s: accepted", want)
		} else if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "nameserver: ") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestCloseEndsRunAndFreesThePort(t *testing.T) {
	s, err := Listen(Config{Addrs: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Run(context.Background()) }()
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	again, err := Listen(Config{Addrs: []string{s.Addrs()[0].String()}})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// frame puts the length before a message.
func frame(p []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
}

// readFrame reads one message.
func readFrame(t testing.TB, c io.Reader) *dns.Msg {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, p); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(p); err != nil {
		t.Fatal(err)
	}
	return m
}

func dialTCP(t testing.TB, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestTCPAnswersEverythingThatIsPipelined(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	c := dialTCP(t, s)
	var all []byte
	const n = 500
	for i := range n {
		q := wireQuery(t, "_big._tcp.svc.", dns.TypeSRV, func(m *dns.Msg) { m.Id = uint16(i) })
		all = append(all, frame(q)...)
	}
	go func() {
		// Odd pieces: a query may come in parts.
		for len(all) > 0 {
			k := min(len(all), 777)
			if _, err := c.Write(all[:k]); err != nil {
				return
			}
			all = all[k:]
		}
	}()
	for i := range n {
		if m := readFrame(t, c); m.Id != uint16(i) || len(m.Answer) != 100 || m.Truncated {
			t.Fatalf("answer %d: id %d, %d records", i, m.Id, len(m.Answer))
		}
	}
}

func TestTCPLimits(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Conns: 5, ConnsPerAddr: 3}})
	for range 3 {
		c := dialTCP(t, s)
		c.Write(frame(wireQuery(t, "svc.", dns.TypeSOA)))
		readFrame(t, c)
	}
	c := dialTCP(t, s)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("a fourth connection of one address: %v", err)
	}
	if st := s.Stats(); st.Conns != 3 || st.ConnsRefused != 1 || st.Accepted != 3 {
		t.Errorf("%+v", st)
	}
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

func TestTCPIdleAndSlowQueriesAreClosed(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Idle: 200 * time.Millisecond}})
	for name, keep := range map[string]func(c net.Conn){
		"idle": func(net.Conn) {},
		"half a query, octet by octet": func(c net.Conn) {
			p := frame(wireQuery(t, "svc.", dns.TypeSOA))
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for _, b := range p[:len(p)-1] {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-tick.C
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, s)
			done := make(chan struct{})
			go func() { defer close(done); keep(c) }()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
				t.Errorf("still open: %v", err)
			}
			c.Close()
			<-done
		})
	}
}

func TestASlowReaderIsClosed(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", 1000)...)}}, TCP: TCPLimits{Write: 100 * time.Millisecond}})
	c := dialTCP(t, s)
	p := frame(wireQuery(t, "_math._tcp.svc.", dns.TypeSRV))
	for {
		if _, err := c.Write(p); err != nil {
			break // the server gave up on us
		}
	}
	if st := s.Stats(); st.SlowClients == 0 {
		t.Errorf("%+v", st)
	}
}

func TestTCPKeepalive(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Idle: 7 * time.Second}})
	keepalive := func(m *dns.Msg) {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	}
	m := ask(t, s, "tcp", "svc.", dns.TypeSOA, keepalive)
	if o := m.IsEdns0().Option; len(o) != 1 || o[0].(*dns.EDNS0_TCP_KEEPALIVE).Timeout != 70 {
		t.Errorf("over TCP: %v", o)
	}
	// RFC 7828 3.2.1: ignored over UDP.
	if m := ask(t, s, "udp", "svc.", dns.TypeSOA, keepalive); len(m.IsEdns0().Option) != 0 {
		t.Errorf("over UDP: %v", m.IsEdns0())
	}
}

func TestStatsCountAnswersByKind(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	ask(t, s, "udp", "_math._tcp.svc.", dns.TypeSRV)
	ask(t, s, "udp", "_math._tcp.svc.", dns.TypeSRV)
	ask(t, s, "tcp", "nope.svc.", dns.TypeA)
	ask(t, s, "udp", "svc.", dns.TypeMX)
	ask(t, s, "udp", "svc.", dns.TypeMX, edns(1232), func(m *dns.Msg) { m.IsEdns0().SetVersion(9) })
	want := []AnswerCount{
		{"tcp", "A", "NXDOMAIN", 1},
		{"udp", "SRV", "NOERROR", 2},
		{"udp", "other", "BADVERS", 1},
		{"udp", "other", "NOERROR", 1},
	}
	got := s.Stats().Answers
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

// TestTimeDrawsSamplesAnew: in a registry at rest those left out of a sample have
// their turn, and until then the sample stays.
func TestTimeDrawsSamplesAnew(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 2000)...)
	s := start(t, Config{Zones: []Zone{{Zone: z}}})
	names := func(at time.Time) string {
		s.redraw(at)
		return fmt.Sprint(ask(t, s, "tcp", "_math._tcp.svc.", dns.TypeSRV).Answer)
	}
	begin := time.Unix(1_700_000_000, 0).Truncate(redrawEvery)
	first := names(begin)
	if names(begin.Add(redrawEvery-time.Second)) != first {
		t.Error("the sample changed within its time")
	}
	if names(begin.Add(redrawEvery)) == first {
		t.Error("the sample did not change in time")
	}
}
