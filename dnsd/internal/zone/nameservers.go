package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
)

// NameServer is one of the zone's name servers.
type NameServer struct {
	Host string // FQDN
	// Addrs are its addresses. They are published if Host lies in the zone, because
	// then no other zone has them (RFC 1034 section 4.2.1, RFC 2181 section 10.3). None
	// means the addresses of this server, Config.NSAddrs.
	Addrs []netip.Addr
}

// Reachable returns the addresses of a host that other hosts can use, in their order and
// each once. Loopback is left out if there is any other: a resolver that read it would
// ask itself (RFC 1122 section 3.2.1.3). Addresses of one link, and those that do not
// belong to one host, are left out, too.
func Reachable(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if (a.IsGlobalUnicast() || a.IsLoopback()) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	if slices.ContainsFunc(out, func(a netip.Addr) bool { return !a.IsLoopback() }) {
		out = slices.DeleteFunc(out, netip.Addr.IsLoopback)
	}
	return out
}

// addServers adds the configured name servers, or one with the given name.
func (z *Zone) addServers(cfg Config, host string) error {
	reachable := Reachable(cfg.NSAddrs)
	if len(cfg.NS) == 0 {
		if err := checkServer(host); err != nil {
			return setting.Errorf("Origin", "name server %s: %w; it is made from the name of the zone: choose a zone of letters, digits and hyphens, or name its servers by ns", host, err)
		}
		if err := z.addServer(NameServer{Host: host}, reachable); err != nil {
			return setting.Errorf("NSAddrs", "name server %s: %w", host, err)
		}
	}
	for i, ns := range cfg.NS {
		if err := z.addServer(ns, reachable); err != nil {
			return setting.Of("NS", i, fmt.Errorf("%s: %w", ns.Host, err))
		}
	}
	return nil
}

// addServer adds a name server, with its addresses if it lies in the zone.
func (z *Zone) addServer(ns NameServer, reachable []netip.Addr) error {
	if _, ok := dns.IsDomainName(ns.Host); !ok || !dns.IsFqdn(ns.Host) {
		return errors.New("not a domain name that ends in a dot")
	}
	host := dns.CanonicalName(ns.Host)
	inside := dns.IsSubDomain(z.origin, host)
	if inside {
		if err := z.freeForServer(host); err != nil {
			return err
		}
	}
	if err := checkServer(host); err != nil {
		return err
	}
	record := &dns.NS{Hdr: header(z.origin, dns.TypeNS, z.ttl), Ns: host}
	if slices.ContainsFunc(z.static[z.origin], func(rr dns.RR) bool { return rr.(*dns.NS).Ns == host }) {
		return errors.New("the name is listed twice")
	}
	z.static[z.origin] = append(z.static[z.origin], record)
	if !inside {
		return nil
	}
	addrs := reachable
	if len(ns.Addrs) > 0 {
		addrs = ns.Addrs
	}
	if len(addrs) == 0 {
		return errors.New("the name is in the zone and has no address that others can use, so no resolver could find it; give it an address, or name a server outside of the zone")
	}
	var set []dns.RR
	for _, a := range addrs {
		if err := checkServer(a.String()); err != nil {
			return fmt.Errorf("address %s: %w", a, err)
		}
		set = append(set, addrRR(host, a.Unmap(), z.ttl))
	}
	z.static[host] = dns.Dedup(set, nil)
	z.addAbove(host)
	return nil
}

// addAbove adds the names between one of the zone's own and the apex.
func (z *Zone) addAbove(name string) {
	for {
		name = name[strings.IndexByte(name, '.')+1:]
		if name == z.origin {
			return
		}
		if _, ok := z.static[name]; !ok {
			z.static[name] = nil
		}
	}
}

// checkServer returns an error if a name or an address cannot be a server's: one that
// no host can have. A secondary may refuse the zone for it.
func checkServer(host string) error {
	_, err := registry.CheckHost(host)
	var bad *registry.FieldError
	if errors.As(err, &bad) {
		return errors.New(bad.Problem)
	}
	return err
}

// freeForServer returns an error if a name in the zone cannot be a name server's: the
// names that the content may need, and all names below them, are not free.
func (z *Zone) freeForServer(host string) error {
	if host == z.origin {
		return errors.New("it is the zone itself; use a name below it")
	}
	top := above(wireName(host), z.wire)
	if z.forward != "" {
		if len(top) == 1 || strings.Trim(string(top), "0123456789") == "" {
			return fmt.Errorf("the name belongs to the addresses; use one outside of %s", z.origin)
		}
		return nil
	}
	switch string(top) {
	case "tcp", "udp", "_tcp", "_udp":
		return fmt.Errorf("the name belongs to the services; use one outside of tcp, udp, _tcp and _udp.%s", z.origin)
	}
	return nil
}
