package hook

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/register"
)

func TestRegistrationIsAnsweredAsPublished(t *testing.T) {
	h := start(t, nil)
	a := h.do("PUT", a1, `{"port":8080}`)
	if a.status != http.StatusCreated || a.header.Get("Location") != a1 {
		t.Fatalf("%d, Location %q: %s", a.status, a.header.Get("Location"), a.body)
	}
	// The text itself is compared, because the names of the fields are a promise.
	want := `{"id":"a1","host":"127.0.0.1","port":8080,"priority":10,"weight":100,"ttl":"5s","lease":"15s","incarnation":0,"state":"up","expires_in":"15s","revision":1,"renew_after":"5s"}` + "\n"
	if string(a.body) != want {
		t.Errorf("got  %swant %s", a.body, want)
	}
	a = h.do("PUT", a1, `{"port":8080}`)
	if a.status != http.StatusOK || string(a.body) != want {
		t.Errorf("the same again: %d %s", a.status, a.body)
	}
	full := `{"host":"Math.Example.COM","port":9,"priority":0,"weight":0,"ttl":"2s","lease":"6s","meta":{"version":"1.2"},"incarnation":7}`
	p := h.put(a1, full)
	if p.Host != "math.example.com." || p.Priority != 0 || p.Weight != 0 || p.Meta["version"] != "1.2" ||
		p.Incarnation != 7 || p.Revision != 2 || p.RenewAfter.String() != "2s" {
		t.Errorf("changed: %+v", p)
	}
	in, ok := h.registry.Instance(registry.Key{Service: "_math._tcp", ID: "a1"})
	if !ok || in.Host != "math.example.com." || in.Port != 9 {
		t.Errorf("registry has %+v", in)
	}
}

func TestReadsShowWhatIsPublished(t *testing.T) {
	h := start(t, nil)
	if a := h.do("GET", "/v1/services", ""); string(a.body) != `{"life":"`+h.registry.Life().String()+`","revision":0,"services":[]}`+"\n" {
		t.Errorf("empty: %s", a.body)
	}
	h.put("/v1/services/_math._tcp/instances/b1", `{"port":2}`)
	h.put(a1, `{"port":1,"host":"2001:DB8::1"}`)
	h.put("/v1/services/_echo._udp/instances/e1", `{"port":3}`)

	s := decode[register.Service](t, h.do("GET", "/v1/services/_math._tcp", ""))
	if s.Service != "_math._tcp" || s.Revision != 2 || len(s.Instances) != 2 ||
		s.Instances[0].ID != "a1" || s.Instances[0].Host != "2001:db8::1" || s.Instances[1].ID != "b1" {
		t.Errorf("service: %+v", s)
	}
	if e := s.Instances[0].ExpiresIn.Std(); e <= 0 || e > s.Instances[0].Lease.Std() {
		t.Errorf("expires_in %v", e)
	}
	all := h.do("GET", "/v1/services", "")
	list := decode[register.Services](t, all)
	if list.Revision != 3 || len(list.Services) != 2 || list.Services[0].Service != "_echo._udp" || len(list.Services[1].Instances) != 2 {
		t.Errorf("services: %s", all.body)
	}
	if one := decode[register.Published](t, h.do("GET", a1, "")); one.ID != "a1" || one.Port != 1 {
		t.Errorf("instance: %+v", one)
	}
	head := h.do("HEAD", "/v1/services/_math._tcp", "")
	if head.status != 200 || len(head.body) != 0 || head.header.Get("Content-Length") == "0" {
		t.Errorf("HEAD: %+v", head)
	}
	if head := h.do("HEAD", "/v1/services", ""); head.status != 200 || len(head.body) != 0 {
		t.Errorf("HEAD: %+v", head)
	}
}

func TestUnchangedRevisionIsNotSentAgain(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1}`)
	for _, path := range []string{"/v1/services", "/v1/services/_math._tcp"} {
		first := h.do("GET", path, "")
		tag := first.header.Get("ETag")
		if tag != `W/"`+h.at(1)+`"` || first.header.Get("Rollcall-Revision") != "1" {
			t.Errorf("%s: ETag %q", path, tag)
		}
		if a := h.do("GET", path, "", "If-None-Match", `"x", `+tag); a.status != http.StatusNotModified || len(a.body) != 0 {
			t.Errorf("%s: unchanged: %d %s", path, a.status, a.body)
		}
		if a := h.do("GET", path, "", "If-None-Match", `W/"`+h.at(0)+`"`); a.status != 200 {
			t.Errorf("%s: changed: %d", path, a.status)
		}
	}
}

func TestDeregistration(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1,"incarnation":5}`)
	if a := h.do("DELETE", a1+"?incarnation=4", ""); a.status != http.StatusConflict || a.problem(t).Field != "incarnation" {
		t.Errorf("old incarnation: %d %s", a.status, a.body)
	}
	if a := h.do("DELETE", a1+"?incarnation=5", ""); a.status != http.StatusNoContent || len(a.body) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := h.do("DELETE", a1, ""); a.status != http.StatusNotFound {
		t.Errorf("again: %d %s", a.status, a.body)
	}
	if a := h.do("GET", a1, ""); a.status != http.StatusNotFound || a.problem(t).Instance != a1 {
		t.Errorf("get: %d %s", a.status, a.body)
	}
	if a := h.do("GET", "/v1/services/_math._tcp", ""); a.status != http.StatusNotFound || a.problem(t).Field != "service" {
		t.Errorf("get service: %d %s", a.status, a.body)
	}
}

func TestOldIncarnationLearnsThatItWasReplaced(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":1,"incarnation":5}`)
	a := h.do("PUT", a1, `{"port":2,"incarnation":4}`)
	p := a.problem(t)
	if p.Status != http.StatusConflict || p.Field != "incarnation" || !strings.Contains(p.Detail, "5") {
		t.Errorf("%+v", p)
	}
	if p := h.do("PUT", a1, `{"port":2}`).problem(t); p.Status != http.StatusConflict || !strings.Contains(p.Detail, "the request has none") || p.Incarnation != 5 {
		t.Errorf("without an incarnation: %+v", p)
	}
	if in, _ := h.registry.Instance(registry.Key{Service: "_math._tcp", ID: "a1"}); in.Port != 1 {
		t.Errorf("port is %d now", in.Port)
	}
	h.put(a1, `{"port":3,"incarnation":6}`)
}

// The address of a proxy must not be published for that of an instance.
func TestProxyIsNotPublished(t *testing.T) {
	h := start(t, nil)
	for _, name := range append([]string{"X-Real-IP"}, proxyHeaders...) {
		a := h.do("PUT", a1, `{"port":1}`, name, "1.1 proxy")
		if p := a.problem(t); p.Status != 400 || p.Field != "host" || !strings.Contains(p.Detail, "proxy") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if a := h.do("PUT", a1, `{"port":1,"host":"192.0.2.7"}`, name, "1.1 proxy"); a.status/100 != 2 {
			t.Errorf("%s, with a host: %d %s", name, a.status, a.body)
		}
	}
}

// TestBadRequestsNameFieldAndCure has every kind of wrong request. None changes the registry.
func TestBadRequestsNameFieldAndCure(t *testing.T) {
	h := start(t, func(_ *Config, r *registry.Config) { r.Limits.PerService = 2 })
	h.put(a1, `{"port":1}`)
	h.put("/v1/services/_math._tcp/instances/a2", `{"port":1}`)
	before := h.registry.Revision()
	const renew = "/v1/renew"
	inst := func(id string) string { return "/v1/services/_math._tcp/instances/" + id }
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		field, detail            string
	}{
		{"no body", "PUT", a1, "", 400, "", "empty"},
		{"no port", "PUT", a1, `{}`, 400, "port", "missing"},
		{"port 0", "PUT", a1, `{"port":0}`, 400, "port", "1 to 65535"},
		{"port too big", "PUT", a1, `{"port":65536}`, 400, "port", "1 to 65535"},
		{"port text", "PUT", a1, `{"port":"80"}`, 400, "port", "whole number"},
		{"port null", "PUT", a1, `{"port":null}`, 400, "port", "null"},
		{"port fraction", "PUT", a1, `{"port":80.5}`, 400, "port", "whole number"},
		{"unknown field", "PUT", a1, `{"port":1,"prot":2}`, 400, "prot", `did you mean "port"? the fields are host, port, priority`},
		{"unknown field, like none", "PUT", a1, `{"port":1,"quux":2}`, 400, "quux", `unknown field "quux": the fields are host`},
		{"unknown parameter", "GET", "/v1/events?sinse=5", "", 400, "sinse", `did you mean "since"? this request knows service, since`},
		{"unknown parameter, like none", "GET", a1 + "?since=5", "", 400, "since", `unknown query parameter "since": this request knows none`},
		{"other case", "PUT", a1, `{"Port":1}`, 400, "Port", "unknown"},
		{"twice", "PUT", a1, `{"port":1,"port":2}`, 400, "port", "twice"},
		{"trailing", "PUT", a1, `{"port":1}{"port":2}`, 400, "", "line 1, column 11"},
		{"syntax", "PUT", a1, "{\n\"port\":1,}", 400, "", "line 2"},
		{"array", "PUT", a1, `[1]`, 400, "", "object"},
		{"not UTF-8", "PUT", a1, "{\"port\":1,\"host\":\"\xff\"}", 400, "", "UTF-8"},
		{"host number", "PUT", a1, `{"port":1,"host":7}`, 400, "host", "IP address"},
		{"host underscore", "PUT", a1, `{"port":1,"host":"_x.example."}`, 400, "host", "host name"},
		{"host any", "PUT", a1, `{"port":1,"host":"0.0.0.0"}`, 400, "host", "reach"},
		{"host mistyped", "PUT", a1, `{"port":1,"host":"10.0.0.300"}`, 400, "host", "IP address"},
		{"priority", "PUT", a1, `{"port":1,"priority":-1}`, 400, "priority", "0 to 65535"},
		{"weight", "PUT", a1, `{"port":1,"weight":70000}`, 400, "weight", "0 to 65535"},
		{"ttl number", "PUT", a1, `{"port":1,"ttl":5}`, 400, "ttl", `"5s"`},
		{"ttl unit", "PUT", a1, `{"port":1,"ttl":"5"}`, 400, "ttl", `"5s"`},
		{"ttl zero", "PUT", a1, `{"port":1,"ttl":"0s"}`, 400, "ttl", "default"},
		{"ttl too long", "PUT", a1, `{"port":1,"ttl":"10s","lease":"15s"}`, 400, "ttl", "half the lease"},
		{"lease negative", "PUT", a1, `{"port":1,"lease":"-5s"}`, 400, "lease", "more than zero"},
		{"lease short", "PUT", a1, `{"port":1,"lease":"1s"}`, 400, "lease", "between"},
		{"lease long", "PUT", a1, `{"port":1,"lease":"48h"}`, 400, "lease", "between"},
		{"meta list", "PUT", a1, `{"port":1,"meta":[]}`, 400, "meta", "object"},
		{"meta number", "PUT", a1, `{"port":1,"meta":{"v":1}}`, 400, "meta.v", "text"},
		{"meta null", "PUT", a1, `{"port":1,"meta":{"v":null}}`, 400, "meta.v", "text"},
		{"meta twice", "PUT", a1, `{"port":1,"meta":{"v":"1","v":"2"}}`, 400, "meta.v", "twice"},
		{"meta key", "PUT", a1, `{"port":1,"meta":{"a=b":"1"}}`, 400, "meta", "="},
		{"incarnation", "PUT", a1, `{"port":1,"incarnation":-1}`, 400, "incarnation", "whole number"},
		{"id upper", "PUT", inst("A1"), `{"port":1}`, 400, "id", "lower case"},
		{"id underscore", "PUT", inst("a_1"), `{"port":1}`, 400, "id", "allowed"},
		{"id dots", "PUT", inst("a.b"), `{"port":1}`, 400, "id", "allowed"},
		{"id slash", "PUT", inst("a%2Fb"), `{"port":1}`, 400, "id", "allowed"},
		{"id long", "PUT", inst(strings.Repeat("a", 64)), `{"port":1}`, 400, "id", "63"},
		{"service", "PUT", "/v1/services/math/instances/a1", `{"port":1}`, 400, "service", "_math._tcp"},
		{"service upper", "PUT", "/v1/services/_Math._tcp/instances/a1", `{"port":1}`, 400, "service", "lower case"},
		{"service get", "GET", "/v1/services/math", "", 400, "service", "_math._tcp"},
		{"too large", "PUT", a1, `{"port":1,"meta":{"v":"` + strings.Repeat("x", maxBody) + `"}}`, 413, "", "65536"},
		{"full", "PUT", inst("a3"), `{"port":1}`, 429, "", "at most 2 instances of _math._tcp"},
		{"query", "PUT", a1 + "?incarnaton=1", `{"port":1}`, 400, "incarnaton", "query"},
		{"delete query", "DELETE", a1 + "?incarnation=x", "", 400, "incarnation", "whole number"},
		{"delete twice", "DELETE", a1 + "?incarnation=1&incarnation=2", "", 400, "incarnation", "once"},
		{"bad query", "DELETE", a1 + "?a=%zz", "", 400, "", "query"},
		{"list query", "GET", "/v1/services?x=1", "", 400, "x", "query"},
		{"renew none", "POST", renew, `{}`, 400, "instances", "missing"},
		{"renew key", "POST", renew, `{"instances":["_math._tcp/a1","x"]}`, 400, "instances[1]", "_math._tcp/a1"},
		{"renew number", "POST", renew, `{"instances":[1]}`, 400, "instances", "texts"},
		{"renew null", "POST", renew, `{"instances":[null]}`, 400, "instances[0]", "service/id"},
		{"renew field", "POST", renew, `{"instance":[]}`, 400, "instance", "instances"},
		{"hold unknown", "POST", inst("zz") + "/hold", "", 404, "", "PUT"},
		{"hold body", "POST", a1 + "/hold", `{}`, 400, "port", "missing"},
		{"hold both", "POST", a1 + "/hold?incarnation=1", `{"port":1,"incarnation":2}`, 400, "incarnation", "once"},
		{"watch service", "GET", "/v1/watch?service=math", "", 400, "service", "_math._tcp"},
		{"watch since", "GET", "/v1/watch?since=-1", "", 400, "since", "id of the event"},
		{"watch future", "GET", "/v1/watch?since=" + h.at(999), "", 410, "since", "without since"},
		{"watch of no life", "GET", "/v1/watch?since=2", "", 410, "since", "without since"},
		{"watch of another life", "GET", "/v1/watch?since=" + (registry.Position{Life: 1, Revision: 2}).String(), "", 410, "since", "another life"},
		{"watch query", "GET", "/v1/watch?services=_math._tcp", "", 400, "services", "service, since"},
		{"no such path", "GET", "/v2/services", "", 404, "", "/v1/services"},
		{"method", "POST", a1, `{"port":1}`, 405, "", "PUT"},
		{"method of list", "DELETE", "/v1/services", "", 405, "", "GET"},
		{"method of console", "POST", "/", "", 405, "", "GET"},
		{"options", "OPTIONS", a1, "", 405, "", "PUT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := h.do(c.method, c.path, c.body)
			if a.status != c.status {
				t.Fatalf("%d %s, want %d", a.status, a.body, c.status)
			}
			p := a.problem(t)
			if p.Field != c.field || !strings.Contains(p.Detail, c.detail) {
				t.Errorf("field %q, detail %q; want %q, %q", p.Field, p.Detail, c.field, c.detail)
			}
			if p.Title == "" || p.Detail == "" {
				t.Errorf("no title or detail: %s", a.body)
			}
			if c.status == 405 && !strings.Contains(a.header.Get("Allow"), c.detail) {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
			if c.status == 429 && a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
	if now := h.registry.Revision(); now != before {
		t.Errorf("revision was %d and is %d", before, now)
	}
}

func TestContentTypeIsChecked(t *testing.T) {
	h := start(t, nil)
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"Content-Type", "application/json", 201},
		{"Content-Type", "application/json; charset=UTF-8", 200},
		{"Content-Type", "", 200},
		{"Content-Type", "application/x-www-form-urlencoded", 200},
		{"Content-Type", "text/plain", 415},
		{"Content-Type", "application/json; charset=latin1", 415},
		{"Content-Type", ";;", 415},
		{"Content-Encoding", "gzip", 415},
	} {
		a := h.do("PUT", a1, `{"port":1}`, c.header, c.value)
		if a.status != c.status {
			t.Errorf("%s %q: %d %s, want %d", c.header, c.value, a.status, a.body, c.status)
		}
		if c.status == 415 && !strings.Contains(a.problem(t).Detail, "send") {
			t.Errorf("no cure in %s", a.body)
		}
	}
}
