package hook

import (
	"strings"
	"testing"
)

func TestHooksAreFound(t *testing.T) {
	for _, tc := range []struct{ given, env, want, err string }{
		{"", "", "http://127.0.0.1:8053", ""},
		{"", " http://a:1 , b:2\n", "http://a:1 http://b:2", ""},
		{"c", "http://a:1", "http://c:8053", ""},
		{"https://dnsd.example.org/prefix/", "", "https://dnsd.example.org/prefix", ""},
		{"::1", "", "http://[::1]:8053", ""},
		{"[::1]:9", "", "http://[::1]:9", ""},
		{"ftp://a", "", "", `-hook: bad address "ftp://a"`},
		{"", "http://user@a", "", `ROLLCALL_HOOK: bad address "http://user@a"`},
		{"http://a?x=1", "", "", `-hook: bad address`},
	} {
		got, err := bases(tc.given, tc.env)
		if err != nil && (tc.err == "" || !strings.HasPrefix(err.Error(), tc.err)) || err == nil && strings.Join(got, " ") != tc.want {
			t.Errorf("bases(%q, %q): %q, %v", tc.given, tc.env, got, err)
		}
	}
}
