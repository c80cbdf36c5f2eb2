package dnsd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// check finds what a start would refuse, but for sockets that are taken: whoever
// validates a Corefile is to hear of it then, and not when the server is down. c has
// its defaults.
func (c Config) check() error {
	all := map[string]string{} // origins, of reverse zones too, and whose they are
	for i, z := range c.Zones {
		fail := func(err error) error { return &zoneError{i, z.Origins[0], err} }
		if _, err := registryConfig(z, nil).WithDefaults(); err != nil {
			return fail(err)
		}
		zones, err := zonesOf(z)
		if err != nil {
			return fail(err)
		}
		for _, zn := range zones {
			if other, taken := all[zn.Origin()]; taken {
				return fail(fmt.Errorf("reverse: %s is served by zone %s already", zn.Origin(), other))
			}
			all[zn.Origin()] = z.Origins[0]
		}
		for _, err := range []error{checkStore(z.Store), checkHook(z.Hook), checkKeys(z.TSIG)} {
			if err != nil {
				return fail(err)
			}
		}
	}
	for _, addr := range addresses(c) {
		if err := c.checkSocket(addr); err != nil {
			return err
		}
	}
	return nil
}

// zonesOf makes the zones of a block, to find out whether they can be made.
func zonesOf(z Zone) ([]*zone.Zone, error) {
	var zones []*zone.Zone
	for _, zc := range zoneConfigs(z) {
		zn, err := zone.New(zc)
		if err != nil {
			return nil, directiveOf(zc, err)
		}
		zones = append(zones, zn)
	}
	return zones, nil
}

// directiveOf puts the word before err whose line is to blame.
func directiveOf(zc zone.Config, err error) error {
	blame := func(change func(*zone.Config)) bool {
		change(&zc)
		_, still := zone.New(zc)
		return still == nil
	}
	switch {
	case blame(func(zc *zone.Config) { zc.Hostmaster = "" }):
		return fmt.Errorf("hostmaster: %w", err)
	case blame(func(zc *zone.Config) { zc.NS = nil }):
		return fmt.Errorf("ns: %w", err)
	}
	return err
}

// checkStore says whether the file of a store can be there.
func checkStore(s Store) error {
	if s.Kind != "bolt" {
		return nil
	}
	switch info, err := os.Stat(s.Path); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("store: %s is not a file; expected one such as %s", s.Path, filepath.Join(s.Path, "svc.db"))
	case err == nil:
		f, err := os.OpenFile(s.Path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return f.Close()
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("store: %w", err)
	}
	// The folders are made at the start: the first that is there must be one.
	for dir := filepath.Dir(s.Path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("store: %s is not a folder", dir)
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir):
			return fmt.Errorf("store: %w", err)
		}
	}
}

func checkHook(h Hook) error {
	var tls *hook.TLS
	if h.Cert != "" {
		tls = &hook.TLS{Cert: h.Cert, Key: h.Key, ClientCA: h.ClientCA}
	}
	if err := tls.Check(); err != nil {
		return fmt.Errorf("hook: tls: %w", err)
	}
	for _, t := range h.Tokens {
		if err := t.forHook().Check(); err != nil {
			return fmt.Errorf("hook: token: %w", err)
		}
	}
	return nil
}

func checkKeys(keys []TSIG) error {
	seen := map[string]bool{}
	for _, k := range keys {
		name := dns.CanonicalName(k.Name)
		if seen[name] {
			return fmt.Errorf("tsig: %s stands twice", name)
		}
		seen[name] = true
	}
	return nil
}

// checkSocket says whether the blocks that share a DNS address agree on what is the
// address's and not the zone's.
func (c Config) checkSocket(addr string) error {
	var shared DNS
	first := ""
	for i, z := range c.Zones {
		if !slices.Contains(z.listeners(), addr) {
			continue
		}
		if word := shared.merge(z.DNS); word != "" {
			return &zoneError{i, z.Origins[0], fmt.Errorf("%s: zone %s on the same address, %s, says otherwise; the setting is the address's: write it once, or the same", word, first, addr)}
		}
		first = cmp.Or(first, z.Origins[0])
	}
	var cfg nameserver.Config
	serverSettings(&cfg, shared)
	return cfg.Check()
}

// merge takes what o says and d does not. It returns the directive in which both say
// something, and not the same.
func (d *DNS) merge(o DNS) (conflict string) {
	one := func(word string, d *int, o int) {
		if *d != 0 && o != 0 && *d != o {
			conflict = word
		}
		*d = cmp.Or(*d, o)
	}
	one("udpsize", &d.UDPSize, o.UDPSize)
	one("ratelimit", &d.RateLimit, o.RateLimit)
	one("tcp", &d.TCPConnections, o.TCPConnections)
	one("tcp", &d.TCPPerAddress, o.TCPPerAddress)
	if d.TCPIdle != 0 && o.TCPIdle != 0 && d.TCPIdle != o.TCPIdle {
		conflict = "tcp"
	}
	d.TCPIdle = cmp.Or(d.TCPIdle, o.TCPIdle)
	if d.NSID != "" && o.NSID != "" && d.NSID != o.NSID {
		conflict = "nsid"
	}
	d.NSID = cmp.Or(d.NSID, o.NSID)
	if len(d.CookieSecrets) > 0 && len(o.CookieSecrets) > 0 && !slices.Equal(d.CookieSecrets, o.CookieSecrets) {
		conflict = "cookie"
	}
	if len(d.CookieSecrets) == 0 {
		d.CookieSecrets = o.CookieSecrets
	}
	return conflict
}
