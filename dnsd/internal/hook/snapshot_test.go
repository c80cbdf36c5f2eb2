package hook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// A snapshot of one dnsd is restored by another one.
func TestSnapshotIsRestored(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":9001,"host":"10.0.0.7","weight":7,"meta":{"version":"1.2"},"incarnation":5}`)
	h.put(mathPath+"/instances/a2", `{"port":9002,"incarnation":5}`)
	h.put(mathPath+"/instances/a3", `{"port":9003,"incarnation":5}`)
	h.do("PUT", mathPath+"/instances/a2/drain?sticky=1", "")
	h.do("DELETE", mathPath+"/instances/a3", "")
	a := h.do("GET", pathSnapshot, "")
	text := string(a.body)
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	if a.status != 200 || len(lines) != 5 || a.header.Get("Content-Type") != "application/jsonl" {
		t.Fatalf("%d, %d lines: %s", a.status, len(lines), text)
	}
	var head snapshotHead
	var end snapshotEnd
	for line, v := range map[string]any{lines[0]: &head, lines[4]: &end} {
		if err := json.Unmarshal([]byte(line), v); err != nil {
			t.Fatal(err)
		}
	}
	if head.Format != snapshotFormat || head.Zone != "svc." || head.Instances != 2 || head.Fences != 1 || head.Revision != h.registry.Revision() {
		t.Errorf("the head is %+v", head)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines[:4], "")))); end.SHA256 != want {
		t.Errorf("the sum is %s, want %s", end.SHA256, want)
	}

	other := start(t, func(c *Config, _ *registry.Config) { c.Zone, c.Aliases = "new.example.", []string{"svc."} })
	other.put(a1, `{"port":1}`)
	before := other.registry.Revision()
	body := `{"lines":[` + strings.Join(lines[1:4], ",") + `],"zone":"svc."}`
	if a := other.do("POST", pathSnapshot, strings.Replace(body, `"svc."`, `"svc.example."`, 1)); a.status != http.StatusConflict || a.problem(t).Field != "zone" || other.registry.Revision() != before {
		t.Errorf("for another zone: %d %s", a.status, a.body)
	}
	got := decode[restored](t, other.do("POST", pathSnapshot, body))
	if got.Restored != 1 || got.Kept != 1 || got.Revision <= before {
		t.Errorf("restored %+v after revision %d", got, before)
	}
	if in, _ := other.registry.Instance(keyA1); in.Port != 1 {
		t.Errorf("what was there is %+v", in.Instance)
	}
	if in, ok := other.registry.Instance(registry.Key{Service: "_math._tcp", ID: "a2"}); !ok || in.State != registry.Drained || !in.Sticky {
		t.Errorf("what was missing is %+v", in.Instance)
	}
	if a := other.do("PUT", mathPath+"/instances/a3", `{"port":1,"incarnation":4}`); a.status != http.StatusConflict {
		t.Errorf("an older process: %d", a.status)
	}
	if log := other.audit.String(); !strings.Contains(log, `what=restore object="2 instances"`) || !strings.Contains(log, "restored 1, kept 1") {
		t.Errorf("the audit log says %s", log)
	}
}

func TestBadLinesOfASnapshotChangeNothing(t *testing.T) {
	h := start(t, func(c *Config, _ *registry.Config) {
		c.Check = func(key registry.Key, host string) error {
			if host == "taken.svc." {
				return &registry.FieldError{Field: "host", Value: host, Problem: "is a name of the zone itself"}
			}
			return nil
		}
	})
	good := `{"instance":{"service":"_math._tcp","id":"a1","host":"10.0.0.7","port":1,"priority":0,"weight":0,"ttl":"5s","lease":"15s","state":"up","revision":1}}`
	for name, tt := range map[string]struct{ body, field, says string }{
		"empty":              {``, "", "empty"},
		"no lines":           {`{}`, "lines", "missing"},
		"a field too many":   {`{"lines":[],"force":true}`, "force", "force"},
		"neither":            {`{"lines":[` + good + `,{}]}`, "lines[1]", "expected an instance or a fence"},
		"the head":           {`{"lines":[{"format":"rollcall-snapshot-1"}]}`, "lines[0]", "without its first"},
		"a port":             {`{"lines":[` + strings.Replace(good, `"port":1`, `"port":0`, 1) + `]}`, "lines[0]", "port"},
		"a service":          {`{"lines":[` + strings.Replace(good, "_math._tcp", "math", 1) + `]}`, "lines[0]", "service"},
		"a lease":            {`{"lines":[` + strings.Replace(good, `"15s"`, `"1s"`, 1) + `]}`, "lines[0]", "lease"},
		"a host":             {`{"lines":[` + good + `,` + strings.Replace(strings.Replace(good, "10.0.0.7", "taken.svc.", 1), `"a1"`, `"a2"`, 1) + `]}`, "lines[1]", "the zone itself"},
		"a fence":            {`{"lines":[{"fence":{"service":"_math._tcp","id":"A b","time":"2026-01-01T00:00:00Z"}}]}`, "lines[0]", "id"},
		"a state":            {`{"lines":[` + strings.Replace(good, `"up"`, `"dead"`, 1) + `]}`, "lines", ""},
		"another shape":      {`{"lines":{"instance":1}}`, "lines", ""},
		"more than a body":   {`{"lines":[` + strings.Repeat(good+",", 500) + good + `]}`, "", "65536"},
		"not even an object": {`[]`, "", ""},
	} {
		a := h.do("POST", pathSnapshot, tt.body)
		if p := a.problem(t); a.status < 400 || a.status >= 500 || p.Field != tt.field || !strings.Contains(p.Detail, tt.says) {
			t.Errorf("%s: %d, field %q: %s", name, a.status, p.Field, p.Detail)
		}
	}
	if n := h.registry.Stats().Instances; n != 0 {
		t.Errorf("%d instances were restored", n)
	}
}

// TestNoSnapshotAtTheEnd: an empty one would replace a good one.
func TestNoSnapshotAtTheEnd(t *testing.T) {
	h := start(t, nil)
	h.put(a1, `{"port":9001}`)
	if err := h.registry.Close(); err != nil {
		t.Fatal(err)
	}
	if a := h.do("GET", pathSnapshot, ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestOnlyTheWriterRestores(t *testing.T) {
	h := start(t, func(_ *Config, r *registry.Config) { r.Follow = true })
	if a := h.do("POST", pathSnapshot, `{"lines":[]}`); a.status != http.StatusMisdirectedRequest || !strings.Contains(a.problem(t).Detail, "GET /v1/cluster") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := h.do("GET", pathSnapshot, ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("a snapshot of nothing: %d %s", a.status, a.body)
	}
}

// FuzzSnapshotLines: whatever is sent, what is restored can be published, and is in the next
// snapshot.
func FuzzSnapshotLines(f *testing.F) {
	f.Add(`[{"instance":{"service":"_math._tcp","id":"a1","host":"10.0.0.7","port":1,"priority":0,"weight":0,"ttl":"5s","lease":"15s","state":"suspect","revision":1,"behind":3}}]`)
	f.Add(`[{"fence":{"service":"_math._tcp","id":"a1","incarnation":18446744073709551615,"drained":true,"time":"2026-01-01T00:00:00Z"}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		var lines []snapshotLine
		if json.Unmarshal([]byte(text), &lines) != nil {
			return
		}
		x := &exchange{st: &state{}}
		instances, fences, err := x.contentOf(lines)
		if err != nil {
			return
		}
		r, err := registry.Open(registry.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Restore(t.Context(), instances, fences); err != nil {
			t.Fatal(err)
		}
		for in := range r.Content().Instances {
			if _, err := registry.NewRecord(in).Instance(); err != nil {
				t.Errorf("%+v was restored: %v", in, err)
			}
		}
	})
}
