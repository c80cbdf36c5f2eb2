package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// dashboard is what Grafana needs to show docs/prometheus/dashboard.json: the fields of its
// schema that a panel cannot do without.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Query string
			Datasource        source
		}
	}
	Panels []struct {
		ID          int
		Title, Type string
		Datasource  source
		GridPos     struct{ W, H, X, Y int }
		FieldConfig struct{ Defaults struct{ Unit string } }
		Targets     []struct{ RefID, Expr, LegendFormat string }
	}
}

type source struct{ Type, UID string }

// gridWidth is the number of columns of a dashboard.
const gridWidth = 24

// TestTheDashboardIsOneThatGrafanaCanShow: as far as that can be said without Grafana.
func TestTheDashboardIsOneThatGrafanaCanShow(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(page.Read(t, "docs/prometheus/dashboard.json").Text), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || len(d.UID) > 40 || d.SchemaVersion < 36 || len(d.Panels) < 10 {
		t.Errorf("title %q, uid %q, schema %d, %d panels", d.Title, d.UID, d.SchemaVersion, len(d.Panels))
	}
	known := map[string]string{"__rate_interval": ""} // the variables, and their types
	prometheus := func(where string, s source) {
		if s.Type != "prometheus" || known[strings.Trim(s.UID, "${}")] != "datasource" {
			t.Errorf("%s: its source is %+v, which is no variable for a source", where, s)
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			prometheus("variable "+v.Name, v.Datasource)
		} else if v.Type != "datasource" || v.Query != "prometheus" {
			t.Errorf("variable %s is a %s of %s", v.Name, v.Type, v.Query)
		}
		known[v.Name] = v.Type
	}
	ids, cells := map[int]string{}, map[[2]int]string{}
	var exprs []string
	for _, p := range d.Panels {
		if other, ok := ids[p.ID]; ok || p.ID <= 0 || p.Title == "" || p.Type != "timeseries" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q, is a %s with %d targets and unit %q; %q has its id", p.ID, p.Title, p.Type, len(p.Targets), p.FieldConfig.Defaults.Unit, other)
		}
		ids[p.ID] = p.Title
		prometheus(p.Title, p.Datasource)
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.Y < 0 || g.X+g.W > gridWidth {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := cells[[2]int{x, y}]; ok && other != p.Title {
					t.Fatalf("%s lies upon %s", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		var refs []string
		for _, target := range p.Targets {
			if target.RefID == "" || slices.Contains(refs, target.RefID) || target.Expr == "" {
				t.Errorf("%s: target %q with %q", p.Title, target.RefID, target.Expr)
			}
			refs = append(refs, target.RefID)
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if _, ok := known[m[1]]; !ok {
					t.Errorf("%s: there is no variable %s", p.Title, m[0])
				}
			}
			// Each label of a legend is one that the expression does not sum away.
			if _, by, ok := strings.Cut(target.Expr, "by ("); ok {
				by, _, _ = strings.Cut(by, ")")
				for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
					if !slices.Contains(strings.Split(strings.ReplaceAll(by, " ", ""), ","), m[1]) {
						t.Errorf("%s: %s has no label %s", p.Title, target.Expr, m[1])
					}
				}
			}
			exprs = append(exprs, target.Expr)
		}
	}
	checkExpressions(t, exprs)
}

// checkExpressions lets promtool parse them.
func checkExpressions(t *testing.T, exprs []string) {
	t.Helper()
	promtool := peertest.Need(t, "promtool")
	var b strings.Builder
	b.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range exprs {
		e = strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m").Replace(e)
		fmt.Fprintf(&b, "  - {record: 'panel_%d', expr: %q}\n", i, e)
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
