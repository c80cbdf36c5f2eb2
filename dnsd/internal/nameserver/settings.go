package nameserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/limit"
	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// settings is a Config that was checked, in the form that a query needs. It never
// changes; Update stores a new one.
type settings struct {
	Config
	zones   []zoneEntry // longest origin first
	cookies cookieSecrets
	nsid    []byte
	log     *slog.Logger
}

// zoneEntry is a zone with its origin as in a packet.
type zoneEntry struct {
	zone        *zone.Zone
	secondaries []Secondary
	origin      string // FQDN, lower case
	wire        []byte // origin in wire form, lower case, with the root label
	keys        map[string]*tsigKey
}

// newSettings checks c. random is the cookie secret used when c has none.
func newSettings(c Config, random [16]byte) (*settings, error) {
	c, err := Check(c)
	if err != nil {
		return nil, fmt.Errorf("nameserver: configure: %w", err)
	}
	s := &settings{Config: c, log: c.Logger, nsid: []byte(c.NSID)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	files, _ := limit.Files()
	s.fitDescriptors(files)
	if s.cookies, err = parseCookieSecrets(c.CookieSecrets, random); err != nil {
		return nil, err
	}
	for _, z := range c.Zones {
		e, err := newZoneEntry(z)
		if err != nil {
			return nil, fmt.Errorf("nameserver: %w", err)
		}
		s.zones = append(s.zones, e)
	}
	slices.SortStableFunc(s.zones, func(a, b zoneEntry) int { return len(b.wire) - len(a.wire) })
	for i := 1; i < len(s.zones); i++ {
		for j := range i {
			if s.zones[i].origin == s.zones[j].origin {
				return nil, fmt.Errorf("nameserver: zone %s: given twice", s.zones[i].origin)
			}
		}
	}
	return s, nil
}

// fitDescriptors bounds the connections to half of the files that the process may open, and
// the sessions to what then is left of three quarters: the hook and the store need some. One
// address gets half of fewer sessions at most. files is 0 if it is not known.
func (s *settings) fitDescriptors(files int) {
	if files <= 0 {
		return
	}
	const cure = "raise the limit of open files (RLIMIT_NOFILE)"
	if s.TCP.Conns > files/2 {
		s.log.Warn("fewer TCP connections than configured: "+cure, "configured", s.TCP.Conns, "now", files/2, "limit", files)
		s.TCP.Conns = max(files/2, 1)
	}
	if most := max(files-files/4-s.TCP.Conns, 1); !s.Push.Off && s.Push.Sessions > most {
		level := slog.LevelWarn
		if s.Push.Sessions == push.DefaultSessions { // nothing that an operator asked for
			level = slog.LevelInfo
		}
		s.log.Log(context.Background(), level, "fewer sessions of push than configured: "+cure, "configured", s.Push.Sessions, "now", most, "limit", files)
		s.Push.Sessions = most
		s.Push.PerAddress = min(s.Push.PerAddress, max(most/2, 1))
	}
}

func newZoneEntry(z Zone) (zoneEntry, error) {
	if z.Zone == nil {
		return zoneEntry{}, errors.New("zone: nil")
	}
	e := zoneEntry{zone: z.Zone, origin: dns.CanonicalName(z.Zone.Origin())}
	if e.wire = wireName(e.origin); e.wire == nil {
		return zoneEntry{}, fmt.Errorf("zone %q: not a domain name", e.origin)
	}
	var err error
	if e.secondaries, e.keys, err = z.access(); err != nil {
		return zoneEntry{}, fmt.Errorf("zone %s: %w", e.origin, err)
	}
	return e, nil
}

// access returns the secondaries and the keys, checked and ready.
func (z Zone) access() ([]Secondary, map[string]*tsigKey, error) {
	keys, err := parseKeys(z.TSIG)
	if err != nil {
		return nil, nil, err
	}
	secondaries := slices.Clone(z.Transfer)
	for i := range secondaries {
		p := &secondaries[i]
		if p.Key != "" {
			p.Key = dns.CanonicalName(p.Key)
			if keys[p.Key] == nil {
				return nil, nil, setting.Of("Transfer", i, fmt.Errorf("no TSIG key is named %s", p.Key))
			}
		}
		if !p.Prefix.IsValid() && p.Key == "" && !p.Notify.IsValid() {
			return nil, nil, setting.Of("Transfer", i, errors.New("it has neither an address nor a key"))
		}
	}
	return secondaries, keys, nil
}

// find returns the zone of a wire name in any case by longest match, or nil.
func (s *settings) find(name []byte) *zoneEntry {
	for i := range s.zones {
		z := &s.zones[i]
		cut := len(name) - len(z.wire)
		if cut < 0 || !equalFold(name[cut:], z.wire) {
			continue
		}
		// The octets are equal; they are the zone's labels only if a label begins
		// there.
		off := 0
		for off < cut {
			off += 1 + int(name[off])
		}
		if off == cut {
			return z
		}
	}
	return nil
}

// equalFold compares a name with one in lower case of the same length. Length octets
// are below 'A' and so do not change.
func equalFold(name, lower []byte) bool {
	for i, c := range name {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func parseCookieSecrets(given []string, random [16]byte) (cookieSecrets, error) {
	if len(given) == 0 {
		return cookieSecrets{newSipKey(random)}, nil
	}
	var out cookieSecrets
	for i, text := range given {
		raw, err := hex.DecodeString(strings.TrimSpace(text))
		if err != nil || len(raw) != 16 {
			return nil, setting.Of("CookieSecrets", i, errors.New("the secret is not 32 hexadecimal digits; is its environment variable set?"))
		}
		out = append(out, newSipKey([16]byte(raw)))
	}
	return out, nil
}

func randomSecret() (secret [16]byte) {
	rand.Read(secret[:]) // never fails: crypto/rand
	return secret
}

// Tests: answer_test.go, config_test.go, cookie_test.go, server_test.go.
