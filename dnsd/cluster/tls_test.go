package cluster

import (
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// startTLS starts an etcd that asks for certificates.
func startTLS(t *testing.T, ca *authority) string {
	t.Helper()
	own := ca.issue()
	return startEtcdAt(t, "https", func(cfg *embed.Config) {
		cfg.ClientTLSInfo = transport.TLSInfo{CertFile: own.cert, KeyFile: own.key, TrustedCAFile: ca.file, ClientCertAuth: true}
	})
}

func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "other")
	e := startTLS(t, ca)
	good, foreign := ca.issue(), other.issue()
	expired := ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for _, tc := range []struct {
		name string
		cert files
		ca   string
		says string // empty: it works
	}{
		{"good", good, ca.file, ""},
		{"none", files{}, ca.file, "tls: it does not accept this certificate, or wants one"},
		{"of another CA", foreign, ca.file, "tls: it does not accept this certificate, or wants one"},
		{"expired", expired, ca.file, "tls: it does not accept this certificate, or wants one"},
		{"the server's is of another CA", good, other.file, "tls: its certificate is not accepted: x509: "},
		{"no CA", good, "", "tls: its certificate is not accepted: x509: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Stores{}.Open(t.Context(), dnsd.SharedStore{
				Endpoints: []string{e}, TLS: dnsd.TLS{Cert: tc.cert.cert, Key: tc.cert.key}, CA: tc.ca,
			}, testLog(t))
			if err == nil {
				defer s.Close()
			}
			switch {
			case tc.says == "" && err != nil:
				t.Error(err)
			case tc.says != "" && (!errors.Is(err, kv.ErrDenied) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), e)):
				t.Errorf("the error is %v, want one with %q", err, tc.says)
			}
		})
	}
}

// TestACertificateIsReadAgain: one that runs out is replaced without a restart.
func TestACertificateIsReadAgain(t *testing.T) {
	ca := newAuthority(t, "ours")
	e := startTLS(t, ca)
	p := startProxy(t, strings.TrimPrefix(e, "https://"))
	used := ca.issue()
	s, err := Stores{}.Open(t.Context(), dnsd.SharedStore{
		Endpoints: []string{"https://" + p.Addr().String()}, TLS: dnsd.TLS{Cert: used.cert, Key: used.key}, CA: ca.file,
	}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	copyFiles := func(from files) {
		for to, from := range map[string]string{used.cert: from.cert, used.key: from.key} {
			b, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	copyFiles(newAuthority(t, "other").issue())
	p.cut()
	await(t, func() bool { _, _, err := s.Get(t.Context(), "a"); return errors.Is(err, kv.ErrDenied) })
	p.Listener.Close()
	await(t, func() bool {
		_, _, err := s.Get(t.Context(), "a")
		return isUnavailable(err) && !errors.Is(err, kv.ErrDenied)
	})
	copyFiles(ca.issue())
	startProxyAt(t, p.Addr().String(), strings.TrimPrefix(e, "https://"))
	await(t, func() bool { _, _, err := s.Get(t.Context(), "a"); return err == nil })
}

func TestFilesOfCertificatesThatAreWrong(t *testing.T) {
	ca := newAuthority(t, "ours")
	good := ca.issue()
	for name, tc := range map[string]struct {
		cert, key, ca string
		says          string
	}{
		"no CA there":       {good.cert, good.key, "/nowhere/ca.pem", "tls: the CA: open /nowhere/ca.pem"},
		"the CA is a key":   {good.cert, good.key, good.key, "has no certificate of a CA in PEM"},
		"no key there":      {good.cert, "/nowhere/key.pem", ca.file, "tls: open /nowhere/key.pem"},
		"the key of others": {good.cert, ca.issue().key, ca.file, "tls: private key does not match public key"},
	} {
		err := Stores{}.Check(dnsd.SharedStore{Endpoints: []string{"https://127.0.0.1:1"}, TLS: dnsd.TLS{Cert: tc.cert, Key: tc.key}, CA: tc.ca})
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: the error is %v, want one with %q", name, err, tc.says)
		}
	}
}

func TestCertificatesThatTheOtherEndWouldNotAccept(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "other")
	uses := func(uses ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = uses }
	}
	late := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }
	elsewhere := func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"a.example"} }
	good := ca.issue()
	for _, tc := range []struct {
		name       string
		cert       files
		etcd, peer string // what is said for store etcd, and for store cluster
	}{
		{"good", good, "", ""},
		{"any use", ca.issue(uses()), "", ""},
		{"of another CA", other.issue(), "", "the other peers would not accept it with the CA " + ca.file},
		{"for servers", ca.issue(uses(x509.ExtKeyUsageServerAuth)), "must have clientAuth", "must have serverAuth and clientAuth"},
		{"for clients", ca.issue(uses(x509.ExtKeyUsageClientAuth)), "", "must have serverAuth and clientAuth"},
		{"expired", ca.issue(late), "it has expired on ", "certificate has expired or is not yet valid"},
		{"early", ca.issue(early), "it is not valid before ", "certificate has expired or is not yet valid"},
		{"of another host", ca.issue(elsewhere), "", "it is not for the host of this peer's URL"},
	} {
		s := dnsd.SharedStore{Endpoints: []string{"https://127.0.0.1:1"}, TLS: dnsd.TLS{Cert: tc.cert.cert, Key: tc.cert.key}, CA: ca.file}
		p := dnsd.SharedStore{Dir: "d", Name: "a", Peers: []dnsd.Peer{{Name: "a", URL: "https://127.0.0.1:1"}}, TLS: s.TLS, CA: s.CA}
		for says, err := range map[string]error{tc.etcd: Stores{}.Check(s), tc.peer + " ": Stores{}.Check(p)} {
			says = strings.TrimSuffix(says, " ")
			if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), tc.cert.cert)) {
				t.Errorf("%s: the error is %v, want one with %q", tc.name, err, says)
			}
			if err != nil && strings.Contains(err.Error(), "extended key usage must") != strings.HasPrefix(tc.name, "for ") {
				t.Errorf("%s: the error %v has not the right cure", tc.name, err)
			}
		}
	}
}
