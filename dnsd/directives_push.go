package dnsd

import "cmp"

// insidePush are the lines in the braces of push.
var insidePush = map[string]directive{
	"sessions":    number(func(z *Zone) *int { return &z.DNS.Push.Sessions }),
	"name":        {read: readPushName},
	"per-address": number(func(z *Zone) *int { return &z.DNS.Push.PerAddress }),
}

// readPush reads: push off, or push with braces.
func readPush(r *reader, l line) error {
	switch {
	case len(l.args) == 2 && l.args[1] == "off" && !l.open:
		r.zone.DNS.Push.Off = true
	case len(l.args) != 1 || !l.open:
		return l.errorf("expected off or a { } block")
	}
	return nil
}

// readPushName reads: name HOST [PORT].
func readPushName(r *reader, l line) (err error) {
	if n := len(l.args); n != 2 && n != 3 {
		return l.errorf("expected the host name in the certificate and perhaps a port, as in: name dns.example.com 853")
	}
	if r.zone.DNS.Push.Name, err = l.domain(l.args[1]); err != nil || len(l.args) == 2 {
		return err
	}
	return l.word(2).number(&r.zone.DNS.Push.Port)
}

// normal is p with its port, if it has a name.
func (p Push) normal(d DNS) (Push, error) {
	switch {
	case p.Name == "":
		return p, nil
	case p.Off:
		return p, faultf("push name", "there are no sessions: take out push off, or the name")
	case d.TLS == (TLS{}):
		return p, faultf("push name", "clients that find the server by its name need TLS (RFC 8765 section 5): add a line tls CERT KEY")
	}
	p.Port = cmp.Or(p.Port, d.TLSPort)
	if p.Port < 1 || p.Port > 65535 {
		return p, faultf("push name", "bad port %d; expected 1 to 65535", p.Port)
	}
	return p, nil
}

// Tests: directives_test.go.
