package dnsd

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A directive is one word that may begin a line of a server block.
type directive struct {
	repeats bool // may stand more than once
	block   bool // may open braces
	read    func(*blockReader, line) error
}

// directives is the closed table of them. docs/corefile.md and Corefile.example list the
// same words; a test holds the three together.
var directives = map[string]directive{
	"bind":       {repeats: true, read: readBind},
	"hook":       {block: true, read: readHook},
	"store":      {read: readStore},
	"ttl":        {read: durationInto(func(z *Zone) *time.Duration { return &z.TTL })},
	"negative":   {read: durationInto(func(z *Zone) *time.Duration { return &z.NegativeTTL })},
	"lease":      {block: true, read: readLease},
	"guard":      {block: true, read: readGuard},
	"limits":     {block: true, read: readLimits},
	"history":    {read: readHistory},
	"ns":         {repeats: true, read: readNS},
	"hostmaster": {read: readHostmaster},
	"reverse":    {repeats: true, read: readReverse},
	"transfer":   {repeats: true, block: true, read: readTransfer},
	"tls":        {read: readTLS},
	"tsig":       {repeats: true, read: readTSIG},
	"udpsize":    {read: numberInto(512, 4096, func(z *Zone) *int { return &z.DNS.UDPSize })},
	"ratelimit":  {read: readRateLimit},
	"nsid":       {read: readNSID},
	"cookie":     {repeats: true, read: readCookie},
	"tcp":        {block: true, read: readTCP},
	"log":        {read: readLog},
	"lameduck":   {read: readLameDuck},
}

func readBind(d *blockReader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected one or more IP addresses, as in: bind 127.0.0.1 ::1")
	}
	d.hosts = append(d.hosts, l.args[1:]...)
	return nil
}

func readStore(d *blockReader, l line) error {
	switch {
	case len(l.args) == 2 && l.args[1] == "memory":
		d.zone.Store = Store{Kind: "memory"}
	case len(l.args) == 3 && l.args[1] == "bolt":
		d.zone.Store = Store{Kind: "bolt", Path: d.path(l.args[2])}
	default:
		return l.errorf("expected memory, or bolt and a path, as in: store bolt data/svc.db")
	}
	return nil
}

func readLease(d *blockReader, l line) error {
	z := &d.zone
	if len(l.args) > 1 || !l.open {
		if err := l.duration(&z.Lease); err != nil {
			return err
		}
	}
	return subBlock(l, map[string]func(line) error{
		"min": func(l line) error { return l.duration(&z.MinLease) },
		"max": func(l line) error { return l.duration(&z.MaxLease) },
	})
}

func readGuard(d *blockReader, l line) error {
	g := &d.zone.Guard
	switch {
	case len(l.args) == 1 && l.open:
	case len(l.args) == 2 && l.args[1] == "off":
		g.Off = true
	case len(l.args) == 2 && strings.HasSuffix(l.args[1], "%"):
		n, err := strconv.Atoi(strings.TrimSuffix(l.args[1], "%"))
		if err != nil || n < 1 || n > 100 {
			return l.errorf("bad share %q; expected 1%% to 100%%", l.args[1])
		}
		g.Percent = n
	default:
		return l.errorf("expected a share or off, as in: guard 30%%")
	}
	return subBlock(l, map[string]func(line) error{
		"leases": func(l line) error { return l.number(1, 1000, &g.Leases) },
		"max":    func(l line) error { return l.duration(&g.Max) },
		"probe": func(l line) error {
			if len(l.args) != 2 || (l.args[1] != "on" && l.args[1] != "off") {
				return l.errorf("expected on or off")
			}
			g.NoProbe = l.args[1] == "off"
			return nil
		},
	})
}

func readLimits(d *blockReader, l line) error {
	if err := l.wantBlock("a block in braces"); err != nil {
		return err
	}
	lim := &d.zone.Limits
	return subBlock(l, map[string]func(line) error{
		"instances":   func(l line) error { return l.number(1, 100_000_000, &lim.Instances) },
		"per-service": func(l line) error { return l.number(1, 100_000_000, &lim.PerService) },
	})
}

func readHistory(d *blockReader, l line) error {
	if len(l.args) < 2 || len(l.args) > 3 {
		return l.errorf("expected a number of changes and an age, as in: history 100000 24h")
	}
	first := line{file: l.file, no: l.no, args: l.args[:2]}
	if err := first.number(1, 100_000_000, &d.zone.History); err != nil {
		return err
	}
	if len(l.args) == 3 {
		age := line{file: l.file, no: l.no, args: []string{l.args[0], l.args[2]}}
		return age.duration(&d.zone.HistoryAge)
	}
	return nil
}

// readNS reads: ns NAME [ADDRESS ...] [NAME [ADDRESS ...] ...].
func readNS(d *blockReader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected names of name servers, each with its addresses if it lies in the zone, as in: ns ns1.svc. 192.0.2.1 ns2.example.")
	}
	begun := len(d.zone.NS) // addresses belong to a name of this line
	for _, word := range l.args[1:] {
		if addr, err := netip.ParseAddr(word); err == nil {
			if len(d.zone.NS) == begun {
				return l.errorf("%s stands before any name; expected the name of a server and then its addresses", word)
			}
			ns := &d.zone.NS[len(d.zone.NS)-1]
			ns.Addrs = append(ns.Addrs, addr)
			continue
		}
		name, err := l.domain(word)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(d.zone.NS, func(ns NameServer) bool { return ns.Name == name }) {
			return l.errorf("%s stands twice", name)
		}
		d.zone.NS = append(d.zone.NS, NameServer{Name: name})
	}
	return nil
}

func readHostmaster(d *blockReader, l line) (err error) {
	if err := l.want(1, "a mailbox as a domain name, as in: hostmaster admin.example."); err != nil {
		return err
	}
	mailbox := l.args[1]
	if local, host, ok := strings.Cut(mailbox, "@"); ok {
		if local == "" || strings.ContainsAny(local, `\"@`) || strings.Contains(host, "@") {
			return l.errorf("bad mailbox %q; expected one such as admin@example.", mailbox)
		}
		mailbox = strings.ReplaceAll(local, ".", `\.`) + "." + host // RFC 1035 section 8
	}
	d.zone.Hostmaster, err = l.domain(mailbox)
	return err
}

func readReverse(d *blockReader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected prefixes, as in: reverse 10.0.0.0/8 fd00::/16")
	}
	for _, a := range l.args[1:] {
		p, err := netip.ParsePrefix(a)
		if err != nil || p != p.Masked() || p.Addr().Is4In6() {
			return l.errorf("bad prefix %q; expected one such as 10.0.0.0/8, with no bit set behind its length", a)
		}
		step := 4
		if p.Addr().Is4() {
			step = 8
		}
		if p.Bits() == 0 || p.Bits()%step != 0 || p.Bits() == p.Addr().BitLen() {
			return l.errorf("bad prefix length of %q; expected a multiple of %d bits, so that the reverse zone ends at a label", a, step)
		}
		d.zone.Reverse = append(d.zone.Reverse, p)
	}
	return nil
}

func readTransfer(d *blockReader, l line) error {
	if err := l.wantBlock("a block in braces with lines such as: to 192.0.2.53 key xfr."); err != nil {
		return err
	}
	return subBlock(l, map[string]func(line) error{
		"to": func(l line) error {
			t := Transfer{}
			switch {
			case len(l.args) == 2:
			case len(l.args) == 4 && l.args[2] == "key":
				key, err := l.domain(l.args[3])
				if err != nil {
					return err
				}
				t.Key = key
			default:
				return l.errorf("expected an address and perhaps a key, as in: to 192.0.2.53 key xfr.")
			}
			t.To = l.args[1]
			if _, err := netip.ParseAddrPort(t.To); err != nil {
				if _, err := netip.ParsePrefix(t.To); err != nil {
					if _, err := netip.ParseAddr(t.To); err != nil {
						return l.errorf("bad address %q; expected IP, IP:port or a prefix", t.To)
					}
				}
			}
			d.zone.Transfer = append(d.zone.Transfer, t)
			return nil
		},
	})
}

// algorithms are the TSIG algorithms of RFC 8945 section 6 that are still
// recommended.
var algorithms = []string{dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512, dns.HmacSHA224, dns.HmacSHA1}

func readTSIG(d *blockReader, l line) error {
	if err := l.want(3, "name, algorithm and secret, as in: tsig xfr. hmac-sha256 {$XFR_KEY}"); err != nil {
		return err
	}
	name, err := l.domain(l.args[1])
	if err != nil {
		return err
	}
	alg := dns.CanonicalName(l.args[2])
	if !slices.Contains(algorithms, alg) {
		// Perhaps it is the secret.
		if near, ok := nearest(alg, algorithms); ok {
			return l.errorf("unknown algorithm %q; did you mean %q?", l.args[2], near)
		}
		return l.errorf("the second word is no algorithm; expected one of %s, and then the secret", strings.Join(algorithms, " "))
	}
	if raw, err := base64.StdEncoding.DecodeString(l.args[3]); err != nil || len(raw) == 0 {
		return l.errorf("the secret of %s is empty or not base64; is the environment variable set?", name)
	}
	d.zone.TSIG = append(d.zone.TSIG, TSIG{Name: name, Algorithm: alg, Secret: l.args[3]})
	return nil
}

func readNSID(d *blockReader, l line) error {
	if err := l.want(1, "a short text, as in: nsid ns1"); err != nil {
		return err
	}
	if n := len(l.args[1]); n == 0 || n > 64 {
		return l.errorf("%d octets; expected 1 to 64", n)
	}
	d.zone.DNS.NSID = l.args[1]
	return nil
}

func readCookie(d *blockReader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected secrets of 32 hexadecimal digits, the newest first")
	}
	for _, s := range l.args[1:] {
		if raw, err := hex.DecodeString(s); err != nil || len(raw) != 16 {
			return l.errorf("a secret is not 32 hexadecimal digits; is the environment variable set?")
		}
		d.zone.DNS.CookieSecrets = append(d.zone.DNS.CookieSecrets, s)
	}
	return nil
}

func readTLS(d *blockReader, l line) error {
	if n := len(l.args); n != 3 && n != 4 {
		return l.errorf("expected files and perhaps a port, as in: tls cert.pem key.pem 853")
	}
	t := &d.zone.TLS
	t.Cert, t.Key = d.path(l.args[1]), d.path(l.args[2])
	if len(l.args) == 4 {
		port := line{file: l.file, no: l.no, args: []string{l.args[0], l.args[3]}}
		return port.number(1, 65535, &t.Port)
	}
	return nil
}

func readTCP(d *blockReader, l line) error {
	if err := l.wantBlock("a block in braces"); err != nil {
		return err
	}
	t := &d.zone.DNS
	return subBlock(l, map[string]func(line) error{
		"connections": func(l line) error { return l.number(1, 1_000_000, &t.TCPConnections) },
		"per-address": func(l line) error { return l.number(1, 1_000_000, &t.TCPPerAddress) },
		"idle":        func(l line) error { return l.duration(&t.TCPIdle) },
	})
}

// readLog reads: log LEVEL [json|console].
func readLog(d *blockReader, l line) error {
	if n := len(l.args); n < 2 || n > 3 {
		return l.errorf("expected a level and perhaps a format, as in: log info json")
	}
	level, format := l.args[1], ""
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, level) {
		return l.errorf("unknown level %q; expected debug, info, warn or error", level)
	}
	if len(l.args) == 3 {
		if format = l.args[2]; format != "json" && format != "console" {
			return l.errorf("unknown format %q; expected json or console", format)
		}
	}
	c := d.config
	if before, twice := d.process["log"]; twice && (c.LogLevel != level || c.LogFormat != format) {
		return l.errorf("%s:%d says %q; the log is one for all blocks", before.file, before.no, strings.Join(before.args[1:], " "))
	}
	c.LogLevel, c.LogFormat = level, format
	d.process["log"] = l
	return nil
}

func readLameDuck(d *blockReader, l line) error {
	var v time.Duration
	if len(l.args) != 2 || l.args[1] != "0s" && l.args[1] != "0" {
		if err := l.duration(&v); err != nil {
			return err
		}
	}
	if before, twice := d.process["lameduck"]; twice && d.config.LameDuck != v {
		return l.errorf("%s:%d says %v; the process is one for all blocks", before.file, before.no, d.config.LameDuck)
	}
	d.config.LameDuck = v
	d.process["lameduck"] = l
	return nil
}

// subBlock reads the lines in a directive's braces by a table of their words.
func subBlock(l line, table map[string]func(line) error) error {
	seen := map[string]line{}
	for _, sub := range l.block {
		read, known := table[sub.name()]
		if !known {
			return sub.errorf("unknown inside %s; %s", l.name(), suggest(sub.name(), slices.Sorted(maps.Keys(table))))
		}
		if sub.open {
			return sub.errorf("takes no block in braces")
		}
		if before, twice := seen[sub.name()]; twice && sub.name() != "token" && sub.name() != "to" {
			return sub.errorf("stands at %s:%d already", before.file, before.no)
		}
		seen[sub.name()] = sub
		if err := read(sub); err != nil {
			return err
		}
	}
	return nil
}

func durationInto(field func(*Zone) *time.Duration) func(*blockReader, line) error {
	return func(d *blockReader, l line) error { return l.duration(field(&d.zone)) }
}

func numberInto(low, high int, field func(*Zone) *int) func(*blockReader, line) error {
	return func(d *blockReader, l line) error { return l.number(low, high, field(&d.zone)) }
}

// wantBlock says whether the line has nothing but a block in braces.
func (l line) wantBlock(expected string) error {
	if !l.open {
		return l.errorf("expected %s", expected)
	}
	return l.want(0, expected)
}

// want says whether the line has n arguments behind its first word.
func (l line) want(n int, expected string) error {
	if len(l.args) != n+1 {
		return l.errorf("expected %s", expected)
	}
	return nil
}

func (l line) duration(into *time.Duration) error {
	if err := l.want(1, "a duration such as 5s or 2m"); err != nil {
		return err
	}
	v, err := time.ParseDuration(l.args[1])
	if err != nil || v <= 0 {
		return l.errorf("bad duration %q; expected one such as 5s or 2m", l.args[1])
	}
	*into = v
	return nil
}

func (l line) number(low, high int, into *int) error {
	if err := l.want(1, "a number"); err != nil {
		return err
	}
	v, err := strconv.Atoi(l.args[1])
	if err != nil || v < low || v > high {
		return l.errorf("bad number %q; expected %d to %d", l.args[1], low, high)
	}
	*into = v
	return nil
}

// domain is the canonical form of a domain name, lower case with a final dot.
func (l line) domain(name string) (string, error) {
	if _, ok := dns.IsDomainName(name); !ok || name == "" || name == "." {
		return "", l.errorf("bad name %q; expected a domain name such as ns1.example.", name)
	}
	return dns.CanonicalName(name), nil
}
