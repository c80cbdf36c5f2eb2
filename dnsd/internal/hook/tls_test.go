package hook

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// authority issues certificates into a directory.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key, a.cert = a.sign(t, "ca", &x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes NAME.pem and NAME.key.
func (a *authority) issue(t testing.TB, name, common string, dns []string, ips ...net.IP) {
	t.Helper()
	a.sign(t, name, &x509.Certificate{
		Subject: pkix.Name{CommonName: common}, DNSNames: dns, IPAddresses: ips,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) sign(t testing.TB, name string, c *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// client trusts the authority and has the named certificate, if there is a name.
func (a *authority) client(t testing.TB, name string) *http.Client {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(a.cert)
	if name != "" {
		cert, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	tr := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestClientCertificates(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	ca.issue(t, "math", "", []string{"math.example"})
	stranger := newAuthority(t)
	stranger.issue(t, "math", "", []string{"math.example"})
	h := start(t, func(c *Config, _ *registry.Config) {
		c.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key"), ClientCA: ca.file("ca.pem")}
	})
	if !strings.HasPrefix(h.URL(), "https://") {
		t.Fatal(h.URL())
	}
	h.client = ca.client(t, "math")
	if a := h.do("PUT", a1, `{"port":1,"host":"math.example"}`); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	eventually(t, "the audit names the certificate", func() bool {
		return strings.Contains(h.audit.String(), `who="math.example at 127.0.0.1"`)
	})
	watch := h.stream("GET", "/v1/watch", "") // over HTTP/2
	if watch.resp.ProtoMajor != 2 {
		t.Errorf("protocol %s", watch.resp.Proto)
	}
	watch.until(eventSync)
	hold := h.stream("POST", a1+"/hold", `{"port":1,"host":"math.example"}`)
	if e := hold.next(); e.name != "registered" {
		t.Errorf("%+v", e)
	}
	nobody := ca.client(t, "")
	if resp, err := nobody.Get(h.URL() + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("without a certificate: ", resp.Status)
	}
	wrong := ca.client(t, "")
	cert, err := tls.LoadX509KeyPair(stranger.file("math.pem"), stranger.file("math.key"))
	if err != nil {
		t.Fatal(err)
	}
	wrong.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{cert}
	if resp, err := wrong.Get(h.URL() + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("with a stranger's certificate: ", resp.Status)
	}
}

// A certificate allows its own names only, seen from another host.
func TestCertificateAllowsItsOwnHosts(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "math", "", []string{"math.example"}, net.IPv4(192, 0, 2, 9))
	pair, err := tls.LoadX509KeyPair(ca.file("math.pem"), ca.file("math.key"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	h := start(t, func(c *Config, _ *registry.Config) {
		ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
		c.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key"), ClientCA: ca.file("ca.pem")}
	})
	for host, status := range map[string]int{"math.example": 201, "192.0.2.9": 200, "192.0.2.7": 200, "echo.example": 403, "192.0.2.8": 403} {
		req, err := http.NewRequest("PUT", h.URL()+a1, strings.NewReader(fmt.Sprintf(`{"port":1,"host":%q}`, host)))
		if err != nil {
			t.Fatal(err)
		}
		req.RemoteAddr = "192.0.2.7:999"
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert, ca.cert}}}
		x := &exchange{s: h.Server, st: h.state.Load(), r: req, peer: peerAddr(req)}
		if x.who, err = x.st.identify(req); err != nil {
			t.Fatal(err)
		}
		canonical, err := registry.CheckHost(host)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.needHost("_math._tcp", canonical); (err != nil) != (status == 403) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestRenewedCertificateIsServedAfterUpdate(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "first", nil, net.IPv4(127, 0, 0, 1))
	h := start(t, func(c *Config, _ *registry.Config) {
		c.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}
	})
	served := func() string {
		resp, err := ca.client(t, "").Get(h.URL() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Errorf("served %s", got)
	}
	h.client = ca.client(t, "")
	watch := h.stream("GET", "/v1/watch", "")
	watch.until(eventSync)
	ca.issue(t, "server", "second", nil, net.IPv4(127, 0, 0, 1))
	if err := h.Update(h.cfg); err != nil {
		t.Fatal(err)
	}
	if got := served(); got != "second" {
		t.Errorf("served %s", got)
	}
	h.put(a1, `{"port":1}`)
	if e := watch.next(); e.name != "put" {
		t.Errorf("the watch of before: %+v", e)
	}
	if err := os.WriteFile(ca.file("server.pem"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Update(h.cfg); err == nil || !strings.Contains(err.Error(), "server.pem") {
		t.Errorf("a broken file: %v", err)
	}
	if got := served(); got != "second" {
		t.Errorf("served %s", got)
	}
}

// A client that sends HTTP to a hook with TLS gets a problem with the cure, for each method.
func TestHTTPToAHookWithTLSIsTold(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	h := start(t, func(c *Config, _ *registry.Config) {
		c.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}
	})
	for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
		c := dial(t, h)
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n%02000d", method, a1, 0)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		a := answer{resp.StatusCode, resp.Header, body}
		if p := a.problem(t); p.Status != 400 || !strings.Contains(p.Detail, "https://") {
			t.Errorf("%s: %s", method, body)
		}
		c.Close()
	}
	eventually(t, "their places are free", func() bool { open, _, _ := h.listener.pool.counts(); return open == 0 })
}

func TestExpiredCertificateEndsItsConnection(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	d, err := (&TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key"), ClientCA: ca.file("ca.pem")}).load()
	if err != nil {
		t.Fatal(err)
	}
	for left, good := range map[time.Duration]bool{-time.Second: false, time.Hour: true} {
		_, cert := ca.sign(t, "client", &x509.Certificate{NotAfter: time.Now().Add(left), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		req, err := http.NewRequestWithContext(context.WithValue(t.Context(), connKey{}, &conn{access: d.access}), "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
		if _, err := d.check(req); (err == nil) != good {
			t.Errorf("with %v left: %v", left, err)
		}
	}
}

// A watch and a hold end, with the reason, when their connection has no longer what is
// required.
func TestStreamsEndWithTheirDoor(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	fake(t, nil, func(t *testing.T, h *hook) {
		watch := h.stream("GET", "/v1/watch", "")
		watch.until(eventSync)
		hold := h.stream("POST", a1+"/hold", `{"port":1}`)
		hold.next()
		h.cfg.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key"), ClientCA: ca.file("ca.pem")}
		if err := h.Update(h.cfg); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*events{hold, watch} { // in the order of their ends: on a pipe a write waits for its reader
			all := s.until("end")
			if end := all[len(all)-1]; !strings.Contains(end.data, fmt.Sprintf("%q", endRevoked)) {
				t.Errorf("%+v", end)
			}
		}
	})
}
