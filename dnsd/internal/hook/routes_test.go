package hook

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// docs/http-api.md has a row for each method of each route, with the right that it
// needs, and no other row. So has requests(), by which other tests send them all.
func TestDocumentsHaveEveryRouteOfTheTable(t *testing.T) {
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /\\S*)` \\| ([^|]*) \\|").FindAllStringSubmatch(page(t, "http-api.md"), -1) {
		documented[m[1]] = m[2]
	}
	tried := map[string]needing{}
	for _, n := range requests() {
		tried[n.method+" "+n.route] = n
	}
	for _, rt := range table() {
		for method, op := range rt.methods {
			n, ok := tried[method+" "+rt.path]
			if !ok {
				t.Errorf("requests() has no %s %s", method, rt.path)
			}
			if (n.verb == "") != rt.open {
				t.Errorf("%s %s: open is %v, and the tests say that it needs %q", method, rt.path, rt.open, n.verb)
			}
			if (op.action != "") != (n.verb == Write || n.verb == Admin) {
				t.Errorf("%s %s needs %q, and the audit log calls it %q", method, rt.path, n.verb, op.action)
			}
			row := method + " " + strings.TrimSuffix(rt.path, "{$}")
			needs, ok := documented[row]
			if !ok {
				t.Errorf("docs/http-api.md has no row for %s", row)
			}
			delete(documented, row)
			word := string(n.verb)
			if n.verb == "" {
				word = "nothing"
			}
			if !strings.HasPrefix(needs, word) || n.verb != "" && n.service == "" && !strings.Contains(needs, "`*`") {
				t.Errorf("docs/http-api.md says that %s needs %q, and it needs %q", row, needs, word)
			}
		}
	}
	for row := range documented {
		t.Errorf("docs/http-api.md has a row for %s, and there is no such route", row)
	}
}

func TestReadyzSaysWhyNot(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Ready = func() error { return fmt.Errorf("the zone is loading") }
	})
	a := h.do("GET", "/readyz", "")
	if p := a.problem(t); p.Status != 503 || !strings.Contains(p.Detail, "the zone is loading") {
		t.Errorf("%+v", p)
	}
	if a := h.do("GET", "/healthz", ""); a.status != 200 {
		t.Errorf("healthz %d", a.status)
	}
}
