package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd"
)

// checkCertificate says why the other end of a connection would not accept the
// certificate: it would say so only in its own log.
func checkCertificate(s dnsd.SharedStore, now time.Time) error {
	pair, err := tls.LoadX509KeyPair(s.TLS.Cert, s.TLS.Key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	if s.Dir == "" {
		err = fitsClient(pair.Leaf, now)
	} else {
		err = fitsPeer(pair, s, now)
	}
	if err != nil {
		return fmt.Errorf("tls: %s: %w", s.TLS.Cert, err)
	}
	return nil
}

// fitsClient checks a certificate that is shown to an etcd. That may trust another CA
// than the one that signed its own certificate.
func fitsClient(leaf *x509.Certificate, now time.Time) error {
	uses := leaf.ExtKeyUsage
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not valid before %v", leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it has expired on %v", leaf.NotAfter.Format(time.RFC3339))
	case len(uses) > 0 && !slices.Contains(uses, x509.ExtKeyUsageClientAuth) && !slices.Contains(uses, x509.ExtKeyUsageAny):
		return errors.New("it is not for clients: its extended key usage must have clientAuth")
	}
	return nil
}

// fitsPeer checks the certificate of a server of a cluster, which shows it at both ends of
// its connections.
func fitsPeer(pair tls.Certificate, s dnsd.SharedStore, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return err
	}
	roots.AppendCertsFromPEM(pem)
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}})
		if err != nil {
			err = fmt.Errorf("the other peers would not accept it with the CA %s: %w", s.CA, err)
			if bad := (x509.CertificateInvalidError{}); errors.As(err, &bad) && bad.Reason == x509.IncompatibleUsage {
				err = fmt.Errorf("%w; its extended key usage must have serverAuth and clientAuth", err)
			}
			return err
		}
	}
	u, err := url.Parse(ownPeer(s).URL)
	if err != nil {
		return err
	}
	if err := pair.Leaf.VerifyHostname(u.Hostname()); err != nil {
		return fmt.Errorf("it is not for the host of this peer's URL: %w", err)
	}
	return nil
}

// Tests: tls_test.go.
