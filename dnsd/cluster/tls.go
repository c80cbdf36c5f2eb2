package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// clientTLS is the configuration of a client: its own certificate, if it has one, and
// the CA of the servers. The certificate is read again for each connection, so that it
// can be replaced; the CA is read once.
func clientTLS(cert, key, ca string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("tls: the CA: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: %s has no certificate of a CA in PEM", ca)
		}
	}
	if cert == "" {
		return conf, nil
	}
	load := func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		return &c, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return conf, nil
}

// probe finds out why TLS fails at a host, or whether it does. A call says it only by
// chance: what is sent after the handshake to a server that has closed the connection
// makes the system throw away the server's last words. So nothing is sent here.
func probe(ctx context.Context, host string, conf *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	conf = conf.Clone()
	conf.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", host)
	if err != nil {
		return verdict(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = conn.Read(make([]byte, 1))
	return verdict(err)
}

// probeTime bounds a probe. A server that is content says nothing until it is asked.
const probeTime = 500 * time.Millisecond

// verdict is an error about certificates, in an operator's words, or nil.
func verdict(err error) error {
	var theirs *tls.CertificateVerificationError
	var alert *net.OpError
	switch {
	case errors.As(err, &theirs):
		return fmt.Errorf("tls: its certificate is not accepted: %w", theirs.Err)
	case errors.As(err, &alert) && alert.Op == "remote error":
		return fmt.Errorf("tls: it does not accept this certificate, or wants one: %w", alert.Err)
	}
	return nil
}

// handshakes are credentials that note why TLS failed. gRPC says it only in words, as of
// a server that is away.
type handshakes struct {
	credentials.TransportCredentials
	refused *atomic.Pointer[error]
}

// Clone implements [credentials.TransportCredentials].
func (h *handshakes) Clone() credentials.TransportCredentials {
	return &handshakes{h.TransportCredentials.Clone(), h.refused}
}

// ClientHandshake implements [credentials.TransportCredentials].
func (h *handshakes) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		h.note(err)
		return conn, info, err
	}
	h.refused.Store(nil)
	return &alerted{conn, h}, info, nil
}

// note keeps an error if it is about certificates.
func (h *handshakes) note(err error) {
	if v := verdict(err); v != nil {
		h.refused.Store(&v)
	}
}

// alerted is a connection on which the server may say, after its part of the handshake,
// that it does not accept the client's certificate: with TLS 1.3 that comes with the
// first read.
type alerted struct {
	net.Conn
	h *handshakes
}

func (c *alerted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.h.note(err)
	}
	return n, err
}

// Tests: tls_test.go.
