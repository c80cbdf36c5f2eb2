package dnsd

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// An operator finds every metric of the hook's /metrics in docs/metrics.md.
func TestPageNamesEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	s := run(t, Config{Zones: []Zone{{Bind: []string{"127.0.0.1:0"}, Hook: Hook{Addr: "127.0.0.1:0"}}}})
	resp, err := http.Get(s.HookURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for line := range strings.Lines(string(text)) {
		name, ok := strings.CutPrefix(line, "# TYPE rollcall_")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut("rollcall_"+name, " ")
		if named++; !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
	if named < 30 {
		t.Errorf("only %d metrics were seen", named)
	}
}
