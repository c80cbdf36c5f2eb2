package view

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// serve answers DNS over UDP and TCP on one port with what reply makes of each question.
func serve(t *testing.T, reply func(m *dns.Msg, q dns.Question, udp bool)) string {
	t.Helper()
	handler := func(udp bool) dns.Handler {
		return dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
			m := new(dns.Msg).SetReply(r)
			reply(m, r.Question[0], udp)
			w.WriteMsg(m)
		})
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		l.Close()
		t.Skip("the port is in use for UDP")
	}
	for _, s := range []*dns.Server{{Listener: l, Handler: handler(false)}, {PacketConn: p, Handler: handler(true)}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return l.Addr().String()
}

func rr(t *testing.T, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAServerIsAsked(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	srv := rr(t, "_math._tcp.svc. 5 IN SRV 10 100 8080 A1.math.tcp.svc.")
	later := rr(t, "_math._tcp.svc. 3 IN SRV 10 50 8081 a1.math.tcp.svc.")
	soa := rr(t, "svc. 5 IN SOA ns.svc. h.svc. 7 60 10 604800 5")
	server := serve(t, func(m *dns.Msg, q dns.Question, udp bool) {
		switch q.Qtype {
		case dns.TypeSRV:
			if udp {
				m.Truncated = true
				return
			}
			m.Authoritative = true
			m.Answer = []dns.RR{srv, later}
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeStaleAnswer}}
		case dns.TypeA:
			m.Answer = []dns.RR{rr(t, "a1.math.tcp.svc. 5 IN A 10.0.0.7")}
		case dns.TypeSOA:
			m.Ns = []dns.RR{soa}
		}
	})
	a := Ask(ctx, []string{server}, "_math._tcp.svc.")[0]
	if a.Error != "" || a.Rcode != "NOERROR" || a.Transport != "tcp" || !a.Authoritative || a.TTL != 3 || a.Serial == nil || *a.Serial != 7 || len(a.Notes) != 1 {
		t.Fatalf("got %+v", a)
	}
	if len(a.Instances) != 2 || a.Instances[0].Target != "a1.math.tcp.svc." || a.Instances[0].Addresses() != "10.0.0.7:8080" || a.Instances[1].Weight != 50 {
		t.Errorf("got %+v", a.Instances)
	}
}

func TestAnAnswerToAnotherQuestionIsNone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	server := serve(t, func(m *dns.Msg, q dns.Question, udp bool) { m.Question[0].Name = "other." })
	a := Ask(ctx, []string{server}, "_math._tcp.svc.")[0]
	if !strings.Contains(a.Error, "another question") && !strings.Contains(a.Error, "in time") {
		t.Errorf("got %+v", a)
	}
}

func TestServersAreRead(t *testing.T) {
	for _, tc := range []struct{ given, env, want, from, err string }{
		{"10.0.0.1", "", "10.0.0.1:53", "-server", ""},
		{"", "10.0.0.1:5300, ::1", "10.0.0.1:5300 [::1]:53", VarDNS, ""},
		{"[::1]:5300,[::2]", "x", "[::1]:5300 [::2]:53", "-server", ""},
		{"dnsd.example.org", "", "dnsd.example.org:53", "-server", ""},
		{"http://x", "", "", "-server", `-server: bad address "http://x"`},
		{"", ":53", "", VarDNS, `ROLLCALL_DNS: bad address ":53"`},
		{strings.Repeat("a ", 33), "", "", "-server", "-server: 33 servers; at most 32 can be asked"},
	} {
		t.Setenv(VarDNS, tc.env)
		got, from, err := Servers(tc.given)
		if from != tc.from || err == nil && strings.Join(got, " ") != tc.want || err != nil && (tc.err == "" || !strings.HasPrefix(err.Error(), tc.err)) {
			t.Errorf("Servers(%q) with %q: %q from %s, %v", tc.given, tc.env, got, from, err)
		}
	}
}
