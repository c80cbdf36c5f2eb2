package member

import (
	"cmp"
	"context"
	"encoding/hex"
	"log/slog"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
	"github.com/rollcall-dns/rollcall/internal/kv"
)

// Config of a Member.
type Config struct {
	Store    kv.Store           // that the members share; the Member does not close it
	Registry *registry.Registry // opened with registry.Config.Follow; its Run runs as long as the Member's
	Prefix   string             // of all keys: "/rollcall/svc", without a final slash
	Zone     string             // "svc."
	Settings map[string]string  // what all members must have alike, as text: "ttl": "5s"

	Name        string // of this member: "a"
	Address     string // what other members dial: "10.0.0.1:8054"
	Hook        string // the URL of its hook, for people
	Certificate string // SHA-256 of the certificate of its peer listener, 64 hexadecimal digits; "": none
	Version     string // of its dnsd

	// Session is how long a writer that has died is waited for; default 5s, 2s to 60s.
	Session time.Duration
	// Copy is the path of the local copy of the registry, for a start without the store.
	// Directories are made. "": none.
	Copy string
	// Reload: another registry is served until this one has what is in the store. The copy
	// is not served then, and DNS goes on while the store is away.
	Reload bool

	// Probe connects to another member. Only an error that is syscall.ECONNREFUSED proves
	// that it is dead. Nil: as the registry probes instances.
	Probe func(ctx context.Context, hostport string) error
	// Ask asks another member. Nil: its Answer is not known.
	Ask func(ctx context.Context, p Peer) (Answer, error)
	// CertificateEnds is when the certificate ends that this member shows to the store; nil,
	// or the zero time: it has none, or it cannot be read.
	CertificateEnds func() time.Time
	Logger          *slog.Logger // nil: silent
}

const (
	defaultSession  = 5 * time.Second
	shortestSession = 2 * time.Second  // the shortest lease of etcd with its default election timeout
	longestSession  = 60 * time.Second // no write works for so long after a writer has died
	longestName     = 63
	longestPrefix   = 256
)

// Check returns c with the default in each field that is zero, or a *setting.Error. It
// opens nothing. Store, Registry and Address, which exist only after something was opened,
// may be missing.
func Check(c Config) (Config, error) {
	c.Session = cmp.Or(c.Session, defaultSession)
	c.Settings = maps.Clone(c.Settings)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Probe == nil {
		usual, err := registry.Check(registry.Config{})
		if err != nil {
			return c, err
		}
		c.Probe = usual.Probe
	}
	return c, c.check()
}

func (c *Config) check() error {
	switch {
	case c.Zone == "":
		return setting.Errorf("Zone", "is missing")
	case !strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") || len(c.Prefix) > longestPrefix || !printable(c.Prefix):
		return setting.Errorf("Prefix", "%q; expected one that begins with a slash and does not end with one, like /rollcall/svc, of at most %d printable characters without spaces", c.Prefix, longestPrefix)
	case c.Name == "" || len(c.Name) > longestName || !printable(c.Name) || strings.Contains(c.Name, "/"):
		return setting.Errorf("Name", "%q; expected 1 to %d printable characters without spaces and slashes", c.Name, longestName)
	case c.Session < shortestSession || c.Session > longestSession:
		return setting.Errorf("Session", "%v; expected %v to %v", c.Session, shortestSession, longestSession)
	}
	if _, port, err := net.SplitHostPort(c.Address); c.Address != "" && (err != nil || port == "" || port == "0" || len(c.Address) > longestText) {
		return setting.Errorf("Address", "%q; expected host:port", c.Address)
	}
	if digits, err := hex.DecodeString(c.Certificate); err != nil || len(digits) != 32 && len(digits) != 0 {
		return setting.Errorf("Certificate", "%q; expected the SHA-256 of a certificate, 64 hexadecimal digits", c.Certificate)
	}
	for _, f := range []struct{ field, text string }{{"Hook", c.Hook}, {"Version", c.Version}} {
		if len(f.text) > longestText {
			return setting.Errorf(f.field, "has %d octets; expected at most %d", len(f.text), longestText)
		}
	}
	return nil
}

// printable says whether s has no space and no control character.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r > 0x7e })
}

// Tests: cluster_test.go.
