package dnsd

// insidePush are the lines in the braces of push.
var insidePush = map[string]directive{
	"sessions":    number(func(z *Zone) *int { return &z.DNS.Push.Sessions }),
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

// Tests: directives_test.go.
