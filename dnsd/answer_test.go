package dnsd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
)

// What the hook says of DNS is what a client of DNS gets over TCP, record by record.
func TestTheHookSaysWhatDNSSays(t *testing.T) {
	s, err := New(Config{Zones: []Zone{{Bind: []string{"127.0.0.1:0"}, Hook: Hook{Addr: "127.0.0.1:0"}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	services := s.HookURL() + "/v1/services/"
	register := func(instance, body string) {
		req, err := http.NewRequestWithContext(ctx, "PUT", services+instance, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
	register("_math._tcp/instances/a1", `{"port":9001,"meta":{"version":"1"}}`)
	register("_math._tcp/instances/a2", `{"port":9002}`)
	for i := range 60 {
		register(fmt.Sprint("_many._tcp/instances/instance-", i), `{"port":9001}`)
		if i < 24 {
			register(fmt.Sprint("_some._tcp/instances/instance-", i), `{"port":9001}`)
		}
	}
	for _, q := range []struct{ query, name, rrtype, status string }{
		{"_math._tcp/dns", "_math._tcp.svc.", "SRV", "NOERROR"},
		{"_math._tcp/dns?type=a", "math.tcp.svc.", "A", "NOERROR"},
		{"_math._tcp/dns?type=AAAA", "math.tcp.svc.", "AAAA", "NOERROR"},
		{"_math._tcp/dns?type=PTR", "_math._tcp.svc.", "PTR", "NOERROR"},
		{"_math._tcp/dns?type=TXT&id=a1", "a1._math._tcp.svc.", "TXT", "NOERROR"},
		{"_math._tcp/dns?type=A&id=a2", "a2.math.tcp.svc.", "A", "NOERROR"},
		{"_some._tcp/dns", "_some._tcp.svc.", "SRV", "NOERROR"}, // a datagram has the answer, and not all addresses
		{"_many._tcp/dns", "_many._tcp.svc.", "SRV", "NOERROR"},
		{"_math._tcp/dns?type=SRV&id=gone", "gone._math._tcp.svc.", "SRV", "NXDOMAIN"},
	} {
		req, err := http.NewRequestWithContext(ctx, "GET", services+q.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var got hook.DNSAnswer
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		m := new(dns.Msg)
		m.SetQuestion(q.name, dns.StringToType[q.rrtype])
		want, _, err := (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, m, s.DNSAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		m.SetEdns0(1232, false)
		udp, _, err := (&dns.Client{Net: "udp"}).ExchangeContext(ctx, m, s.DNSAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		text := func(rrs []dns.RR) string {
			var all []string
			for _, rr := range rrs {
				all = append(all, strings.ReplaceAll(rr.String(), "\t", " "))
			}
			return strings.Join(all, "\n")
		}
		switch {
		case got.Name != q.name, got.Type != q.rrtype, got.Status != q.status, got.UDP == udp.Truncated:
			t.Errorf("%s: %+v", q.query, got)
		case dns.RcodeToString[want.Rcode] != got.Status,
			text(want.Answer) != strings.Join(got.Answer, "\n"),
			text(want.Ns) != strings.Join(got.Authority, "\n"),
			text(want.Extra) != strings.Join(got.Additional, "\n"):
			t.Errorf("%s: %+v, and DNS says\n%v", q.query, got, want)
		}
	}
}
