package dnsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// check finds what a start would refuse, but for sockets that are taken: whoever
// validates a Corefile is to hear of it then, and not when the server is down. c has
// its defaults.
func (c Config) check() error {
	all := map[string]string{} // origins, of reverse zones too, and whose they are
	for i, z := range c.Zones {
		fail := func(err error) error { return &zoneError{i, z.Origins[0], err} }
		if _, err := registry.Check(registryConfig(z, nil)); err != nil {
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
		for _, err := range []error{checkServers(z.NS, zones), checkStore(z.Store), checkHook(z.Hook), checkKeys(z.TSIG)} {
			if err != nil {
				return fail(err)
			}
		}
	}
	if err := c.checkPorts(); err != nil {
		return err
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
			return nil, directiveOf(err)
		}
		zones = append(zones, zn)
	}
	return zones, nil
}

// directiveOf puts the word before err whose line is to blame.
func directiveOf(err error) error {
	var bad *setting.Error
	if !errors.As(err, &bad) {
		return err
	}
	word, ok := map[string]string{"Hostmaster": "hostmaster", "NSAddrs": "bind", "NS": "ns", "NegativeTTL": "negative"}[bad.Field]
	if !ok {
		return bad.Err
	}
	return fmt.Errorf("%s: %w", word, bad.Err)
}

// checkServers refuses addresses that would be published nowhere.
func checkServers(servers []NameServer, zones []*zone.Zone) error {
	for _, ns := range servers {
		within := func(zn *zone.Zone) bool { return dns.IsSubDomain(zn.Origin(), ns.Name) }
		if len(ns.Addrs) > 0 && !slices.ContainsFunc(zones, within) {
			return fmt.Errorf("ns: %s: it lies in no zone of this block, so its addresses are told by others; leave them out", ns.Name)
		}
	}
	return nil
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
		if err := boltstore.Check(s.Path); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return nil
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
	c := hook.Config{Addr: h.Addr, Insecure: h.Insecure}
	if h.Cert != "" {
		c.TLS = &hook.TLS{Cert: h.Cert, Key: h.Key, ClientCA: h.ClientCA}
	}
	for _, t := range h.Tokens {
		c.Tokens = append(c.Tokens, t.forHook())
	}
	_, err := hook.Check(c)
	var bad *setting.Error
	if errors.As(err, &bad) {
		switch bad.Field {
		case "TLS":
			return fmt.Errorf("hook: tls: %w", bad.Err)
		case "Tokens":
			return fmt.Errorf("hook: token: %w", bad.Err)
		}
		return fmt.Errorf("hook: %w", bad.Err)
	}
	return err
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
