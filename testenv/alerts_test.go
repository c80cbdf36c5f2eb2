package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
)

// Every metric in the alerts and in the dashboard is one that docs/metrics.md explains.
func TestAlertsAndDashboardNameMetricsThatThereAre(t *testing.T) {
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(rollcall_\\w+)` \\|").FindAllStringSubmatch(page.Read(t, "docs/metrics.md").Text, -1) {
		known[m[1]] = true
	}
	for _, path := range []string{"docs/prometheus/rules.yml", "docs/prometheus/dashboard.json"} {
		text := page.Read(t, path).Text
		names := regexp.MustCompile(`rollcall_\w+`).FindAllString(text, -1)
		for _, name := range names {
			if !known[strings.TrimSuffix(name, "_bucket")] {
				t.Errorf("%s: docs/metrics.md does not explain %s", path, name)
			}
		}
		if len(names) < 10 {
			t.Errorf("%s names only %d metrics", path, len(names))
		}
	}
	if !json.Valid([]byte(page.Read(t, "docs/prometheus/dashboard.json").Text)) {
		t.Error("the dashboard is no JSON")
	}
}

// A recording is what Prometheus would have scraped of several dnsd, in phases of ten
// minutes in which nothing changes.
type recording struct {
	env    *Env
	phases int
	series map[string][]string // values by phase; "": there was none
}

// phase scrapes all dnsd that run.
func (r *recording) phase() {
	r.env.t.Helper()
	put := func(series, value string) {
		values := r.series[series]
		for len(values) < r.phases {
			values = append(values, "")
		}
		r.series[series] = append(values, value)
	}
	for _, d := range r.env.dnsds {
		labels := fmt.Sprintf(`instance="%d",job="dnsd"`, d.index)
		ctx, cancel := context.WithTimeout(r.env.ctx, patience)
		text, err := d.get(ctx, "/metrics")
		cancel()
		up := "1"
		if err != nil {
			up, text = "0", nil
		}
		put(fmt.Sprintf("up{%s}", labels), up)
		for _, m := range regexp.MustCompile(`(?m)^(rollcall_\w+)(?:\{(.*)\})? (\S+)$`).FindAllStringSubmatch(string(text), -1) {
			if strings.HasSuffix(m[1], "_bucket") {
				continue
			}
			all := labels
			if m[2] != "" {
				all += "," + m[2]
			}
			put(fmt.Sprintf("%s{%s}", m[1], all), m[3])
		}
	}
	r.phases++
}

// test returns the recording as a test of rules: in each phase these alerts fire, and no
// others.
func (r *recording) test(rules string, firing ...[]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%s]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n", rules)
	for _, series := range slices.Sorted(maps.Keys(r.series)) {
		var values []string
		for phase := range r.phases {
			value := "_x9"
			if all := r.series[series]; phase < len(all) && all[phase] != "" {
				value = all[phase] + "+0x9"
			}
			values = append(values, value)
		}
		fmt.Fprintf(&b, "  - {series: %q, values: %q}\n", series, strings.Join(values, " "))
	}
	b.WriteString("  promql_expr_test:\n")
	for phase, alerts := range firing {
		// Whether a write was refused during a fault depends on when a server renews.
		fmt.Fprintf(&b, "  - expr: count by (alertname) (ALERTS{alertstate=\"firing\",alertname!=\"RollcallWritesRefused\"})\n    eval_time: %dm\n    exp_samples:\n", 10*phase+8)
		for _, alert := range alerts {
			name, count, _ := strings.Cut(alert, " ")
			fmt.Fprintf(&b, "    - {labels: '{alertname=\"%s\"}', value: %s}\n", name, count)
		}
	}
	return b.String()
}

// TestAlertsFireWhenTheyShould records three dnsd through faults, and lets promtool say
// which alerts fire.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool := peertest.Need(t, "promtool")
	env := New(t, Setup{Nodes: 5, DNSDs: 3})
	r := &recording{env: env, series: map[string][]string{}}
	r.phase()

	env.CutHook(true)
	env.Await("suspects that the guard keeps", func(all []register.Published) bool {
		return slices.ContainsFunc(all, func(in register.Published) bool { return in.State == register.InstanceSuspect })
	})
	r.phase()
	env.CutHook(false)
	env.Await("their renewals", func(all []register.Published) bool {
		return len(all) == 5 && !slices.ContainsFunc(all, func(in register.Published) bool { return in.State != register.InstanceUp })
	})
	r.phase()

	writer := env.Writer()
	env.KillDNSD(writer)
	env.Writer(writer)
	r.phase()

	env.Store().Stop()
	for end := time.Now().Add(patience); !r.lastIs(t, "rollcall_cluster_stale", "1") && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // there is no event for it
	}
	r.phase()

	dir := t.TempDir()
	rules, err := filepath.Abs("../docs/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := r.test(rules,
		nil,
		[]string{"RollcallGuardHolds 1"},
		nil,
		[]string{"RollcallAway 1"},
		[]string{"RollcallAway 1", "RollcallNoWriter 1", "RollcallStale 2"},
	)
	path := filepath.Join(dir, "test.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "test", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestEachAlertFires at what it is for, and not before: what no fault of a test makes, such as
// the end of a certificate, is written down here. Values are those of 30 minutes.
func TestEachAlertFires(t *testing.T) {
	promtool := peertest.Need(t, "promtool")
	rules, err := filepath.Abs("../docs/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("rule_files: [%s]\nevaluation_interval: 1m\ntests:\n", rules)
	for alert, series := range map[string]struct{ series, quiet, loud string }{
		"RollcallConfigurationBad":     {"rollcall_config_last_reload_successful", "1x30", "0x30"},
		"RollcallStoreSick":            {"rollcall_registry_store_sick", "0x30", "1x30"},
		"RollcallCertificateEnds":      {"rollcall_hook_certificate_expiry_timestamp_seconds", "700000x120", "600000x120"},
		"RollcallDNSCertificateEnds":   {`rollcall_dns_certificate_expiry_timestamp_seconds{listener="127.0.0.1:853"}`, "700000x120", "600000x120"},
		"RollcallTooManyRequests":      {`rollcall_hook_refused_total{reason="rate"}`, "5x30", "0+5x30"},
		"RollcallSecondarySilent":      {`rollcall_dns_secondary_events_total{secondary="10.0.0.7",event="notify_failure"}`, "5x30", "0+1x30"},
		"RollcallQueriesDropped":       {"rollcall_dns_receive_dropped_total", "5x30", "0+5x30"},
		"RollcallAnswersSampled":       {`rollcall_dns_events_total{event="sampled"}`, "5x30", "0+5x30"},
		"RollcallAnswersFail":          {`rollcall_dns_events_total{event="panic"}`, "5x30", "0+5x30"},
		"RollcallWriterChanges":        {"rollcall_cluster_elections_won_total", "0+0x20 1x10", "0+1x30"},
		"RollcallStoreCertificateEnds": {"rollcall_cluster_certificate_expiry_timestamp_seconds", "700000x120", "0x120"},
		"RollcallStoreAlarm":           {`rollcall_cluster_store_alarm{alarm="NOSPACE"}`, "0x30", "1x30"},
		"RollcallStoreFills":           {"rollcall_cluster_store_bytes", "79x30", "81x30"}, // of the quota below
		"RollcallWritesRefused":        {"rollcall_cluster_writes_refused", "0x30", "1x30"},
		"RollcallStalls":               {"rollcall_registry_stalls_total", "5x30", "0+1x30"},
		"RollcallLogDropped":           {"rollcall_log_dropped_total", "5x30", "0+1x30"},
	} {
		at, name, labels := "25m", series.series, ""
		if i := strings.IndexByte(name, '{'); i >= 0 {
			name, labels = name[:i], strings.Trim(name[i:], "{}")+","
		}
		if strings.HasSuffix(series.loud, "120") {
			at = "90m"
		}
		for values, want := range map[string]string{series.quiet: "[]", series.loud: fmt.Sprintf(`[{labels: '{alertname="%s"}', value: 1}]`, alert)} {
			text += fmt.Sprintf("# %s\n- interval: 1m\n  input_series:\n  - {series: '%s{%sinstance=\"1\"}', values: '%s'}\n", alert, name, labels, values)
			text += "  - {series: 'rollcall_cluster_store_quota_bytes{instance=\"1\"}', values: '100x30'}\n"
			text += fmt.Sprintf("  promql_expr_test:\n  - {expr: 'count by (alertname) (ALERTS{alertstate=\"firing\"})', eval_time: %s, exp_samples: %s}\n", at, want)
		}
	}
	path := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "test", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
}

// lastIs tells whether the metric has the value now at each dnsd that runs.
func (r *recording) lastIs(t *testing.T, metric, value string) bool {
	t.Helper()
	running := 0
	for _, d := range r.env.dnsds {
		ctx, cancel := context.WithTimeout(r.env.ctx, patience)
		text, err := d.get(ctx, "/metrics")
		cancel()
		if err != nil {
			continue
		}
		running++
		if !strings.Contains(string(text), "\n"+metric+" "+value+"\n") {
			return false
		}
	}
	return running > 0
}
