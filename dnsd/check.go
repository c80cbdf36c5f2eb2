package dnsd

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry/boltstore"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// Check returns the error that New and Reload would return for c, and opens nothing. Only
// a start finds addresses and stores that another process uses. The error names the
// setting, and its line if c was read from a Corefile.
func (c Config) Check() error {
	_, err := c.checked()
	return err
}

// checkedConfig is a Config that New would start.
type checkedConfig struct {
	Config        // with every name and address in its canonical form
	told   []told // what the rooms of each zone are told
}

// checked checks everything once: each room what it is told, and dnsd what concerns
// more than one room or block.
func (c Config) checked() (checkedConfig, error) {
	w := checkedConfig{Config: c}
	w.Zones = slices.Clone(c.Zones)
	if len(w.Zones) == 0 {
		w.Zones = []Zone{{}}
	}
	for i := range w.Zones {
		z, err := w.Zones[i].normal(c)
		w.Zones[i] = z
		if err != nil {
			return w, z.fail(err)
		}
		t, err := z.translate()
		if err != nil {
			return w, z.fail(err)
		}
		if err := cmp.Or(z.checkServers(t), z.Store.check(c.Stores)); err != nil {
			return w, z.fail(err)
		}
		w.told = append(w.told, t)
	}
	return w, cmp.Or(w.checkShared(), w.checkPorts(), w.checkSockets())
}

// fail adds to err the zone, and the line of the setting.
func (z Zone) fail(err error) error {
	name := cmp.Or(strings.Join(z.Origins[:min(len(z.Origins), 1)], ""), DefaultOrigin)
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{}
	}
	if z.places == nil {
		return fmt.Errorf("dnsd: zone %s: %w", name, err)
	}
	return hide(fmt.Errorf("%s: zone %s: %w", z.places.of(f.path, f.item), name, err), z.places.values)
}

// normal returns z with its names, addresses and store in their canonical form.
func (z Zone) normal(c Config) (_ Zone, err error) {
	if len(z.Origins) == 0 {
		z.Origins = []string{DefaultOrigin}
	}
	origins := make([]string, len(z.Origins))
	for i, o := range z.Origins {
		origins[i] = dns.CanonicalName(o)
		if _, ok := dns.IsDomainName(origins[i]); !ok || origins[i] == "." {
			return z, faultf("", "%q cannot be a zone of services; expected a name such as svc.example", o)
		}
	}
	z.Origins = origins
	if len(z.Bind) == 0 {
		z.Bind = []string{DefaultDNS}
	}
	bind := make([]string, len(z.Bind))
	for i, a := range z.Bind {
		if err := checkAddr(a, DefaultDNS); err != nil {
			return z, &fault{"bind", fmt.Sprint(i), err}
		}
		bind[i] = canonicalAddr(a)
		if slices.Contains(bind[:i], bind[i]) && !portIsZero(a) {
			host, _, _ := net.SplitHostPort(bind[i])
			return z, &fault{"bind", fmt.Sprint(i), fmt.Errorf("%s is listed twice", host)}
		}
	}
	z.Bind = bind
	z.DNS.TLSPort = cmp.Or(z.DNS.TLSPort, defaultTLSPort)
	if z.DNS.TLSPort < -1 || z.DNS.TLSPort > 65535 {
		return z, faultf("tls", "bad port %d; expected 1 to 65535", z.DNS.TLSPort)
	}
	if z.DNS.Push, err = z.DNS.Push.normal(z.DNS); err != nil {
		return z, err
	}
	z.Hook.Addr = cmp.Or(z.Hook.Addr, DefaultHook)
	if err := checkAddr(z.Hook.Addr, DefaultHook); err != nil {
		return z, &fault{path: "hook", err: err}
	}
	z.Hook.Addr = canonicalAddr(z.Hook.Addr)
	z.Store, err = z.Store.normal(z, c)
	return z, err
}

// fileName is an origin as a part of a path.
func fileName(origin string) string {
	return strings.NewReplacer("/", "_", `\`, "_").Replace(strings.TrimSuffix(origin, "."))
}

// checkShared refuses a zone or a store that two blocks have.
func (w checkedConfig) checkShared() error {
	origins := map[string]string{} // origin, also of a reverse zone -> the first origin of its block
	stores := map[string]string{}  // path -> origin
	for i, z := range w.Zones {
		for n, c := range w.told[i].zones {
			other, taken := origins[c.Origin]
			switch {
			case taken && n < len(z.Origins):
				return z.fail(faultf("", "%s is listed twice; list each zone once", c.Origin))
			case taken:
				return z.fail(&fault{"reverse", fmt.Sprint(n - len(z.Origins)), fmt.Errorf("zone %s serves %s already; list it once", other, c.Origin)})
			}
			origins[c.Origin] = z.Origins[0]
		}
		for _, f := range z.Store.files() {
			if other, taken := stores[f.path]; taken {
				return z.fail(faultf(f.word, "zone %s uses %s already; give each block its own %s", other, f.path, f.kind))
			}
			stores[f.path] = z.Origins[0]
		}
		for _, o := range w.Zones[:i] {
			if s, other := z.Store.Shared, o.Store.Shared; s != nil && other != nil && s.overlaps(other) {
				return z.fail(faultf("store prefix", "%s, and %s of zone %s in the same etcd: no prefix may contain the other; give each block its own, or put both zones into one block", s.Prefix, other.Prefix, o.Origins[0]))
			}
		}
	}
	return nil
}

// checkServers refuses addresses of name servers that no zone here would publish.
func (z Zone) checkServers(t told) error {
	for i, ns := range z.Apex.NS {
		inside := func(c zone.Config) bool { return dns.IsSubDomain(c.Origin, dns.CanonicalName(ns.Name)) }
		if len(ns.Addrs) > 0 && !slices.ContainsFunc(t.zones, inside) {
			return &fault{"ns", fmt.Sprint(i), fmt.Errorf("%s: the name is in no zone of this block, so other servers publish its addresses; leave them out", ns.Name)}
		}
	}
	return nil
}

// check says whether the files of a store can be used, or made, and whether stores can
// open a shared one.
func (s Store) check(stores Stores) error {
	switch {
	case s.Kind == "memory":
		return nil
	case s.isShared():
		if err := s.Shared.check(); err != nil {
			return err
		}
		if err := stores.Check(*s.Shared); err != nil {
			return &fault{path: "store", err: err}
		}
		return nil
	case s.Kind != "bolt":
		return faultf("store", "unknown kind %q; expected memory, bolt, etcd or cluster", s.Kind)
	case s.Path == "":
		return faultf("store", "bolt needs the path of its file")
	}
	switch info, err := os.Stat(s.Path); {
	case err == nil && !info.Mode().IsRegular():
		return faultf("store", "%s is not a file; expected one such as %s", s.Path, filepath.Join(s.Path, "svc.db"))
	case err == nil:
		if err := boltstore.Check(s.Path); err != nil {
			return &fault{path: "store", err: err}
		}
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return &fault{path: "store", err: err}
	}
	if err := checkFolder(filepath.Dir(s.Path)); err != nil {
		return &fault{path: "store", err: err}
	}
	return nil
}

// checkFolder says whether dir is a folder, or can be made. A start makes the folders:
// the first path that exists must be one.
func checkFolder(dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s is not a folder", dir)
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir):
			return err
		}
	}
}
