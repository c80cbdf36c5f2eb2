package peer

import (
	"strings"
	"testing"
	"time"
)

func TestFingerprintIsReadAsItIsWritten(t *testing.T) {
	a, b := identity(t), identity(t)
	if a.Fingerprint() == b.Fingerprint() || a.Fingerprint() == (Fingerprint{}) {
		t.Fatalf("two identities have the fingerprints %v and %v", a.Fingerprint(), b.Fingerprint())
	}
	if f, err := ParseFingerprint(a.Fingerprint().String()); err != nil || f != a.Fingerprint() {
		t.Errorf("ParseFingerprint = %v, %v; want %v", f, err, a.Fingerprint())
	}
	if f, err := ParseFingerprint(strings.ToUpper(a.Fingerprint().String())); err != nil || f != a.Fingerprint() {
		t.Errorf("in upper case: %v, %v", f, err)
	}
	good := a.Fingerprint().String()
	for _, s := range []string{"", "00", good[1:], good + "0", good + good, "g" + good[1:], " " + good[1:]} {
		if f, err := ParseFingerprint(s); err == nil || f != (Fingerprint{}) {
			t.Errorf("ParseFingerprint(%q) = %v, %v; want an error", s, f, err)
		}
	}
}

// A dnsd may run for years, and a machine without a battery begins in 1970.
func TestCertificateHasNoEnd(t *testing.T) {
	c := certificate(t, identity(t))
	for _, now := range []time.Time{time.Unix(1, 0), time.Now().AddDate(200, 0, 0)} {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			t.Errorf("it is valid from %v to %v, not at %v", c.NotBefore, c.NotAfter, now)
		}
	}
}
