package hook

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/timeline"
)

func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// docs/metrics.md names every metric of a real scrape of the hook, and no other metric
// of the hook and the registry.
func TestPageNamesTheMetrics(t *testing.T) {
	ca := newAuthority(t)
	ca.issue(t, "server", "", nil, net.IPv4(127, 0, 0, 1))
	h := start(t, func(c *Config, _ *registry.Config) {
		c.TLS = &TLS{Cert: ca.file("server.pem"), Key: ca.file("server.key")}
	})
	h.client = ca.client(t, "")
	h.put(a1, `{"port":1}`)
	there := map[string]bool{"rollcall_registry_guard_held_instances": true, "rollcall_registry_store_bytes": true} // shown only while there is one
	for _, line := range strings.Split(string(h.do("GET", "/metrics", "").body), "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE rollcall_"); ok {
			name, _, _ = strings.Cut(name, " ")
			there["rollcall_"+name] = true
		}
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(rollcall_(?:hook|registry|build)_[a-z_]+)`").FindAllStringSubmatch(page(t, "metrics.md"), -1) {
		named[m[1]] = true
		if !there[m[1]] {
			t.Errorf("docs/metrics.md names %s, which the hook does not have", m[1])
		}
	}
	for name := range there {
		if !named[name] {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
}

// docs/http-api.md lists all kinds of events, and no other.
func TestPageNamesTheEvents(t *testing.T) {
	_, table, _ := strings.Cut(page(t, "http-api.md"), "\n| `what` | meaning |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var named []string
	for row := range strings.SplitSeq(table, "\n") {
		for _, m := range regexp.MustCompile("`([a-z ]+)`").FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
			named = append(named, m[1])
		}
	}
	kinds := timeline.Kinds()
	slices.Sort(named)
	slices.Sort(kinds)
	if !slices.Equal(named, kinds) {
		t.Errorf("the page has %q, want %q", named, kinds)
	}
}

// docs/corefile.md and docs/http-api.md have the hook's defaults and limits.
func TestPageHasTheDefaults(t *testing.T) {
	text, l := page(t, "corefile.md"), Limits{}.withDefaults()
	for directive, want := range map[string]any{
		"connections": l.Connections, "per-address": l.PerAddr, "holds": l.Holds, "watches": l.Watches, "rate": l.Rate,
		"idle": strings.TrimSuffix(l.IdleTimeout.String(), "0s"),
	} {
		row := regexp.MustCompile("(?m)^\\| `hook " + directive + "` \\| `[^`]*` \\| `(\\S+)` \\|").FindStringSubmatch(text)
		if row == nil || row[1] != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %v", directive, row, want)
		}
	}
	text = page(t, "http-api.md")
	for word, want := range map[string]int{" KiB. The memory": piece >> 10, " MiB, half": listBytes >> 20, " KiB a second": slowest >> 10} {
		if !strings.Contains(text, fmt.Sprint(want)+word) {
			t.Errorf("the page does not say %d%s", want, word)
		}
	}
}
