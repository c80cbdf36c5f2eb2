package hook

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestSessionsAreShown: as many as were asked for, and how many there are.
func TestSessionsAreShown(t *testing.T) {
	asked := 0
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Push = func(most int) PushSessions {
			if asked = most; most == 1000 {
				return PushSessions{}
			}
			return PushSessions{Total: 7, Sessions: []PushSession{{
				Listener: "tls://10.0.0.1:853", Address: "10.0.0.7", TLS: true, Since: noon, Last: noon.Add(time.Minute), Subscriptions: 2, Pending: 70, Behind: true,
			}}}
		}
	})
	const one = `{"listener":"tls://10.0.0.1:853","address":"10.0.0.7","tls":true,"since":"2026-11-28T12:00:00Z","last":"2026-11-28T12:01:00Z","subscriptions":2,"pending":70,"behind":true}`
	for query, want := range map[string]struct {
		status, asked int
		body          string
	}{
		"":            {200, 100, `{"sessions":[` + one + `],"total":7}` + "\n"},
		"?limit=1":    {200, 1, `{"sessions":[` + one + `],"total":7}` + "\n"},
		"?limit=1000": {200, 1000, `{"sessions":[],"total":0}` + "\n"},
		"?limit=0":    {400, 0, ""},
		"?limit=1001": {400, 0, ""},
		"?limit=x":    {400, 0, ""},
		"?most=1":     {400, 0, ""},
	} {
		asked = 0
		a := h.do("GET", pathPush+query, "")
		if a.status != want.status || asked != want.asked || want.body != "" && string(a.body) != want.body {
			t.Errorf("%s: %d, asked for %d: %s", query, a.status, asked, a.body)
		}
		if want.status == 400 && a.problem(t).Field == "" {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	if a := start(t, nil).do("GET", pathPush, ""); fmt.Sprintf("%d %s", a.status, a.body) != "200 {\"sessions\":[],\"total\":0}\n" {
		t.Errorf("without a zone: %d %s", a.status, a.body)
	}
}
