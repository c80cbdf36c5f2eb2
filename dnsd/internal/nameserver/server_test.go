package nameserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func TestUDPAndTCPShareOnePort(t *testing.T) {
	startBoth(t, Config{Addrs: []string{"127.0.0.1:0", "[::1]:0"}, Zones: []Zone{{Zone: standard(t)}}}, func(t *testing.T, s *Server) {
		if n := len(s.Addrs()); n != 2 {
			t.Fatalf("listens on %d addresses, want 2", n)
		}
		for _, addr := range s.Addrs() {
			for _, network := range []string{"udp", "tcp"} {
				c := dns.Client{Net: network, Timeout: 20 * time.Second}
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
	// A port that is taken only for UDP is taken.
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
				// A connected socket receives only from the address it asked.
				c, err := dns.DialTimeout("udp", to.String(), 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				c.SetDeadline(time.Now().Add(20 * time.Second))
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
		t.Fatalf("a zone that is not served yet: %v", m)
	}
	if err := s.Update(Config{Zones: []Zone{{Zone: b}}, MaxUDP: 600}); err != nil {
		t.Fatal(err)
	}
	if m := ask(t, s, "udp", "b.", dns.TypeSOA, edns(1232)); m.Rcode != dns.RcodeSuccess || m.IsEdns0().UDPSize() != 600 {
		t.Errorf("a zone after the update: %v", m)
	}
	if m := ask(t, s, "tcp", "a.", dns.TypeSOA); m.Rcode != dns.RcodeRefused {
		t.Errorf("a zone that is not served any more: %v", m)
	}
	if err := s.Update(Config{MaxUDP: 1}); err == nil {
		t.Error("a bad configuration was taken")
	}
	if m := ask(t, s, "udp", "b.", dns.TypeSOA); m.Rcode != dns.RcodeSuccess {
		t.Error("a bad configuration changed something")
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

// TestTimeDrawsSamplesAgain: in a registry without changes the instances outside of a
// sample are drawn in time, and until then the sample does not change.
func TestTimeDrawsSamplesAgain(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 2000)...)
	r := responderFor(t, Config{Zones: []Zone{{Zone: z}}})
	names := func(at time.Time) string {
		r.set.redraw(at)
		return fmt.Sprint(answerTo(t, r, wireQuery(t, "_math._tcp.svc.", dns.TypeSRV), overTCP).Answer)
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

// TestServersDrawTheSameSamples: servers that were started, or got a new zone, at
// different times give the same samples at any time.
func TestServersDrawTheSameSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		equal := func() Zone { return Zone{Zone: testZone(t, instances("_math._tcp", 2000)...)} }
		var servers []*Server
		begin := func() {
			s := new(Server)
			s.use(responderFor(t, Config{Zones: []Zone{equal()}}).set)
			go s.redrawLoop(t.Context())
			servers = append(servers, s)
		}
		packet := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV)
		seen := make(map[string]bool)
		for i := range 5 {
			switch i {
			case 0, 2:
				begin()
			case 3:
				servers[0].use(responderFor(t, Config{Zones: []Zone{equal()}}).set)
			}
			time.Sleep(redrawEvery*3/4 + time.Second)
			synctest.Wait()
			var first []byte
			for n, s := range servers {
				r := responderFor(t, Config{})
				r.set = s.settings.Load()
				got := r.respond(nil, packet, client, overTCP)
				if first == nil {
					first = got
				}
				if !bytes.Equal(got, first) {
					t.Errorf("after %d waits server %d gives another sample", i+1, n)
				}
			}
			seen[string(first)] = true
		}
		if len(seen) != 4 { // at 7.5, 15, 22.5, 30 and 37.5 minutes
			t.Errorf("%d samples in 37 minutes", len(seen))
		}
	})
}
