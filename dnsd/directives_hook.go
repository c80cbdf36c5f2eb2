package dnsd

import (
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rollcall-dns/rollcall/internal/nearest"
)

var insideHook = map[string]directive{
	"tls":         {read: readHookTLS},
	"token":       {repeats: true, read: readToken},
	"insecure":    {read: readInsecure},
	"rate":        number(func(z *Zone) *int { return &z.Hook.Limits.Rate }),
	"connections": number(func(z *Zone) *int { return &z.Hook.Limits.Connections }),
	"per-address": number(func(z *Zone) *int { return &z.Hook.Limits.PerAddress }),
	"idle":        duration(func(z *Zone) *time.Duration { return &z.Hook.Limits.Idle }),
	"holds":       number(func(z *Zone) *int { return &z.Hook.Limits.Holds }),
	"watches":     number(func(z *Zone) *int { return &z.Hook.Limits.Watches }),
}

func readHook(r *reader, l line) error {
	switch len(l.args) {
	case 1:
	case 2:
		r.zone.Hook.Addr = l.args[1]
	default:
		return l.errorf("expected one address, as in: hook 127.0.0.1:8053")
	}
	return nil
}

func readHookTLS(r *reader, l line) error {
	if n := len(l.args); n < 3 || n > 4 {
		return l.errorf("expected files, as in: tls CERT KEY [CLIENT-CA]")
	}
	r.zone.Hook.TLS = TLS{Cert: r.path(l.args[1]), Key: r.path(l.args[2])}
	if len(l.args) == 4 {
		r.zone.Hook.ClientCA = r.path(l.args[3])
	}
	return nil
}

func readInsecure(r *reader, l line) error {
	r.zone.Hook.Insecure = true
	return l.want(0, "no word after it")
}

func readToken(r *reader, l line) error {
	t, err := parseToken(r, l)
	r.places.mark(l, "hook token", len(r.zone.Hook.Tokens))
	r.zone.Hook.Tokens = append(r.zone.Hook.Tokens, t)
	return err
}

// service matches what a service looks like after a secret.
var service = regexp.MustCompile(`^_.*\.(_tcp|_udp|\*)$`)

// parseToken reads: token [name NAME] SECRET|file PATH [read|write|admin|any-host ...]
// [SERVICE ...]. No error repeats a word that may be the secret.
func parseToken(r *reader, l line) (t Token, err error) {
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
		text, err := os.ReadFile(r.path(args[0]))
		if err != nil {
			return t, l.errorf("%w", err)
		}
		t.Secret, args = strings.TrimSpace(string(text)), args[1:]
		if t.Secret == "" {
			return t, l.errorf("the file holds no secret")
		}
	case "read", "write", "admin", "any-host", "name", "*":
		return t, l.errorf("%s is where the secret belongs: write the secret first, and then what it allows", t.Secret)
	}
	if service.MatchString(t.Secret) { // the secret was left out, and anyone could guess this one
		return t, l.errorf("a service is where the secret belongs: write the secret first, and then what it allows")
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
			if near, ok := nearest.Typo(a, rights); ok {
				return t, l.errorf("unexpected %q; did you mean %q?", a, near)
			}
			return t, l.errorf("word %d after the secret is unknown; expected read, write, admin, any-host or a service pattern such as _math._tcp, _math.* or *; a name goes before the secret, as in: token name deploy {$ROLLCALL_TOKEN}", i+1)
		}
	}
	return t, nil
}

// Tests: directives_test.go, corefile_test.go, hidden_test.go.
