//go:build unix

package peertest

import (
	"crypto/x509"
	"testing"
)

func TestCertificateIsForItsNames(t *testing.T) {
	cert, pool := Certificate(t, "a1.math.tcp.svc", "10.0.0.1")
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"a1.math.tcp.svc": true, "10.0.0.1": true, "b2.math.tcp.svc": false, "10.0.0.2": false} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
