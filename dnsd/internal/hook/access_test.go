package hook

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// requests has each method of each route, with the right that it needs.
func requests() []needing {
	const svc = "/v1/services/_math._tcp"
	return []needing{
		{"GET", "/v1/services", "/v1/services", "", Read, ""},
		{"GET", pathService, svc, "", Read, "_math._tcp"},
		{"GET", pathInstance, a1, "", Read, "_math._tcp"},
		{"PUT", pathInstance, a1, `{"port":1}`, Write, "_math._tcp"},
		{"PUT", pathInstance + "/drain", a1 + "/drain", "", Admin, "_math._tcp"},
		{"PUT", pathInstance + "/drain", a1 + "/drain?sticky=1", "", Admin, "_math._tcp"},
		{"DELETE", pathInstance + "/drain", a1 + "/drain", "", Admin, "_math._tcp"},
		{"DELETE", pathInstance + "/fence", "/v1/services/_math._tcp/instances/gone/fence", "", Admin, "_math._tcp"},
		{"GET", "/v1/fences", "/v1/fences", "", Read, ""},
		{"GET", "/v1/fences", "/v1/fences?service=_math._tcp", "", Read, "_math._tcp"},
		{"POST", pathHold, a1 + "/hold", "", Write, "_math._tcp"},
		{"POST", "/v1/renew", "/v1/renew", `{"instances":["_math._tcp/a1"]}`, Write, "_math._tcp"},
		{"DELETE", pathService + "/guard", svc + "/guard", "", Admin, "_math._tcp"},
		{"DELETE", "/v1/guard", "/v1/guard", "", Admin, ""},
		{"GET", pathWatch, "/v1/watch", "", Read, ""},
		{"GET", pathWatch, "/v1/watch?service=_math._tcp", "", Read, "_math._tcp"},
		{"DELETE", pathInstance, a1, "", Write, "_math._tcp"},
		{"GET", pathCluster, pathCluster, "", Read, ""},
		{"GET", pathEvents, pathEvents, "", Read, ""},
		{"GET", pathEvents, pathEvents + "?service=_math._tcp", "", Read, "_math._tcp"},
		{"GET", pathPush, pathPush, "", Admin, ""},
		{"GET", pathService + "/dns", svc + "/dns", "", Read, "_math._tcp"},
		{"POST", pathMembers, pathMembers, `{"name":"d","peer":"https://10.0.0.4:2380"}`, Admin, ""},
		{"DELETE", pathMembers + "/{name}", pathMembers + "/b", "", Admin, ""},
		{"GET", pathSnapshot, pathSnapshot, "", Admin, ""},
		{"POST", pathSnapshot, pathSnapshot, `{"lines":[]}`, Admin, ""},
		{"GET", pathSD + "prometheus", pathSD + "prometheus", "", Read, ""},
		{"GET", pathSD + "prometheus", pathSD + "prometheus?service=_math._tcp", "", Read, "_math._tcp"},
		{"GET", pathSD + "traefik", pathSD + "traefik", "", Read, ""},
		{"GET", pathSD + "traefik", pathSD + "traefik?service=_math._tcp&scheme=http", "", Read, "_math._tcp"},
		{"GET", "/metrics", "/metrics", "", Read, ""},
		{"GET", "/healthz", "/healthz", "", "", ""},
		{"GET", "/readyz", "/readyz", "", "", ""},
		{"GET", "/{$}", "/", "", "", ""},
		{"GET", pathConsole, "/console/main.js", "", "", ""},
	}
}

// needing is a request and the verb that it needs for a service; no verb: it needs none.
type needing struct {
	method, route, path, body string
	verb                      Verb
	service                   string
}

// Every request refuses a misspelt parameter.
func TestUnknownParametersAreRefusedEverywhere(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	for _, n := range requests() {
		if !strings.HasPrefix(n.route, "/v1/") {
			continue // parameters of health probes and scrapers are ignored
		}
		sep := "?"
		if strings.Contains(n.path, "?") {
			sep = "&"
		}
		if a := h.do(n.method, n.path+sep+"incarnaton=1", n.body); a.status != 400 || a.problem(t).Field != "incarnaton" {
			t.Errorf("%s %s: %d %s", n.method, n.path, a.status, a.body)
		}
	}
	if _, ok := h.registry.Instance(keyA1); !ok {
		t.Error("the DELETE was served")
	}
}

func TestEveryMethodOfEveryRouteIsAskedFor(t *testing.T) {
	asked := map[string]bool{}
	for _, n := range requests() {
		asked[n.method+" "+n.route] = true
	}
	for _, rt := range table() {
		for method := range rt.methods {
			if !asked[method+" "+rt.path] {
				t.Errorf("nobody asks for %s %s", method, rt.path)
			}
		}
	}
}

// status sends the request and returns the status of the answer.
func (h *hook) status(t testing.TB, c *http.Client, n needing, token string) int {
	t.Helper()
	req := h.request(n.method, n.path, n.body)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0
	}
	if resp.Header.Get("Content-Type") != "text/event-stream" { // else the connection is not used again
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestWhoMayWhat sends every request as every kind of caller.
func TestWhoMayWhat(t *testing.T) {
	grants := map[string][]Token{
		"no token":        nil,
		"wrong token":     nil,
		"other service's": {{Verbs: []Verb{Admin}, Services: []string{"_echo._tcp"}, AnyHost: true}},
		"read":            {{Verbs: []Verb{Read}, Services: []string{"_math._tcp"}}},
		"read all":        {{Verbs: []Verb{Read}, Services: []string{"*"}}},
		"write":           {{Verbs: []Verb{Write}, Services: []string{"_math.*"}}},
		"admin":           {{Verbs: []Verb{Admin}, Services: []string{"_m*._tcp"}}},
		"admin of all":    {{Verbs: []Verb{Admin}, Services: []string{"*"}}},
		"two that add up": {{Verbs: []Verb{Read}, Services: []string{"*"}}, {Verbs: []Verb{Write}, Services: []string{"_math._tcp"}}},
		"any host":        {{Verbs: []Verb{Read}, Services: []string{"_math._tcp"}, AnyHost: true}},
	}
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Cluster = &members{}
		for name, tokens := range grants {
			for _, token := range tokens {
				token.Secret = strings.ReplaceAll(name, " ", "-")
				c.Tokens = append(c.Tokens, token)
			}
		}
	})
	_, port := serving(t) // a live port: otherwise the probe after a hold removes the instance
	for name, tokens := range grants {
		secret := strings.ReplaceAll(name, " ", "-")
		if name == "no token" {
			secret = ""
		}
		gs, err := newGrants(withSecret(tokens))
		if err != nil {
			t.Fatal(err)
		}
		who := identity{}
		for i := range gs {
			who.grants = append(who.grants, &gs[i])
		}
		for _, n := range requests() {
			n.body = strings.Replace(n.body, ":1}", fmt.Sprintf(":%d}", port), 1)
			if _, err := h.registry.Register(t.Context(), registry.Instance{Key: keyA1, Host: "127.0.0.1", Port: uint16(port)}); err != nil {
				t.Fatal(err)
			}
			got := h.status(t, h.client, n, secret)
			allowed := n.verb == "" || who.may(n.verb, n.service)
			switch {
			case allowed && got/100 != 2 && got != 404, !allowed && tokens == nil && got != 401, !allowed && tokens != nil && got != 403:
				t.Errorf("%s: %s %s: %d, allowed: %v", name, n.method, n.path, got, allowed)
			}
		}
	}
}

func withSecret(tokens []Token) []Token {
	out := make([]Token, len(tokens))
	for i, t := range tokens {
		t.Secret = "x"
		out[i] = t
	}
	return out
}

// TestUpdateOfTheDoorIsForOpenConnectionsToo keeps connections open over every change of
// the required certificates and tokens, and sends every request again over them.
func TestUpdateOfTheDoorIsForOpenConnectionsToo(t *testing.T) {
	ca, next := newAuthority(t), newAuthority(t)
	for _, a := range []*authority{ca, next} {
		a.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
		a.issue(t, "math", "", []string{"math.example"})
	}
	plain := func() *TLS { return nil }
	only := func() *TLS { return &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")} }
	with := func(a *authority) func() *TLS {
		return func() *TLS {
			return &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key"), ClientCA: a.file("ca.pem")}
		}
	}
	token := []Token{{Secret: "s", Verbs: []Verb{Admin}, Services: []string{"*"}}}
	for _, c := range []struct {
		name          string
		before, after func() *TLS
		tokens        []Token // after the update; before it there are none
		client        string  // the client's certificate
		want          int     // for requests that need a right
	}{
		{"plain to TLS with a token", plain, only, token, "", 421},
		{"plain to client certificates", plain, with(ca), nil, "", 421},
		{"TLS to client certificates", only, with(ca), nil, "", 403},
		{"one CA to another", with(ca), with(next), nil, "math", 403},
		{"one CA to another, with a token", with(ca), with(next), token, "math", 403},
		{"the same CA again", with(ca), with(ca), nil, "math", 200},
		{"client certificates to tokens", with(ca), only, token, "math", 401},
		{"nothing to tokens", plain, plain, token, "", 401},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
			if protocol == "HTTP/2" && c.before() == nil {
				continue
			}
			t.Run(c.name+" over "+protocol, func(t *testing.T) {
				h := start(t, func(cfg *Config, _ *registry.Config) {
					cfg.TLS, cfg.Cluster = c.before(), &members{}
					cfg.times.keepAlive = 10 * time.Millisecond
				})
				url := h.URL()
				_, port := serving(t)
				for _, n := range requests() {
					n.body = strings.Replace(n.body, ":1}", fmt.Sprintf(":%d}", port), 1)
					client := ca.client(t, c.client) // a new connection each time: the refusal ends it
					client.Transport.(*http.Transport).ForceAttemptHTTP2 = protocol == "HTTP/2"
					send := func(n needing) int {
						req, err := http.NewRequestWithContext(t.Context(), n.method, url+n.path, strings.NewReader(n.body))
						if err != nil {
							t.Fatal(err)
						}
						resp, err := client.Do(req)
						if err != nil {
							t.Fatalf("%s %s: %v", n.method, n.path, err)
						}
						if resp.Header.Get("Content-Type") != "text/event-stream" { // else the connection is not used again
							_, _ = io.Copy(io.Discard, resp.Body)
						}
						resp.Body.Close()
						return resp.StatusCode
					}
					if _, err := h.registry.Register(t.Context(), registry.Instance{Key: keyA1, Host: "127.0.0.1", Port: uint16(port)}); err != nil {
						t.Fatal(err)
					}
					h.cfg.TLS, h.cfg.Tokens = c.before(), nil
					if err := h.Update(h.cfg); err != nil {
						t.Fatal(err)
					}
					if got := send(needing{method: "GET", path: "/healthz"}); got != 200 {
						t.Fatalf("before: %d", got)
					}
					h.cfg.TLS, h.cfg.Tokens = c.after(), c.tokens
					if err := h.Update(h.cfg); err != nil {
						t.Fatal(err)
					}
					want := c.want
					if n.verb == "" {
						want = 200
					}
					if got := send(n); got != want && !(want == 200 && (got/100 == 2 || got == 404)) {
						t.Errorf("%s %s: %d, want %d", n.method, n.path, got, want)
					}
				}
			})
		}
	}
}
