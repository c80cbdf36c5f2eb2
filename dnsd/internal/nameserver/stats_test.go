package nameserver

import (
	"testing"

	"github.com/miekg/dns"
)

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
		t.Fatalf("counted %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("counted %+v, want %+v", got[i], want[i])
		}
	}
}
