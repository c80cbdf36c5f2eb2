package debugrollcall

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/resolver"
	"github.com/rollcall-dns/rollcall/rpcclient"
	"github.com/rollcall-dns/rollcall/rpcserver"
	"github.com/rollcall-dns/rollcall/rpcserver/shed"
)

const odd = `a:b/c <"é">` // needs care in a link, and in HTML

// two is a page of two clients that know no node, a server with a connection and a call, one
// that does not serve, and a limit.
func two(t *testing.T) *Page {
	t.Helper()
	serves, shut := rpcserver.New(rpcserver.Config{}), rpcserver.New(rpcserver.Config{})
	for _, s := range []*rpcserver.Server{serves, shut} {
		t.Cleanup(func() { s.Close() })
		if err := rpcserver.Handle(s, "Math.Double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := shut.SetServing("Math", false, "<no database>"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go serves.Serve(l)
	client := func(service, addr string) *rpcclient.Client {
		c, err := rpcclient.New(service, &rpcclient.Config{Source: resolver.Static(addr)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	math := client("_math._tcp.svc", l.Addr().String())
	if err := math.Call(t.Context(), "Math.Double", 21, new(int)); err != nil {
		t.Fatal(err)
	}
	return &Page{
		Clients: map[string]*rpcclient.Client{"math": math, odd: client("_odd._tcp.svc", "127.0.0.1:1"), "nil": nil},
		Servers: map[string]*rpcserver.Server{"api": serves, "old": shut, "nil": nil},
		Limits:  map[string]*shed.Limit{"all": shed.New(shed.Config{}), "nil": nil},
	}
}

func open(t *testing.T, h http.Handler, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func TestPageShowsAllAndLeadsToEachClient(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/debug/rollcall/", two(t))
	w := open(t, mux, "GET", "/debug/rollcall/")
	text := w.Body.String()
	for _, want := range []string{
		"_math._tcp.svc", "1 healthy", "Server api", "Math.Double", "Server old", "Math does not serve: &lt;no database&gt;",
		"does not listen yet", "<td>all", "a:b/c &lt;&#34;é&#34;&gt;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	links := regexp.MustCompile(`href="\./([^"]+)"`).FindAllStringSubmatch(text, -1)
	if len(links) != 2 {
		t.Fatalf("links to clients: %q", links)
	}
	for i, service := range []string{"_odd._tcp.svc", "_math._tcp.svc"} {
		for _, format := range []string{"", "?format=json"} {
			w := open(t, mux, "GET", "/debug/rollcall/"+links[i][1]+format)
			if w.Code != 200 || !strings.Contains(w.Body.String(), service) {
				t.Errorf("%s%s: %d, without %s", links[i][1], format, w.Code, service)
			}
		}
	}
	if strings.Contains(text, "<script") || strings.Contains(text, "//") {
		t.Errorf("the page has a script, or leads to another host:\n%s", text)
	}
}

// A browser uses the style of the page and nothing else.
func TestPolicyAllowsTheStyleOnly(t *testing.T) {
	w := open(t, &Page{}, "GET", "/")
	m := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(w.Body.String())
	if m == nil {
		t.Fatalf("there is no style:\n%s", w.Body)
	}
	sum := sha256.Sum256([]byte(m[1]))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	if got := w.Header().Get("Content-Security-Policy"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if strings.Contains(w.Body.String(), " style=") {
		t.Error("an attribute has a style, which the policy does not allow")
	}
}

func TestJSONHasTheSame(t *testing.T) {
	w := open(t, two(t), "GET", "/?format=json")
	var v view
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err, w.Body)
	}
	if len(v.Clients) != 2 || len(v.Servers) != 2 || len(v.Limits) != 1 {
		t.Fatalf("%+v", v)
	}
	if c := v.Clients[1]; c.Name != "math" || c.Page != "./client-math" || c.Stats.Calls != 1 || len(c.Stats.Nodes) != 1 {
		t.Errorf("%+v", c)
	}
	if s := v.Servers[0]; s.Name != "api" || s.Addr == "" || s.Stats.Conns < 1 || s.Stats.Methods[0].Calls != 1 {
		t.Errorf("%+v", s)
	}
	if s := v.Servers[1]; s.NotServing["Math"] != "<no database>" || s.Addr != "" {
		t.Errorf("%+v", s)
	}
	if l := v.Limits[0]; l.Stats.Limit != 20 {
		t.Errorf("%+v", l)
	}
	for _, name := range []string{`"not_executed"`, `"bytes_out"`, `"base"`, `"registrations"`} {
		if !strings.Contains(w.Body.String(), name) {
			t.Errorf("there is no %s", name)
		}
	}
	if got := strings.TrimSpace(open(t, &Page{}, "GET", "/?format=json").Body.String()); strings.Contains(got, "null") {
		t.Errorf("an empty page: %s", got)
	}
}

func TestRequestsThatThePageDoesNotTake(t *testing.T) {
	page := two(t)
	for target, want := range map[string]int{
		"GET /": 200, "HEAD /": 200, "POST /": 405, "GET /?format=xml": 400, "GET /x": 404,
		"GET /client-nil": 404, "GET /client-other": 404, "GET /client-": 404, "GET /client-math": 200, "POST /client-math": 405,
	} {
		method, path, _ := strings.Cut(target, " ")
		if w := open(t, page, method, path); w.Code != want {
			t.Errorf("%s: %d, want %d", target, w.Code, want)
		}
	}
}

func TestRegistrationHasItsAddressOnceItIsKnown(t *testing.T) {
	if got := registrationOf(register.Status{Service: "_math._tcp", State: register.LeaseRetrying, Err: context.Canceled}); got.Addr != "" || got.State != "retrying" || got.Error != "context canceled" {
		t.Errorf("%+v", got)
	}
	now := time.Now()
	if got := registrationOf(register.Status{Published: register.Published{Host: "::1", Port: 80}, Confirmed: now}); got.Addr != "[::1]:80" || got.Confirmed != now || got.Error != "" {
		t.Errorf("%+v", got)
	}
}

func TestNodesAreCountedInWords(t *testing.T) {
	for want, standings := range map[string][]string{
		"none":                           nil,
		"1 down, 1 finishing, 2 healthy": {"healthy", "down", "", "healthy"},
	} {
		var all []rpcclient.NodeStats
		for _, s := range standings {
			all = append(all, rpcclient.NodeStats{Standing: s})
		}
		if got := nodes(all); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
