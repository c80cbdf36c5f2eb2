package view

import (
	"context"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestAZoneIsFound(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	knows := serve(t, func(m *dns.Msg, q dns.Question, udp bool) {
		m.Answer = []dns.RR{rr(t, "svc. 5 IN SOA ns.svc. h.svc. 7 60 10 604800 5")}
	})
	knowsNot := serve(t, func(m *dns.Msg, q dns.Question, udp bool) {
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{rr(t, ". 5 IN SOA a. b. 9 60 10 604800 5")}
	})
	z := AskZone(ctx, []string{knows, knowsNot}, "svc.")
	if !z[0].Found || z[0].Serial != 7 || z[0].Server != knows || z[1].Found || z[1].Rcode != "NXDOMAIN" {
		t.Errorf("got %+v", z)
	}
}
