package nameserver

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// TestServerCookiesOfRFC9018: the vectors of its appendix A.
func TestServerCookiesOfRFC9018(t *testing.T) {
	for _, c := range []struct {
		name, secret, client, addr, want string
		at                               uint32
	}{
		{"A.1 new", "e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957", "198.51.100.100", "010000005cf79f111f8130c3eee29480", 1559731985},
		{"A.2 renewed", "e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957", "198.51.100.100", "010000005cf7a871d4a564a1442aca77", 1559734385},
		{"A.3 another client", "e5e973e5a6b2a43f48e7dc849e37bfcf", "fc93fc62807ddb86", "203.0.113.203", "010000005cf7a9acf73a7810aca2381e", 1559734700},
		{"A.4 IPv6, new secret", "445536bcd2513298075a5d379663c962", "22681ab97d52c298", "2001:db8:220:1:59de:d0f4:8769:82b8", "010000005cf7c609a6bb79d16625507a", 1559741961},
	} {
		cs, err := parseCookieSecrets([]string{c.secret}, [16]byte{})
		if err != nil {
			t.Fatal(err)
		}
		client, err := hex.DecodeString(c.client)
		if err != nil {
			t.Fatal(err)
		}
		got := cs.appendCookie(nil, client, netip.MustParseAddr(c.addr), c.at)
		if hex.EncodeToString(got) != c.client+c.want {
			t.Errorf("%s: %x, want %s%s", c.name, got, c.client, c.want)
		}
		if state, fresh := cs.check(got, netip.MustParseAddr(c.addr), c.at+60); state != cookieValid || fresh {
			t.Errorf("%s: own cookie: state %d, fresh %t", c.name, state, fresh)
		}
	}
}

func TestCookieStates(t *testing.T) {
	old, err := parseCookieSecrets([]string{"000102030405060708090a0b0c0d0e0f"}, [16]byte{})
	if err != nil {
		t.Fatal(err)
	}
	both, err := parseCookieSecrets([]string{"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "000102030405060708090a0b0c0d0e0f"}, [16]byte{})
	if err != nil {
		t.Fatal(err)
	}
	const now = 1_700_000_000
	mine := netip.MustParseAddr("192.0.2.1")
	cookie := old.appendCookie(nil, []byte("clientck"), mine, now)
	for name, c := range map[string]struct {
		secrets cookieSecrets
		option  []byte
		from    netip.Addr
		at      uint32
		state   cookieState
		fresh   bool
	}{
		"young":             {old, cookie, mine, now + 10, cookieValid, false},
		"half an hour old":  {old, cookie, mine, now + cookieRenew + 1, cookieValid, true},
		"an hour old":       {old, cookie, mine, now + cookieLifetime + 1, cookieClient, true},
		"clock behind":      {old, cookie, mine, now - 10, cookieValid, true},
		"from the future":   {old, cookie, mine, now - cookieFuture - 1, cookieClient, true},
		"another address":   {old, cookie, netip.MustParseAddr("192.0.2.2"), now, cookieClient, true},
		"old secret":        {both, cookie, mine, now, cookieValid, true},
		"unknown secret":    {both[:1], cookie, mine, now, cookieClient, true},
		"client only":       {old, cookie[:8], mine, now, cookieClient, true},
		"version 2":         {old, append([]byte("clientck\x02"), cookie[9:]...), mine, now, cookieClient, true},
		"another length":    {old, append([]byte(nil), cookie[:20]...), mine, now, cookieClient, true},
		"7 octets":          {old, cookie[:7], mine, now, cookieInvalid, false},
		"12 octets":         {old, cookie[:12], mine, now, cookieInvalid, false},
		"41 octets":         {old, make([]byte, 41), mine, now, cookieInvalid, false},
		"nothing":           {old, []byte{}, mine, now, cookieInvalid, false},
		"reserved octet on": {old, append(append([]byte(nil), cookie[:9]...), append([]byte{1}, cookie[10:]...)...), mine, now, cookieClient, true},
	} {
		if state, fresh := c.secrets.check(c.option, c.from, c.at); state != c.state || fresh != c.fresh {
			t.Errorf("%s: state %d fresh %t, want %d %t", name, state, fresh, c.state, c.fresh)
		}
	}
}

func cookieOption(data []byte) func(*dns.Msg) {
	return func(m *dns.Msg) {
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(data)})
	}
}

func cookieOf(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	for _, o := range m.IsEdns0().Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			p, err := hex.DecodeString(c.Cookie)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatalf("no cookie in %v", m)
	return nil
}

func TestEveryAnswerToACookieCarriesOne(t *testing.T) {
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	for _, p := range [][]byte{
		wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, cookieOption([]byte("12345678"))),
		wireQuery(t, "nope.svc.", dns.TypeSRV, cookieOption([]byte("12345678"))),
		wireQuery(t, "example.com.", dns.TypeA, cookieOption([]byte("12345678"))),
		wireQuery(t, "svc.", dns.TypeA, cookieOption([]byte("12345678")), func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }),
		// RFC 7873 5.4: a cookie alone, without a question.
		wireQuery(t, "svc.", dns.TypeA, cookieOption([]byte("12345678")), func(m *dns.Msg) { m.Question = nil }),
	} {
		m := answerTo(t, r, p, overUDP)
		c := cookieOf(t, m)
		if len(c) != 24 || string(c[:8]) != "12345678" {
			t.Errorf("no cookie of ours in the answer: %v", m)
		}
		if state, _ := r.set.cookies.check(c, client, r.now); state != cookieValid {
			t.Errorf("state %d", state)
		}
	}
}
