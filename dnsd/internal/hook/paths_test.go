package hook

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

// A path that ServeMux would redirect has the same limits, metrics and problems as
// any other, and never looks like a success.
func TestUncleanPathsMeetTheSameLimits(t *testing.T) {
	paths := []string{"//v1/services", "/v1//services", "/v1/./services", "/v1/x/../services", "//" + a1[1:], a1 + "//", "/v1/services/", "//", "/%2e%2e//"}
	fake(t, nil, func(t *testing.T, h *hook) {
		for _, p := range paths {
			for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS"} {
				w := h.remote("127.0.0.1:1", method, p, `{"port":1}`)
				a := answer{w.Code, w.Header(), w.Body.Bytes()}
				if a.status != http.StatusNotFound || a.problem(t).Detail == "" {
					t.Errorf("%s %s: %d %s", method, p, a.status, a.body)
				}
			}
		}
		if text := string(h.do("GET", "/metrics", "").body); !strings.Contains(text, `rollcall_hook_requests_total{method="PUT",path="/",status="404"} 9`) {
			t.Error("they are not counted")
		}
		h.cfg.Limits.Rate = 3
		if err := h.Update(h.cfg); err != nil {
			t.Fatal(err)
		}
		refused := 0
		for range 4 {
			for _, p := range paths {
				if w := h.remote("127.0.0.1:1", "GET", p, ""); w.Code == http.StatusTooManyRequests {
					refused++
				}
			}
		}
		if want := 4*len(paths) - 6; refused != want {
			t.Errorf("%d are refused by the rate, want %d", refused, want)
		}
	})
}

// FuzzRequest sends any request to any path: the answer is never a redirect, never a
// 500, and each refusal is a problem with a detail.
func FuzzRequest(f *testing.F) {
	for _, n := range requests() {
		f.Add(n.method, n.path, n.body, "")
	}
	f.Add("PUT", "//v1/../v1/services?x=%zz", "{", "")
	f.Add("POST", "/v1/renew", `{"instances":["_math._tcp/a1?incarnation=7"]}`, "")
	f.Add("GET", "/v1/watch?since=0000000000000001-1", "", "0000000000000001-2")
	h := start(f, func(_ *Config, r *registry.Config) { r.Limits.Instances = 100 })
	f.Fuzz(func(t *testing.T, method, target, body, last string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path == "/metrics" || strings.ContainsAny(method, " \r\n") || method == "" {
			return
		}
		req := httptest.NewRequest("GET", "http://127.0.0.1/", strings.NewReader(body))
		req.Method, req.URL, req.RemoteAddr = method, u, "127.0.0.1:1"
		req.Header.Set("Last-Event-ID", last)
		if strings.HasSuffix(u.Path, "/hold") || u.Path == "/v1/watch" {
			req.Method = http.MethodHead // a GET would not end
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, req)
		switch {
		case w.Code >= 300 && w.Code < 400 && w.Code != http.StatusNotModified, w.Code == 500:
			t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
		case w.Code >= 400 && w.Header().Get("Content-Type") != register.ProblemType:
			t.Fatalf("%s %s: %d is no problem: %s", method, target, w.Code, w.Body)
		}
	})
}

func FuzzRenewal(f *testing.F) {
	f.Add("_math._tcp/a1")
	f.Add("_math._tcp/a1?incarnation=7")
	f.Add("_math._tcp/a1?incarnation=-7")
	f.Add("_math._tcp/a1?incarnation=7&incarnation=8")
	f.Fuzz(func(t *testing.T, s string) {
		one, err := parseRenewal(s)
		if err != nil {
			if p := problemOf(err); p.Status != 400 || p.Detail == "" {
				t.Errorf("%q: %+v", s, p)
			}
			return
		}
		if one.Incarnation > 0 && !strings.Contains(s, "?incarnation=") || registry.CheckService(one.Service) != nil || registry.CheckID(one.ID) != nil {
			t.Errorf("%q became %+v", s, one)
		}
	})
}

func FuzzSince(f *testing.F) {
	f.Add("27", "")
	f.Add("9f86d081884c7d65-27712345678", "")
	f.Add("", "9f86d081884c7d65-0")
	h := start(f, nil)
	f.Fuzz(func(t *testing.T, text, last string) {
		req := httptest.NewRequest("GET", "http://127.0.0.1/v1/watch", nil)
		req.Header.Set("Last-Event-ID", last)
		x := &exchange{s: h.Server, st: h.state.Load(), r: req}
		at, err := x.since(text, true)
		if err != nil {
			if p := problemOf(err); p.Status != 400 || p.Field != "since" && p.Field != "Last-Event-ID" {
				t.Errorf("%q, %q: %+v", text, last, p)
			}
			return
		}
		again, err := registry.ParsePosition(at.String())
		if err != nil || again != *at {
			t.Errorf("%q, %q: %v is %v again, %v", text, last, at, again, err)
		}
	})
}
