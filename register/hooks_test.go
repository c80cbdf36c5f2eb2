package register

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

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
	if _, err := findHooks(nil, "10.0.0.7:2 ftp://a"); err == nil || !strings.Contains(err.Error(), `ROLLCALL_HOOK: address 2, "ftp://a"`) {
		t.Errorf("%v does not name the variable", err)
	}
	t.Setenv("ROLLCALL_HOOK", "10.0.0.7:2")
	cfg, err := Config{Service: "_math._tcp", Registration: Registration{Port: 1}}.complete(time.Now())
	if err != nil || cfg.Hooks[0] != "http://10.0.0.7:2" {
		t.Errorf("%v, %v", cfg.Hooks, err)
	}
}

func TestProxyIsForHooksFarAwayAndHostsThatAreGiven(t *testing.T) {
	for _, c := range []struct {
		hook, host string
		direct     bool
	}{
		{"http://203.0.113.5:8053", "", true}, // the hook would publish the proxy's address
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
		t.Error("a public hook counts as private")
	}
}

// TestErrorsAboutHooksHaveNoPassword: they may be logged.
func TestErrorsAboutHooksHaveNoPassword(t *testing.T) {
	for _, h := range []string{"http://me:s3cret@hook:8053", "me:s3cret@hook", "ftp://me:s3cret@hook"} {
		if _, err := findHooks([]string{h}, ""); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "Config.Token") {
			t.Errorf("%s: %v", h, err)
		}
	}
}
