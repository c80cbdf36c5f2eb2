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
		"long service":   {func(c *Config) { c.Service = "_" + strings.Repeat("a", 63) + "._tcp" }, []string{"Config.Service", "63", "at most 62"}},
		"hyphen":         {func(c *Config) { c.Service = "_math-._tcp" }, []string{"hyphen"}},
		"upper case":     {func(c *Config) { c.Service = "_Math._tcp" }, []string{"lower case", `"_math._tcp"`}},
		"with a zone":    {func(c *Config) { c.Service = "_math._tcp.svc." }, []string{`zone "svc."`, `write "_math._tcp"`}},
		"no underscores": {func(c *Config) { c.Service = "math.tcp" }, []string{`"_math._tcp"`}},
		"sctp":           {func(c *Config) { c.Service = "_math._sctp" }, []string{"Config.Service"}},
		"port":           {func(c *Config) { c.Port = 0 }, []string{"Config.Port", "port that the server listens on"}},
		"upper-case id":  {func(c *Config) { c.ID = "A1" }, []string{"Config.ID", "lower-case"}},
		"dotted id":      {func(c *Config) { c.ID = "a.b" }, []string{"Config.ID"}},
		"slash in id":    {func(c *Config) { c.ID = "a/b" }, []string{"Config.ID"}},
		"hook with path": {func(c *Config) { c.Hooks = []string{"http://a/?b"} }, []string{"Config.Hooks[0]", "http://127.0.0.1:8053"}},
		"no hook":        {func(c *Config) { c.Hooks = []string{""} }, []string{"Config.Hooks[0]"}},
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
