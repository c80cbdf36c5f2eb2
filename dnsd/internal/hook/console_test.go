package hook

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/console"
	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
)

// The page gets the kinds of events from the one list of them, and each has a colour.
func TestConsoleKnowsAllKindsOfEvents(t *testing.T) {
	h := start(t, nil)
	kinds := timeline.Kinds()
	if text := string(h.do("GET", "/", "").body); !strings.Contains(text, `data-events="`+strings.Join(kinds, ",")+`"`) {
		t.Errorf("the page does not have the kinds: %s", strings.Split(text, "\n")[1])
	}
	_, colours, _ := strings.Cut(string(h.do("GET", "/console/timeline.js", "").body), "const colours = {")
	colours, _, _ = strings.Cut(colours, "}")
	var coloured []string
	for _, m := range regexp.MustCompile(`"?([a-z ]*[a-z])"?: "`).FindAllStringSubmatch(colours, -1) {
		coloured = append(coloured, strings.TrimSpace(m[1]))
	}
	kinds = append(kinds, "missed") // the page's own
	slices.Sort(coloured)
	slices.Sort(kinds)
	if !slices.Equal(coloured, kinds) {
		t.Errorf("colours are for %q, and the kinds are %q", coloured, kinds)
	}
}

// The page and every file that it and its modules load come from this hook, with the
// policy, and are sent once.
func TestConsoleBringsEverythingItself(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) { c.Zone = `s"><script>alert(1)</script>.` })
	page := h.do("GET", "/", "")
	if page.status != 200 || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", page.status, page.header.Get("Content-Type"))
	}
	if text := string(page.body); !strings.Contains(text, `data-zone="s&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;."`) || strings.Contains(text, "alert(1)</script>") {
		t.Error("the zone is not escaped")
	}
	loads := regexp.MustCompile(`(?:src|href)="(/console/[^"]+)"|from "\./([^"]+)"`)
	seen, waiting := map[string]bool{"/": true}, []string{"/"}
	for len(waiting) > 0 {
		path := waiting[0]
		waiting = waiting[1:]
		a := h.do("GET", path, "")
		if a.status != 200 || a.header.Get("Content-Security-Policy") != console.Policy || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		req := h.request("GET", path, "")
		req.Header.Set("If-None-Match", `"other", W/`+a.header.Get("ETag"))
		again, err := h.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		again.Body.Close()
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: %d for a client that has it", path, again.StatusCode)
		}
		for _, m := range loads.FindAllStringSubmatch(string(a.body), -1) {
			next := m[1]
			if m[2] != "" {
				next = "/console/" + m[2]
			}
			if !seen[next] {
				seen[next] = true
				waiting = append(waiting, next)
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d files are loaded: %v", len(seen), seen)
	}
	if a := h.do("GET", "/console/doc.go", ""); a.status != 404 || a.problem(t).Detail == "" {
		t.Errorf("a file that is not the page's: %d", a.status)
	}
}
