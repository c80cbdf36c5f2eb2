package hook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestPatternsMatchLabelByLabel(t *testing.T) {
	for _, c := range []struct {
		pattern, service string
		want             bool
	}{
		{"*", "_math._tcp", true},
		{"_math._tcp", "_math._tcp", true},
		{"_MATH._TCP", "_math._tcp", true},
		{"_math._tcp", "_math._udp", false},
		{"_math._tcp", "_math2._tcp", false},
		{"_math.*", "_math._udp", true},
		{"_math.*", "_mathematics._udp", false},
		{"_math*.*", "_mathematics._udp", true},
		{"_math*._tcp", "_math._tcp", true},
		{"*._udp", "_math._udp", true},
		{"*._udp", "_math._tcp", false},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		if got := p.match(c.service); got != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.service, got)
		}
	}
	for _, bad := range []string{"", "math", "_math", "_math._tcp.svc", "_m*th._tcp", "math._tcp", "_math.", "**", "*x._tcp"} {
		if p, err := parsePattern(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, p)
		}
	}
}

func TestUselessTokensAreRefusedAtStart(t *testing.T) {
	for name, token := range map[string]Token{
		"environment variable set":    {Verbs: []Verb{Read}, Services: []string{"*"}},
		"an HTTP header cannot carry": {Secret: "two words", Verbs: []Verb{Read}, Services: []string{"*"}},
		"a verb is unknown":           {Secret: "s", Verbs: []Verb{"own"}, Services: []string{"*"}},
		"does not begin with _":       {Secret: "s", Verbs: []Verb{Read}, Services: []string{"math"}},
		`service pattern "_math"`:     {Secret: "s", Verbs: []Verb{Read}, Services: []string{"_math"}},
		"a service pattern does":      {Name: "named", Secret: "s", Verbs: []Verb{Read}, Services: []string{""}},
	} {
		_, err := newGrants([]Token{token})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "two words") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestATokenOfNoWordsReadsAndWritesAll(t *testing.T) {
	g, err := newGrant(Token{Secret: "s"})
	if err != nil || !g.allows(Write, "") || !g.allows(Read, "_math._tcp") || g.allows(Admin, "_math._tcp") || g.anyHost {
		t.Errorf("%+v, %v", g, err)
	}
}

// Words in the wrong place may be secrets: no error shows one.
func TestErrorsOfTokensShowNoSecret(t *testing.T) {
	const secret = "S3CRET"
	for _, token := range []Token{
		{Secret: "write", Verbs: []Verb{secret}, Services: []string{"*"}},
		{Secret: "write", Verbs: []Verb{Read}, Services: []string{secret}},
		{Secret: secret + "\n", Verbs: []Verb{Read}, Services: []string{"*"}},
	} {
		if _, err := newGrants([]Token{token}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

func TestTokensOpenWhatTheySay(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{
			{Name: "reader", Secret: "r", Verbs: []Verb{Read}, Services: []string{"*"}},
			{Name: "writer", Secret: "w", Verbs: []Verb{Write}, Services: []string{"_math._tcp"}},
			{Name: "operator", Secret: "o", Verbs: []Verb{Read, Admin}, Services: []string{"_math.*"}},
			{Name: "two", Secret: "2", Verbs: []Verb{Read}, Services: []string{"_math._tcp"}},
			{Name: "two", Secret: "2", Verbs: []Verb{Write}, Services: []string{"_echo._tcp"}},
		}
	})
	const (
		echo  = "/v1/services/_echo._tcp"
		body  = `{"port":1}`
		math  = "/v1/services/_math._tcp"
		renew = `{"instances":["_math._tcp/a1","_echo._tcp/e1"]}`
	)
	for _, c := range []struct {
		token, method, path, body string
		status                    int
	}{
		{"", "PUT", a1, body, 401},
		{"", "GET", "/v1/services", "", 401},
		{"", "GET", "/v1/watch", "", 401},
		{"", "GET", "/metrics", "", 401},
		{"", "GET", "/healthz", "", 200},
		{"", "GET", "/readyz", "", 200},
		{"", "GET", "/", "", 200},
		{"x", "GET", "/v1/services", "", 401},
		{"r", "PUT", a1, body, 403},
		{"w", "PUT", a1, body, 201},
		{"w", "GET", math, "", 200},
		{"w", "GET", a1, "", 200},
		{"w", "GET", "/v1/services", "", 403},
		{"w", "GET", "/v1/watch", "", 403},
		{"w", "HEAD", "/v1/watch?service=_math._tcp", "", 200},
		{"w", "PUT", echo + "/instances/e1", body, 403},
		{"w", "PUT", a1 + "/drain", "", 403},
		{"w", "DELETE", math + "/guard", "", 403},
		{"w", "POST", "/v1/renew", renew, 403},
		{"w", "POST", "/v1/renew", `{"instances":["_math._tcp/a1"]}`, 200},
		{"w", "GET", "/metrics", "", 403},
		{"r", "GET", "/metrics", "", 200},
		{"r", "GET", "/v1/services", "", 200},
		{"r", "POST", a1 + "/hold", "", 403},
		{"r", "DELETE", a1, "", 403},
		{"o", "PUT", a1 + "/drain", "", 200},
		{"o", "DELETE", math + "/guard", "", 204},
		{"o", "DELETE", "/v1/guard", "", 403},
		{"o", "DELETE", a1, "", 204},
		{"2", "PUT", echo + "/instances/e1", body, 201},
		{"2", "GET", math, "", 404},
		{"2", "PUT", a1, body, 403},
	} {
		var header []string
		if c.token != "" {
			header = []string{"Authorization", "bearer " + c.token} // the scheme has no case
		}
		a := h.do(c.method, c.path, c.body, header...)
		if a.status != c.status {
			t.Errorf("%q %s %s: %d %s, want %d", c.token, c.method, c.path, a.status, a.body, c.status)
		}
		if (a.status == 401 || a.status == 403) && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s %s: WWW-Authenticate %q", c.method, c.path, a.header.Get("WWW-Authenticate"))
		}
		if a.status == 401 || a.status == 403 {
			a.problem(t)
		}
	}
	if a := h.do("GET", "/v1/services", "", "Authorization", "Basic cjpy"); a.status != 401 {
		t.Errorf("basic: %d", a.status)
	}
}

// remote serves one request as if it came from another host.
func (h *hook) remote(from, method, path, body string, header ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	req := httptest.NewRequest(method, "http://"+h.Addr().String()+path, strings.NewReader(body))
	req.RemoteAddr = from
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	return w
}

func TestOtherHostsNeedATokenThatAllowsThem(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{
			{Secret: "own", Verbs: []Verb{Write}, Services: []string{"*"}},
			{Secret: "any", Verbs: []Verb{Write}, Services: []string{"_math._tcp"}, AnyHost: true},
			{Secret: "any", Verbs: []Verb{Write}, Services: []string{"_echo._tcp"}},
		}
	})
	const echo = "/v1/services/_echo._tcp/instances/e1"
	for _, c := range []struct {
		from, token, path, host string
		status                  int
		published               string
	}{
		{"192.0.2.7:999", "own", a1, "", 201, "192.0.2.7"},
		{"192.0.2.7:999", "own", a1, "192.0.2.7", 200, "192.0.2.7"},
		{"[::ffff:192.0.2.7]:999", "own", a1, "192.0.2.7", 200, "192.0.2.7"},
		{"192.0.2.7:999", "own", a1, "::ffff:192.0.2.7", 200, "192.0.2.7"},
		{"[2001:db8::7]:999", "own", a1, "2001:db8:0::7", 200, "2001:db8::7"},
		{"192.0.2.7:999", "own", a1, "192.0.2.8", 403, ""},
		{"192.0.2.7:999", "own", a1, "math.example.", 403, ""},
		{"192.0.2.7:999", "any", a1, "math.example.", 200, "math.example."},
		{"192.0.2.7:999", "any", echo, "math.example.", 403, ""},
		{"127.0.0.1:999", "own", a1, "192.0.2.8", 403, ""}, // a proxy on this host gives every client a loopback address
		{"[fe80::1%eth0]:999", "own", a1, "", 400, ""},
	} {
		body := `{"port":1}`
		if c.host != "" {
			body = `{"port":1,"host":"` + c.host + `"}`
		}
		w := h.remote(c.from, "PUT", c.path, body, "Authorization", "Bearer "+c.token)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.published) {
			t.Errorf("%s %s %q: %d %s, want %d %s", c.from, c.token, c.host, w.Code, w.Body, c.status, c.published)
		}
		if (w.Code == 403 || w.Code == 400) && !strings.Contains(w.Body.String(), `"field":"host"`) {
			t.Errorf("%s", w.Body)
		}
	}
}

func TestWebPagesOfOthersAreKeptOut(t *testing.T) {
	h := start(t, nil)
	port := ":" + strings.Split(h.Addr().String(), ":")[1]
	for _, c := range []struct {
		name, method string
		header       []string
		status       int
	}{
		{"curl", "PUT", nil, 201},
		{"own page", "PUT", []string{"Origin", h.URL(), "Sec-Fetch-Site", "same-origin"}, 200},
		{"other origin", "PUT", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"old browser", "PUT", []string{"Origin", "https://evil.example"}, 403},
		{"rebound name", "PUT", []string{"Host", "evil.example" + port, "Origin", "http://evil.example" + port}, 421},
		{"rebound read", "GET", []string{"Host", "evil.example" + port}, 421},
		{"localhost", "GET", []string{"Host", "localhost" + port}, 200},
		{"sub.localhost", "GET", []string{"Host", "dnsd.localhost."}, 200},
		{"IPv6", "GET", []string{"Host", "[::1]" + port}, 200},
	} {
		body := ""
		if c.method == "PUT" {
			body = `{"port":1}`
		}
		if a := h.do(c.method, a1, body, c.header...); a.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, a.status, a.body, c.status)
		}
	}
	h = start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = []Token{{Secret: "s", Verbs: []Verb{Read}, Services: []string{"*"}}}
	})
	if a := h.do("GET", "/v1/services", "", "Host", "dnsd.example", "Authorization", "Bearer s"); a.status != 200 {
		t.Errorf("with a token: %d %s", a.status, a.body)
	}
}

// TestWatchEndsWithItsTokenWhereSomethingChangesAllTheTime: no change after the removal
// of the token is sent.
func TestWatchEndsWithItsTokenWhereSomethingChangesAllTheTime(t *testing.T) {
	for _, after := range []string{"/v1/watch", "/v1/watch?service=_math._tcp"} {
		h := start(t, func(c *Config, _ *registry.Config) {
			c.Tokens = []Token{
				{Secret: "old", Verbs: []Verb{Read}, Services: []string{"*"}},
				{Secret: "stays", Verbs: []Verb{Write}, Services: []string{"*"}},
			}
			c.times.keepAlive = time.Hour // the stream is never silent
		})
		cut := h.stream("GET", after, "", "Authorization", "Bearer old")
		kept := h.stream("GET", after, "", "Authorization", "Bearer stays")
		cut.until(eventSync)
		kept.until(eventSync)
		h.cfg.Tokens = h.cfg.Tokens[1:]
		if err := h.Update(h.cfg); err != nil {
			t.Fatal(err)
		}
		for port := range 3 {
			if a := h.do("PUT", a1, fmt.Sprintf(`{"port":%d}`, port+1), "Authorization", "Bearer stays"); a.status/100 != 2 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		if e := cut.next(); e.name != "end" || !strings.Contains(e.data, `"reason":"revoked"`) {
			t.Errorf("%s: %+v", after, e)
		}
		if e := kept.next(); e.name != "put" {
			t.Errorf("%s: %+v", after, e)
		}
	}
}

func TestTokensAreReplacedWhileStreamsRun(t *testing.T) {
	token := func(secret string) []Token {
		return []Token{{Secret: secret, Verbs: []Verb{Admin}, Services: []string{"*"}}}
	}
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Tokens = append(token("old"), token("stays")...)
		c.times.keepAlive = 10 * time.Millisecond
	})
	cut := h.stream("GET", "/v1/watch", "", "Authorization", "Bearer old")
	kept := h.stream("GET", "/v1/watch", "", "Authorization", "Bearer stays")
	cut.until(eventSync)
	kept.until(eventSync)
	h.cfg.Tokens = append(token("new"), token("stays")...)
	if err := h.Update(h.cfg); err != nil {
		t.Fatal(err)
	}
	if a := h.do("GET", "/v1/services", "", "Authorization", "Bearer old"); a.status != http.StatusUnauthorized {
		t.Errorf("old: %d", a.status)
	}
	if a := h.do("PUT", a1, `{"port":1}`, "Authorization", "Bearer new"); a.status != http.StatusCreated {
		t.Errorf("new: %d", a.status)
	}
	all := cut.until("end")
	if end := all[len(all)-1]; !strings.Contains(end.data, `"reason":"revoked"`) {
		t.Errorf("%+v", end)
	}
	if e := kept.next(); e.name != "put" {
		t.Errorf("%+v", e)
	}
}
