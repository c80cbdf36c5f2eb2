package hook

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

func TestConsoleBringsEverythingItself(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) { c.Zone = `s"><script>alert(1)</script>.` })
	a := h.do("GET", "/", "")
	page := string(a.body)
	if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", a.status, a.header.Get("Content-Type"))
	}
	if !strings.Contains(page, `data-zone="s&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;."`) || strings.Contains(page, "alert(1)</script>") {
		t.Error("the zone is not escaped")
	}
	policy := a.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; connect-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
	for _, element := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+element+`>(.*?)</`+element+`>`).FindAllStringSubmatch(page, -1)
		if len(found) != 1 {
			t.Fatalf("%d times <%s>", len(found), element)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if !strings.Contains(policy, element+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("the policy stops the page's own %s", element)
		}
	}
	// The page must not have anything that its policy forbids.
	for _, bad := range []string{`src="`, `href="http`, "url(", "@import", ` style="`, ` onclick="`, "innerHTML", "eval("} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if len(page) > 16<<10 {
		t.Errorf("%d bytes: keep it small", len(page))
	}
}
