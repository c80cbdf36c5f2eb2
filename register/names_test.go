package register

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/srvname"
)

// Keep without a host, and a server that gives its address, make the same id.
func TestIDOfAHookOnThisMachineIsItsLoopbackAddress(t *testing.T) {
	for _, hook := range []string{"http://127.0.0.1:8053", "http://localhost:1"} {
		cfg, err := Config{Hooks: []string{hook}, Service: "_math._tcp", Registration: Registration{Port: 8080}}.complete(time.Now())
		if err != nil || cfg.ID != "127-0-0-1-8080" {
			t.Errorf("%s: %s, %v", hook, cfg.ID, err)
		}
	}
	if host := ownHost("http://hook.example.org"); srvname.LabelProblem(deriveID(host, 1)) != "" {
		t.Errorf("of %q comes no label", host)
	}
}

func TestDerivedID(t *testing.T) {
	long := strings.Repeat("a", 60)
	cases := []struct {
		host string
		port uint16
		want string
	}{
		{"10.0.0.7", 8080, "10-0-0-7-8080"},
		{"Web7.Example.ORG.", 80, "web7-example-org-80"},
		{"::1", 443, "0000-0000-0000-0000-0000-0000-0000-0001-443"},
		{"...", 443, "p443"},
	}
	for _, c := range cases {
		if got := deriveID(c.host, c.port); got != c.want {
			t.Errorf("%s %d: got %s, want %s", c.host, c.port, got, c.want)
		}
	}
	a, b := deriveID(long+".a", 65535), deriveID(long+".b", 65535)
	if a == b {
		t.Errorf("two long hosts have one id: %s", a)
	}
	for _, id := range []string{a, b, deriveID("", 1)} {
		if srvname.LabelProblem(id) != "" {
			t.Errorf("%q is no label", id)
		}
	}
}
