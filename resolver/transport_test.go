package resolver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// networks gives the transports of the queries so far, and forgets them.
func networks(s *fakeServer) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, q := range s.queries {
		out = append(out, q.network)
	}
	s.queries = nil
	return strings.Join(out, " ")
}

// TestALostUDPIsRemembered for a while, so that not each question waits for it. UDP is
// used again when it works again, or when TCP fails.
func TestALostUDPIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(byNetwork(silence, two(t)))
		is := func(took time.Duration, want string) {
			t.Helper()
			begin := time.Now()
			if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 || time.Since(begin) != took {
				t.Errorf("%v, %v after %v, want %v", addrs(got), err, time.Since(begin), took)
			}
			if got := networks(s); got != want {
				t.Errorf("asked by %q, want %q", got, want)
			}
			time.Sleep(10 * time.Second)
		}
		is(time.Second, "udp udp tcp")
		for range 5 {
			is(0, "tcp")
		}
		is(time.Second, "udp udp tcp") // a minute later
		is(0, "tcp")
		s.become(byNetwork(two(t), two(t)))
		is(0, "tcp")
		s.become(byNetwork(two(t), rcode(dns.RcodeServerFailure)))
		time.Sleep(time.Minute)
		is(0, "udp")
		s.become(byNetwork(silence, two(t)))
		is(time.Second, "udp udp tcp")
		s.fault("tcp", context.DeadlineExceeded)
		s.become(two(t))
		is(0, "udp")
		is(0, "udp")
	})
}

// TestADialThatKnowsNoUDPIsEnough, as one that goes through a proxy.
func TestADialThatKnowsNoUDPIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(two(t))
		inner := r.Dial
		r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if network != "tcp" {
				return nil, net.UnknownNetworkError(network)
			}
			return inner(ctx, network, addr)
		}
		if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
			t.Errorf("%v, %v", got, err)
		}
		if got := networks(s); got != "tcp" {
			t.Errorf("asked by %q", got)
		}
	})
}

// TestTheEndOfTimeAfterATruncatedReply is an error: there was no time for TCP.
func TestTheEndOfTimeAfterATruncatedReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		truncated := conducts(t)["truncated"].reply(nil)
		_, r := one(truncated)
		inner := r.Dial
		r.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := inner(ctx, network, addr)
			return endingConn{conn, cancel}, err
		}
		rep, err := r.exchange(ctx, "ns1:53", question{mathTCP, typeSRV}, must(r.way()), false)
		if rep != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", rep, err)
		}
	})
}

// endingConn ends its user's context as it is closed, after the reply.
type endingConn struct {
	net.Conn
	end func()
}

func (c endingConn) Close() error {
	c.end()
	return c.Conn.Close()
}

// TestTCPOnlyIsTCPOnly, also for the hosts.
func TestTCPOnlyIsTCPOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(withoutGlue(t, two(t)))
		r.TCP = true
		if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
			t.Errorf("%v, %v", got, err)
		}
		if got := networks(s); got != "tcp tcp tcp tcp tcp" {
			t.Errorf("asked by %q", got)
		}
	})
}

// TestTLSOnlyIsTLSOnly: DNS over TLS (RFC 7858), with the certificate of the host in
// Servers or of TLS.ServerName, and no query in the clear when that fails.
func TestTLSOnlyIsTLSOnly(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"ns1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	answer := two(t)
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		if err := m.Unpack(answer("tcp", q)[0]); err != nil {
			t.Error(err)
		}
		if err := w.WriteMsg(m); err != nil {
			t.Error(err)
		}
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() { l.Close(); <-done })

	for _, tt := range []struct {
		name, server, serverName, want string
	}{
		{"address", l.Addr().String(), "", ""},
		{"name", "ns1:853", "", ""},
		{"default port", "ns1", "", ""},
		{"wrong name", "ns2:853", "", "certificate is valid for ns1, not ns2"},
		{"ServerName", "ns2:853", "ns1", ""},
	} {
		var networks []string
		r := &Resolver{
			Servers: []string{tt.server}, Timeout: 20 * time.Second, TLS: &tls.Config{RootCAs: roots, ServerName: tt.serverName},
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				networks = append(networks, network+" "+addr)
				return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
			},
		}
		got, err := r.Lookup(t.Context(), mathTCP)
		switch {
		case tt.want == "" && (err != nil || len(got.Endpoints) != 2):
			t.Errorf("%s: %v, %v", tt.name, got, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		want := "tcp " + tt.server
		if tt.server == "ns1" {
			want = "tcp ns1:853"
		}
		if !slices.Equal(networks, []string{want}) {
			t.Errorf("%s: dialled %q, want %q", tt.name, networks, want)
		}
	}
}
