package dnsd

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A directive is a word that may begin a line of a server block, or a line in the
// braces of another.
type directive struct {
	repeats bool                 // may be there more than once
	inside  map[string]directive // in its braces; nil: it takes none
	read    func(*reader, line) error
}

// directives is the closed table of them. Corefile.example and docs/corefile.md have
// the same words; a test holds the three together.
var directives = map[string]directive{
	"bind":       {repeats: true, read: readBind},
	"hook":       {read: readHook, inside: insideHook},
	"store":      {read: readStore, inside: insideStore},
	"ttl":        duration(func(z *Zone) *time.Duration { return &z.TTL }),
	"negative":   duration(func(z *Zone) *time.Duration { return &z.Apex.NegativeTTL }),
	"lease":      {read: readLease, inside: insideLease},
	"guard":      {read: readGuard, inside: insideGuard},
	"limits":     {read: wantBraces("a { } block"), inside: insideLimits},
	"history":    {read: readHistory},
	"ns":         {repeats: true, read: readNS},
	"hostmaster": {read: readHostmaster},
	"reverse":    {repeats: true, read: readReverse},
	"transfer":   {repeats: true, read: wantBraces("a { } block with lines such as: to 192.0.2.53 key xfr."), inside: insideTransfer},
	"tls":        {read: readTLS},
	"tsig":       {repeats: true, read: readTSIG},
	"udpsize":    number(func(z *Zone) *int { return &z.DNS.UDPSize }),
	"ratelimit":  {read: readRateLimit},
	"nsid":       {read: readNSID},
	"cookie":     {repeats: true, read: readCookie},
	"tcp":        {read: wantBraces("a { } block"), inside: insideTCP},
	"push":       {read: readPush, inside: insidePush},
	"log":        {read: readLog},
	"lameduck":   {read: readLameDuck},
}

var insideLease = map[string]directive{
	"min": duration(func(z *Zone) *time.Duration { return &z.Lease.Min }),
	"max": duration(func(z *Zone) *time.Duration { return &z.Lease.Max }),
}

var insideGuard = map[string]directive{
	"leases": number(func(z *Zone) *int { return &z.Guard.Leases }),
	"max":    duration(func(z *Zone) *time.Duration { return &z.Guard.Max }),
	"probe":  {read: readProbe},
}

var insideLimits = map[string]directive{
	"instances":   number(func(z *Zone) *int { return &z.Limits.Instances }),
	"per-service": number(func(z *Zone) *int { return &z.Limits.PerService }),
}

var insideTransfer = map[string]directive{
	"to": {repeats: true, read: readSecondary},
}

var insideTCP = map[string]directive{
	"connections": number(func(z *Zone) *int { return &z.DNS.TCP.Connections }),
	"per-address": number(func(z *Zone) *int { return &z.DNS.TCP.PerAddress }),
	"idle":        duration(func(z *Zone) *time.Duration { return &z.DNS.TCP.Idle }),
}

// duration is a directive with one time.
func duration(field func(*Zone) *time.Duration) directive {
	return directive{read: func(r *reader, l line) error { return l.duration(field(&r.zone)) }}
}

// number is a directive with one number.
func number(field func(*Zone) *int) directive {
	return directive{read: func(r *reader, l line) error { return l.number(field(&r.zone)) }}
}

// wantBraces reads a directive that has nothing but braces.
func wantBraces(expected string) func(*reader, line) error {
	return func(_ *reader, l line) error {
		if !l.open {
			return l.errorf("expected %s", expected)
		}
		return l.want(0, expected)
	}
}

// readBind reads hosts; the port is in the head of the block.
func readBind(r *reader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected one or more IP addresses, as in: bind 127.0.0.1 ::1")
	}
	for _, host := range l.args[1:] {
		if _, err := netip.ParseAddr(host); err != nil {
			return l.errorf("bad address %q; expected an IP address without port (the port follows the zone name, as in svc:5300)", host)
		}
		r.places.mark(l, "bind", len(r.zone.Bind))
		r.zone.Bind = append(r.zone.Bind, host)
	}
	return nil
}

func readLease(r *reader, l line) error {
	if len(l.args) == 1 && l.open {
		return nil
	}
	return l.duration(&r.zone.Lease.Default)
}

func readGuard(r *reader, l line) error {
	g := &r.zone.Guard
	switch {
	case len(l.args) == 1 && l.open:
	case len(l.args) == 2 && l.args[1] == "off":
		g.Off = true
	case len(l.args) == 2 && strings.HasSuffix(l.args[1], "%"):
		n, err := strconv.Atoi(strings.TrimSuffix(l.args[1], "%"))
		if err != nil || n < 1 {
			return l.errorf("bad share %q; expected 1%% to 100%%", l.args[1])
		}
		g.Percent = n
	default:
		return l.errorf("expected a share or off, as in: guard 30%%")
	}
	return nil
}

func readProbe(r *reader, l line) error {
	if len(l.args) != 2 || (l.args[1] != "on" && l.args[1] != "off") {
		return l.errorf("expected on or off")
	}
	r.zone.Guard.NoProbe = l.args[1] == "off"
	return nil
}

func readHistory(r *reader, l line) error {
	if len(l.args) < 2 || len(l.args) > 3 {
		return l.errorf("expected a number of changes and an age, as in: history 100000 24h")
	}
	if err := l.word(1).number(&r.zone.History.Changes); err != nil {
		return err
	}
	if len(l.args) == 3 {
		return l.word(2).duration(&r.zone.History.Age)
	}
	return nil
}

// readNS reads: ns NAME [ADDRESS ...] [NAME [ADDRESS ...] ...].
func readNS(r *reader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected names of name servers, each with its addresses if it is in the zone, as in: ns ns1.svc. 192.0.2.1 ns2.example.")
	}
	servers := &r.zone.Apex.NS
	begun := len(*servers) // addresses belong to a name of this line
	for _, word := range l.args[1:] {
		if addr, err := netip.ParseAddr(word); err == nil {
			if len(*servers) == begun {
				return l.errorf("address %s comes before any name; expected the name of a server and then its addresses", word)
			}
			ns := &(*servers)[len(*servers)-1]
			ns.Addrs = append(ns.Addrs, addr)
			continue
		}
		name, err := l.domain(word)
		if err != nil {
			return err
		}
		r.places.mark(l, "ns", len(*servers))
		*servers = append(*servers, NameServer{Name: name})
	}
	return nil
}

func readHostmaster(r *reader, l line) (err error) {
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
	r.zone.Apex.Hostmaster, err = l.domain(mailbox)
	return err
}

func readReverse(r *reader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected prefixes, as in: reverse 10.0.0.0/8 fd00::/16")
	}
	for _, word := range l.args[1:] {
		p, err := netip.ParsePrefix(word)
		if err != nil {
			return l.errorf("bad prefix %q; expected one such as 10.0.0.0/8", word)
		}
		r.places.mark(l, "reverse", len(r.zone.Reverse))
		r.zone.Reverse = append(r.zone.Reverse, p)
	}
	return nil
}

func readSecondary(r *reader, l line) error {
	var s Secondary
	switch {
	case len(l.args) == 2:
	case len(l.args) == 4 && l.args[2] == "key":
		key, err := l.domain(l.args[3])
		if err != nil {
			return err
		}
		s.Key = key
	default:
		return l.errorf("expected an address and perhaps a key, as in: to 192.0.2.53 key xfr.")
	}
	s.Addr = l.args[1]
	r.places.mark(l, "transfer to", len(r.zone.Transfer.To))
	r.zone.Transfer.To = append(r.zone.Transfer.To, s)
	return nil
}

func readTSIG(r *reader, l line) error {
	if err := l.want(3, "name, algorithm and secret, as in: tsig xfr. hmac-sha256 {$XFR_KEY}"); err != nil {
		return err
	}
	name, err := l.domain(l.args[1])
	if err != nil {
		return err
	}
	keys := &r.zone.Transfer.Keys
	r.places.mark(l, "tsig", len(*keys), name)
	*keys = append(*keys, TSIG{Name: name, Algorithm: l.args[2], Secret: l.args[3]})
	return nil
}

// readRateLimit reads: ratelimit N. Zero switches it off, which in the Config is
// a negative number: there zero is the default.
func readRateLimit(r *reader, l line) error {
	if len(l.args) == 2 && l.args[1] == "0" {
		r.zone.DNS.RateLimit = -1
		return nil
	}
	if err := l.number(&r.zone.DNS.RateLimit); err != nil {
		return fmt.Errorf("%w, or 0 for no limit", err)
	}
	return nil
}

func readNSID(r *reader, l line) error {
	r.zone.DNS.NSID = l.args[len(l.args)-1]
	return l.want(1, "a short text, as in: nsid ns1")
}

func readCookie(r *reader, l line) error {
	if len(l.args) < 2 {
		return l.errorf("expected secrets of 32 hexadecimal digits, the newest first")
	}
	for _, s := range l.args[1:] {
		r.places.mark(l, "cookie", len(r.zone.DNS.CookieSecrets))
		r.zone.DNS.CookieSecrets = append(r.zone.DNS.CookieSecrets, s)
	}
	return nil
}

func readTLS(r *reader, l line) error {
	if n := len(l.args); n != 3 && n != 4 {
		return l.errorf("expected files and perhaps a port, as in: tls cert.pem key.pem 853")
	}
	r.zone.DNS.TLS = TLS{Cert: r.path(l.args[1]), Key: r.path(l.args[2])}
	if len(l.args) == 4 {
		return l.word(3).number(&r.zone.DNS.TLSPort)
	}
	return nil
}

// readLog reads: log LEVEL [json|console].
func readLog(r *reader, l line) error {
	if n := len(l.args); n < 2 || n > 3 {
		return l.errorf("expected a level and perhaps a format, as in: log info json")
	}
	log := Log{Level: l.args[1]}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, log.Level) {
		return l.errorf("unknown level %q; expected debug, info, warn or error", log.Level)
	}
	if len(l.args) == 3 {
		if log.Format = l.args[2]; log.Format != "json" && log.Format != "console" {
			return l.errorf("unknown format %q; expected json or console", log.Format)
		}
	}
	if before, twice := r.process["log"]; twice && r.file.Log != log {
		return l.errorf("%s says %q; there is one log for all blocks, so write the same in each, or write it once", before.place(), strings.Join(before.args[1:], " "))
	}
	r.file.Log = log
	r.process["log"] = l
	return nil
}

func readLameDuck(r *reader, l line) error {
	var v time.Duration
	if len(l.args) != 2 || l.args[1] != "0s" && l.args[1] != "0" {
		if err := l.duration(&v); err != nil {
			return err
		}
	}
	if before, twice := r.process["lameduck"]; twice && r.file.LameDuck != v {
		return l.errorf("%s says %v; there is one process for all blocks, so write the same in each, or write it once", before.place(), r.file.LameDuck)
	}
	r.file.LameDuck = v
	r.process["lameduck"] = l
	return nil
}
