package hook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS names PEM files. They are read by Listen and again by Update, so renewed
// certificates take effect without losing a connection.
type TLS struct {
	Cert, Key string
	// ClientCA, if given: every client must show a certificate of this CA.
	ClientCA string
}

// load reads the files. Nothing of the running configuration changes on error.
func (t *TLS) load() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("hook: load certificate %s, key %s: %w", t.Cert, t.Key, err)
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if t.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("hook: load client CA: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("hook: load client CA %s: %w", t.ClientCA, errors.New("no certificate in it"))
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}
