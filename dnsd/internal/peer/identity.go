package peer

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Fingerprint is the SHA-256 of a certificate. Members publish it in the store.
type Fingerprint [sha256.Size]byte

// String is 64 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// ParseFingerprint reads what String returns.
func ParseFingerprint(s string) (f Fingerprint, err error) {
	if n, err := hex.Decode(f[:], []byte(s[:min(len(s), 2*len(f))])); err != nil || n != len(f) || len(s) != 2*len(f) {
		return Fingerprint{}, fmt.Errorf("peer: fingerprint %.80q: must be %d hexadecimal digits", s, 2*len(f))
	}
	return f, nil
}

// Identity is what this process proves to other members: a key that exists only in its
// memory, with a certificate.
type Identity struct {
	certificate tls.Certificate
	fingerprint Fingerprint
}

// NewIdentity makes a new key. The certificate has no end, because it lasts as long as
// the process, and names no host, because the other end compares the fingerprint.
func NewIdentity() (*Identity, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("peer: make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "member of a Rollcall cluster"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // no end: RFC 5280 section 4.1.2.5
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, fmt.Errorf("peer: make a certificate: %w", err)
	}
	return &Identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private},
		fingerprint: sha256.Sum256(der),
	}, nil
}

// Fingerprint is what other members have to know.
func (i *Identity) Fingerprint() Fingerprint { return i.fingerprint }

// config is TLS with a peer whose certificate passes check. The other end proves in the
// handshake that it has the key (RFC 8446 section 4.4.3); neither authorities, nor names,
// nor times count. Sessions are not resumed, so that check is asked for each connection.
func (i *Identity) config(check func(Fingerprint) error) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{i.certificate},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"http/1.1"},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // of names and authorities; VerifyConnection compares the certificate itself
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			f, ok := fingerprintOf(&state)
			if !ok {
				return errors.New("peer: the other end has no certificate")
			}
			return check(f)
		},
	}
}

// fingerprintOf is that of the other end; false: it has none.
func fingerprintOf(state *tls.ConnectionState) (Fingerprint, bool) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return Fingerprint{}, false
	}
	return sha256.Sum256(state.PeerCertificates[0].Raw), true
}
