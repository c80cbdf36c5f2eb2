package dnsd

import (
	"os"
	"strings"
)

func readHook(d *blockReader, l line) error {
	h := &d.zone.Hook
	switch len(l.args) {
	case 1:
	case 2:
		h.Addr = l.args[1]
	default:
		return l.errorf("expected one address, as in: hook 127.0.0.1:8053")
	}
	return subBlock(l, map[string]func(line) error{
		"tls": func(l line) error {
			if n := len(l.args); n < 3 || n > 4 {
				return l.errorf("expected files, as in: tls CERT KEY [CLIENT-CA]")
			}
			h.Cert, h.Key = d.path(l.args[1]), d.path(l.args[2])
			if len(l.args) == 4 {
				h.ClientCA = d.path(l.args[3])
			}
			return nil
		},
		"token": func(l line) error {
			t, err := readToken(d, l)
			h.Tokens = append(h.Tokens, t)
			return err
		},
		"insecure":    func(l line) error { h.Insecure = true; return l.want(0, "no argument") },
		"rate":        func(l line) error { return l.number(1, 10_000_000, &h.RequestRate) },
		"connections": func(l line) error { return l.number(1, 1_000_000, &h.Connections) },
		"per-address": func(l line) error { return l.number(1, 1_000_000, &h.PerAddress) },
		"idle":        func(l line) error { return l.duration(&h.Idle) },
		"holds":       func(l line) error { return l.number(1, 1_000_000, &h.Holds) },
		"watches":     func(l line) error { return l.number(1, 1_000_000, &h.Watches) },
	})
}

// readToken reads: token [name NAME] SECRET|file PATH [read|write|admin|any-host ...]
// [SERVICE ...]. No error repeats a word that may be the secret.
func readToken(d *blockReader, l line) (t Token, err error) {
	args := l.args[1:]
	if len(args) >= 2 && args[0] == "name" {
		t.Name, args = args[1], args[2:]
	}
	if len(args) == 0 {
		return t, l.errorf("expected a secret, as in: token name deploy {$ROLLCALL_TOKEN} write _math._tcp")
	}
	t.Secret, args = args[0], args[1:]
	switch t.Secret {
	case "file":
		if len(args) == 0 {
			return t, l.errorf("expected a path, as in: token file /etc/rollcall/token write")
		}
		text, err := os.ReadFile(d.path(args[0]))
		if err != nil {
			return t, l.errorf("%w", err)
		}
		t.Secret, args = strings.TrimSpace(string(text)), args[1:]
		if t.Secret == "" {
			return t, l.errorf("the file holds no secret")
		}
	case "read", "write", "admin", "any-host", "name":
		return t, l.errorf("%s stands where the secret belongs: the secret comes first, what it allows behind it", t.Secret)
	}
	if strings.ContainsFunc(t.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return t, l.errorf("the secret holds a blank or a character that a header cannot carry; a variable is one word")
	}
	for i, a := range args {
		switch {
		case a == "read" || a == "write" || a == "admin":
			t.Verbs = append(t.Verbs, a)
		case a == "any-host":
			t.AnyHost = true
		case a == "*" || strings.HasPrefix(a, "_"):
			t.Services = append(t.Services, a)
		default:
			rights := []string{"read", "write", "admin", "any-host"}
			if near, ok := nearest(a, rights); ok {
				return t, l.errorf("unexpected %q; did you mean %q?", a, near)
			}
			return t, l.errorf("word %d behind the secret is unknown; expected read, write, admin, any-host or a service pattern such as _math._tcp, _math.* or *", i+1)
		}
	}
	return t, nil
}
