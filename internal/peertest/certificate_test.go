//go:build unix

package peertest

import (
	"crypto/x509"
	"testing"
)

func TestCertificateIsForItsName(t *testing.T) {
	cert, pool := Certificate(t, "a1.math.tcp.svc")
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"a1.math.tcp.svc": true, "b2.math.tcp.svc": false} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
