package register

import (
	"strings"
	"testing"
	"time"
)

func TestConfigNamesFieldAndCure(t *testing.T) {
	good := Config{Service: "_math._tcp", ID: "a1", Registration: Registration{Port: 1}}
	if _, err := good.complete(time.Now()); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change func(*Config)
		want   []string
	}{
		"no service":     {func(c *Config) { c.Service = "" }, []string{"Config.Service", `"_math._tcp"`}},
		"bare service":   {func(c *Config) { c.Service = "math" }, []string{"Config.Service", `"_math._tcp"`}},
		"long service":   {func(c *Config) { c.Service = "_sixteen-letters-._tcp" }, []string{"Config.Service"}},
		"digits only":    {func(c *Config) { c.Service = "_80._tcp" }, []string{"Config.Service"}},
		"sctp":           {func(c *Config) { c.Service = "_math._sctp" }, []string{"Config.Service"}},
		"port":           {func(c *Config) { c.Port = 0 }, []string{"Config.Port", "port that the server listens on"}},
		"upper-case id":  {func(c *Config) { c.ID = "A1" }, []string{"Config.ID", "lower-case"}},
		"dotted id":      {func(c *Config) { c.ID = "a.b" }, []string{"Config.ID"}},
		"slash in id":    {func(c *Config) { c.ID = "a/b" }, []string{"Config.ID"}},
		"hook no scheme": {func(c *Config) { c.Hooks = []string{"127.0.0.1:8053"} }, []string{"Config.Hooks[0]", "http://127.0.0.1:8053"}},
		"second hook":    {func(c *Config) { c.Hooks = []string{"http://a", "ftp://b"} }, []string{"Config.Hooks[1]"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := good
			c.change(&cfg)
			_, err := cfg.complete(time.Now())
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %s", err, w)
				}
			}
		})
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
		if !validLabel(id) {
			t.Errorf("%q is no label", id)
		}
	}
}
