package dnsd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/hook"
	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/setting"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

// told is what each room is told of one block. A zero field is the room's default.
type told struct {
	registry registry.Config
	zones    []zone.Config
	hook     hook.Config     // without the fields that only a running block can fill
	access   nameserver.Zone // without a zone: the servers that may copy it, and their keys
	cert     *tls.Certificate
}

// translate makes what each room is told of z, and has the room check it. z is normal.
func (z Zone) translate() (told, error) {
	t := told{registry: z.forRegistry(), hook: z.forHook()}
	full, err := registry.Check(t.registry)
	if err != nil {
		return t, blame(registryWords, err)
	}
	if t.zones, err = z.forZones(full); err != nil {
		return t, err
	}
	for _, c := range t.zones {
		if err := zone.Check(c); err != nil {
			return t, blame(zoneWords, err)
		}
	}
	checked, err := hook.Check(t.hook)
	if err != nil {
		return t, blame(hookWords, err)
	}
	t.hook.TLS = checked.TLS // the files are read
	if _, err := nameserver.Check(z.DNS.forServer()); err != nil {
		return t, blame(serverWords, err)
	}
	if t.access, err = z.forTransfer(); err != nil {
		return t, err
	}
	if err := t.access.CheckAccess(); err != nil {
		return t, blame(serverWords, err)
	}
	t.cert, err = z.DNS.TLS.load()
	return t, err
}

// A fault is a setting that is wrong.
type fault struct {
	path string // the words of the Corefile: "lease min"; empty: the head of the block
	item string // which one, where there may be several
	err  error
}

// faultf returns a fault of the setting at path.
func faultf(path, format string, args ...any) *fault {
	return &fault{path: path, err: fmt.Errorf(format, args...)}
}

// Error implements error.
func (f *fault) Error() string {
	text := f.err.Error()
	if f.path == "" || strings.HasPrefix(text, f.path+": ") || strings.HasPrefix(text, f.path+" ") { // it says so itself
		return text
	}
	return f.path + ": " + text
}

// Unwrap implements the chain of errors.Is.
func (f *fault) Unwrap() error { return f.err }

// blame turns the field that a room refuses into the words of the Corefile.
func blame(words map[string]string, err error) error {
	var bad *setting.Error
	if !errors.As(err, &bad) {
		return err
	}
	path, ok := words[bad.Field]
	if !ok {
		return bad
	}
	return &fault{path, bad.Item, bad.Err}
}

// The words of the Corefile for the fields of each room's Config.
var (
	registryWords = map[string]string{
		"TTL": "ttl", "Lease.Default": "lease", "Lease.Min": "lease min", "Lease.Max": "lease max",
		"Limits.Instances": "limits instances", "Limits.PerService": "limits per-service",
		"History.Changes": "history", "History.Age": "history",
		"Guard.Percent": "guard", "Guard.Leases": "guard leases", "Guard.Max": "guard max",
	}
	zoneWords = map[string]string{
		"Origin": "", "NS": "ns", "NSAddrs": "bind", "Hostmaster": "hostmaster", "NegativeTTL": "negative", "Push": "push name",
	}
	hookWords = map[string]string{
		"Addr": "hook", "TLS": "hook tls", "Tokens": "hook token", "Limits.Rate": "hook rate",
		"Limits.Connections": "hook connections", "Limits.PerAddr": "hook per-address",
		"Limits.IdleTimeout": "hook idle", "Limits.Holds": "hook holds", "Limits.Watches": "hook watches",
	}
	serverWords = map[string]string{
		"MaxUDP": "udpsize", "RateLimit.PerSecond": "ratelimit", "NSID": "nsid", "CookieSecrets": "cookie",
		"TCP.Conns": "tcp connections", "TCP.ConnsPerAddr": "tcp per-address", "TCP.Idle": "tcp idle",
		"Push.Sessions": "push sessions", "Push.PerAddress": "push per-address",
		"Transfer": "transfer to", "TSIG": "tsig",
	}
)

// forRegistry is z as the registry takes it, without the backend.
func (z Zone) forRegistry() registry.Config {
	return registry.Config{
		TTL:    z.TTL,
		Lease:  registry.Leases(z.Lease),
		Limits: registry.Limits(z.Limits),
		Guard: registry.Guard{
			Off: z.Guard.Off, Percent: z.Guard.Percent,
			Leases: z.Guard.Leases, Max: z.Guard.Max, NoProbe: z.Guard.NoProbe,
		},
		History: registry.History(z.History),
	}
}

// forZones are the zones of a block: its origins and its reverse zones. TTL and
// history are those of the registry.
func (z Zone) forZones(r registry.Config) ([]zone.Config, error) {
	common := zone.Config{
		NSAddrs: boundAddrs(z.Bind, interfaceAddrs), Hostmaster: z.Apex.Hostmaster,
		TTL: r.TTL, NegativeTTL: z.Apex.NegativeTTL,
		Push:         zone.PushServer{Host: z.DNS.Push.Name, Port: uint16(z.DNS.Push.Port)},
		JournalSteps: r.History.Changes, JournalAge: r.History.Age,
	}
	if s := z.Store.Shared; s != nil && len(s.Peers) > 0 {
		common.NSAddrs = s.peerAddrs() // all dnsd of the cluster must publish the same
	}
	for _, ns := range z.Apex.NS {
		common.NS = append(common.NS, zone.NameServer{Host: ns.Name, Addrs: ns.Addrs})
	}
	var configs []zone.Config
	for _, o := range z.Origins {
		c := common
		c.Origin = o
		configs = append(configs, c)
	}
	for i, p := range z.Reverse {
		origin, err := reverseOrigin(p)
		if err != nil {
			return nil, &fault{"reverse", fmt.Sprint(i), err}
		}
		c := common
		c.Origin, c.Forward = origin, z.Origins[0]
		configs = append(configs, c)
	}
	return configs, nil
}

// reverseOrigin is the reverse zone of a prefix that ends at a label: RFC 1035
// section 3.5, RFC 3596 section 2.5.
func reverseOrigin(p netip.Prefix) (string, error) {
	if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
		return "", fmt.Errorf("bad prefix %v; expected one such as 10.0.0.0/8, with no bit set after its length", p)
	}
	label := 8
	if p.Addr().Is6() {
		label = 4
	}
	if p.Bits() == 0 || p.Bits()%label != 0 || p.Bits() == p.Addr().BitLen() {
		return "", fmt.Errorf("bad length of prefix %v; expected a multiple of %d bits, so that the reverse zone ends at a label", p, label)
	}
	full, err := dns.ReverseAddr(p.Addr().String())
	if err != nil {
		return "", err
	}
	for range (p.Addr().BitLen() - p.Bits()) / label {
		_, full, _ = strings.Cut(full, ".")
	}
	return full, nil
}

// forHook is z as the hook takes it.
func (z Zone) forHook() hook.Config {
	h := z.Hook
	c := hook.Config{
		Addr: h.Addr, Zone: z.Origins[0], Aliases: z.Origins[1:], Insecure: h.Insecure,
		Limits: hook.Limits{
			Rate: h.Limits.Rate, Connections: h.Limits.Connections, PerAddr: h.Limits.PerAddress,
			IdleTimeout: h.Limits.Idle, Holds: h.Limits.Holds, Watches: h.Limits.Watches,
		},
	}
	if h.TLS != (TLS{}) || h.ClientCA != "" {
		c.TLS = &hook.TLS{Cert: h.TLS.Cert, Key: h.TLS.Key, ClientCA: h.ClientCA}
	}
	for _, t := range h.Tokens {
		token := hook.Token{Name: t.Name, Secret: t.Secret, Services: t.Services, AnyHost: t.AnyHost}
		for _, v := range t.Verbs {
			token.Verbs = append(token.Verbs, hook.Verb(v))
		}
		c.Tokens = append(c.Tokens, token)
	}
	return c
}

// forServer is d as the name server takes it.
func (d DNS) forServer() nameserver.Config {
	return nameserver.Config{
		MaxUDP: d.UDPSize, NSID: d.NSID, CookieSecrets: d.CookieSecrets,
		RateLimit: nameserver.RateLimit{PerSecond: d.RateLimit},
		TCP:       nameserver.TCPLimits{Conns: d.TCP.Connections, ConnsPerAddr: d.TCP.PerAddress, Idle: d.TCP.Idle},
		Push: nameserver.Push{
			Off: d.Push.Off, Limits: push.Limits{Sessions: d.Push.Sessions, PerAddress: d.Push.PerAddress},
		},
	}
}

// forTransfer is z's part of a zone of the name server: the servers that may copy it.
func (z Zone) forTransfer() (nameserver.Zone, error) {
	access := nameserver.Zone{TSIG: map[string]nameserver.Key{}}
	for i, s := range z.Transfer.To {
		p, err := s.access()
		if err != nil {
			return access, &fault{"transfer to", fmt.Sprint(i), err}
		}
		access.Transfer = append(access.Transfer, p)
	}
	for i, k := range z.Transfer.Keys {
		name := dns.CanonicalName(k.Name)
		if _, twice := access.TSIG[name]; twice {
			return access, &fault{"tsig", fmt.Sprint(i), fmt.Errorf("%s is listed twice", name)}
		}
		access.TSIG[name] = nameserver.Key{Algorithm: k.Algorithm, Secret: k.Secret}
	}
	return access, nil
}

// access is s as the name server takes it. An address without port means port 53.
func (s Secondary) access() (nameserver.Secondary, error) {
	p := nameserver.Secondary{Key: s.Key}
	if s.Addr == "" {
		return p, nil // every server that signs with the key
	}
	if prefix, err := netip.ParsePrefix(s.Addr); err == nil {
		p.Prefix = prefix
		return p, nil
	}
	to, err := netip.ParseAddrPort(s.Addr)
	if err != nil {
		a, err := netip.ParseAddr(s.Addr)
		if err != nil {
			return p, fmt.Errorf("bad address %q; expected IP, IP:port or a prefix", s.Addr)
		}
		to = netip.AddrPortFrom(a, 53)
	}
	a := to.Addr().Unmap()
	p.Prefix, p.Notify = netip.PrefixFrom(a, a.BitLen()), to
	return p, nil
}

// served is a zone at one address. Secondaries are told of changes (NOTIFY) only from
// the first address of a block: once is enough.
func (t told) served(z *zone.Zone, notify bool) nameserver.Zone {
	access := t.access
	access.Zone = z
	if !notify {
		access.Transfer = slices.Clone(access.Transfer)
		for i := range access.Transfer {
			access.Transfer[i].Notify = netip.AddrPort{}
		}
	}
	return access
}

// load reads the files. It returns nil if there are none.
func (t TLS) load() (*tls.Certificate, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	if t.Cert == "" || t.Key == "" {
		return nil, faultf("tls", "a certificate needs its key, and a key its certificate")
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, faultf("tls", "load certificate %s, key %s: %w", t.Cert, t.Key, err)
	}
	return &cert, nil
}

// Tests: check_test.go, directives_test.go, server_test.go.
