package nameserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// certificate is the configuration of both ends for a certificate made for the test.
type certificate struct{ server, client *tls.Config }

func testCertificate(t testing.TB) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return certificate{
		server: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		client: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"},
	}
}

func TestTLSAndPadding(t *testing.T) {
	cert := testCertificate(t)
	s := start(t, Config{
		Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: standard(t)}},
		TLS: TLS{Addrs: []string{"127.0.0.1:0"}, Config: cert.server},
	})
	c := dns.Client{Net: "tcp-tls", TLSConfig: cert.client, Timeout: 20 * time.Second}
	pad := func(m *dns.Msg) {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, 100)}}
	}
	for _, name := range []string{"_math._tcp.svc.", "_big._tcp.svc.", "nope.svc."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeSRV)
		pad(m)
		r, _, err := c.Exchange(m, s.TLSAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.IsEdns0().Option[0].(*dns.EDNS0_PADDING); !ok {
			t.Errorf("%s: no padding: %v", name, r.IsEdns0())
		}
		if plain := ask(t, s, "tcp", name, dns.TypeSRV, pad); len(plain.IsEdns0().Option) != 0 {
			t.Errorf("%s: padded without TLS", name)
		}
	}
	// On the wire the padded message is a whole number of blocks (RFC 8467 4.1).
	r := responderFor(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	for _, name := range []string{"_math._tcp.svc.", "_big._tcp.svc.", "nope.svc."} {
		for base := range 2 {
			out := r.respond(make([]byte, base*2), wireQuery(t, name, dns.TypeSRV, pad), client, overTLS)
			if n := len(out) - base*2; n%padBlock != 0 {
				t.Errorf("%s: %d octets", name, n)
			}
		}
	}
	var over uint64
	for _, a := range s.Stats().Answers {
		if a.Transport == "tls" {
			over += a.Count
		}
	}
	if over != 3 {
		t.Errorf("%d answers over TLS counted", over)
	}
	if err := s.Update(Config{}); err == nil {
		t.Error("the certificate can be taken away")
	}
}
