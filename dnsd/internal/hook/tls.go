package hook

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// TLS names PEM files. Check reads them; Listen and Update read those of a Config that
// Check has not seen. So renewed certificates take effect without losing a connection.
type TLS struct {
	Cert, Key string
	// ClientCA, if given: every client must show a certificate of this CA.
	ClientCA string

	read *door // by Check
}

// door is the TLS configuration of new connections.
type door struct {
	config *tls.Config // nil: plain HTTP
	*access
}

// access is what a connection must have: TLS, a client certificate. It stays the same
// value as long as the requirements do: a renewed server certificate does not change it.
type access struct {
	encrypted bool
	pem       []byte         // of the client CA
	roots     *x509.CertPool // nil: no client certificates
}

// load reads the files. Nothing of the running configuration changes on error.
func (t *TLS) load() (*door, error) {
	if t == nil {
		return &door{access: &access{}}, nil
	}
	if t.read != nil {
		d := *t.read // a server sets its access
		return &d, nil
	}
	if t.Cert == "" || t.Key == "" {
		return nil, setting.Errorf("TLS", "a certificate needs its key, a key its certificate, and a client CA both")
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, setting.Errorf("TLS", "load certificate %s, key %s: %w", t.Cert, t.Key, err)
	}
	d := &door{access: &access{encrypted: true}, config: &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}}
	if t.ClientCA == "" {
		return d, nil
	}
	if d.pem, err = os.ReadFile(t.ClientCA); err != nil {
		return nil, setting.Errorf("TLS", "load client CA: %w", err)
	}
	d.roots = x509.NewCertPool()
	if !d.roots.AppendCertsFromPEM(d.pem) {
		return nil, setting.Errorf("TLS", "load client CA %s: there is no certificate in it", t.ClientCA)
	}
	d.config.ClientCAs = d.roots
	d.config.ClientAuth = tls.RequireAndVerifyClientCert
	return d, nil
}

// ends is when the server's certificate ends; zero: there is none.
func (d *door) ends() time.Time {
	if d.config == nil || d.config.Certificates[0].Leaf == nil {
		return time.Time{}
	}
	return d.config.Certificates[0].Leaf.NotAfter
}

// same says whether a and b require the same.
func (a *access) same(b *access) bool {
	return a != nil && a.encrypted == b.encrypted && bytes.Equal(a.pem, b.pem)
}

// check refuses a request whose connection does not have what is required now: a
// connection outlives the configuration under which it was accepted. It returns the
// client's certificate; nil: none is required.
func (a *access) check(r *http.Request) (*x509.Certificate, error) {
	if !a.encrypted {
		return nil, nil
	}
	if r.TLS == nil {
		return nil, refuse(http.StatusMisdirectedRequest, "", "this hook requires TLS now: connect again, with https")
	}
	if a.roots == nil {
		return nil, nil
	}
	certs := r.TLS.PeerCertificates
	if len(certs) == 0 {
		return nil, refuse(http.StatusForbidden, "", "this hook requires a client certificate now: connect again, with one")
	}
	now := time.Now()
	if c := connOfRequest(r); c != nil && c.access == a && now.Before(certs[0].NotAfter) {
		return certs[0], nil // the handshake has verified it
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	if _, err := certs[0].Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return nil, refuse(http.StatusForbidden, "", "this client certificate is no longer valid here: connect again, with one of the present client CA").because(err)
	}
	return certs[0], nil
}
