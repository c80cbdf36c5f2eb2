package register

import (
	"net/http"
	"slices"
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
		"long service":   {func(c *Config) { c.Service = "_" + strings.Repeat("a", 63) + "._tcp" }, []string{"Config.Service", "64 characters", "63"}},
		"hyphen":         {func(c *Config) { c.Service = "_math-._tcp" }, []string{"inner hyphens"}},
		"upper case":     {func(c *Config) { c.Service = "_Math._tcp" }, []string{"lower case", `"_math._tcp"`}},
		"with a zone":    {func(c *Config) { c.Service = "_math._tcp.svc." }, []string{`zone "svc."`, `the name is "_math._tcp"`}},
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

func TestHooksComeFromTheCallerOrTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		given []string
		env   string
		want  []string
	}{
		{nil, "", []string{"http://127.0.0.1:8053"}},
		{nil, "  ", []string{"http://127.0.0.1:8053"}},
		{nil, "https://dnsd.example.org:1, 10.0.0.7:2\tweb1,", []string{"https://dnsd.example.org:1", "http://10.0.0.7:2", "http://web1:8053"}},
		{[]string{"[::1]:80", "::1"}, "other:1", []string{"http://[::1]:80", "http://[::1]:8053"}},
		{[]string{"http://a/"}, "", []string{"http://a"}},
	} {
		got, err := findHooks(c.given, c.env)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q, %q: %q, %v", c.given, c.env, got, err)
		}
	}
	if _, err := findHooks(nil, "10.0.0.7:2 ftp://a"); err == nil || !strings.Contains(err.Error(), "ROLLCALL_HOOK (1)") {
		t.Errorf("%v does not name the variable", err)
	}
	t.Setenv("ROLLCALL_HOOK", "10.0.0.7:2")
	cfg, err := Config{Service: "_math._tcp", Registration: Registration{Port: 1}}.complete(time.Now())
	if err != nil || cfg.Hooks[0] != "http://10.0.0.7:2" {
		t.Errorf("%v, %v", cfg.Hooks, err)
	}
}

// Keep and a server that knows its address make the same id of it.
func TestIDOfAHookOnThisMachineIsItsLoopbackAddress(t *testing.T) {
	for _, hook := range []string{"http://127.0.0.1:8053", "http://localhost:1"} {
		cfg, err := Config{Hooks: []string{hook}, Service: "_math._tcp", Registration: Registration{Port: 8080}}.complete(time.Now())
		if err != nil || cfg.ID != "127-0-0-1-8080" {
			t.Errorf("%s: %s, %v", hook, cfg.ID, err)
		}
	}
	if host := ownHost("http://hook.example.org"); !validLabel(deriveID(host, 1)) {
		t.Errorf("of %q comes no label", host)
	}
}

func TestProxyIsForHooksFarAwayAndHostsThatAreGiven(t *testing.T) {
	for _, c := range []struct {
		hook, host string
		direct     bool
	}{
		{"http://203.0.113.5:8053", "", true}, // it would publish the proxy
		{"http://127.0.0.1:8053", "192.0.2.1", true},
		{"http://10.1.2.3:8053", "192.0.2.1", true},
		{"http://100.64.1.1:8053", "192.0.2.1", true},
		{"http://[fd00::1]:8053", "192.0.2.1", true},
		{"http://dnsd:8053", "192.0.2.1", true},
	} {
		cfg := Config{Hooks: []string{c.hook}, Registration: Registration{Host: c.host}}
		req, err := http.NewRequest(http.MethodPut, c.hook, nil)
		if err != nil {
			t.Fatal(err)
		}
		if via, err := cfg.proxy(req); err != nil || via != nil {
			t.Errorf("%s, host %q: by %v, %v", c.hook, c.host, via, err)
		}
	}
	if isPrivate("203.0.113.5") || isPrivate("dnsd.example.org") {
		t.Error("everybody is private")
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
