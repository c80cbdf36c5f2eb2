package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// TestPrometheusFollows runs Prometheus with the configuration of docs/integrations.md,
// against a registration and a kill.
func TestPrometheusFollows(t *testing.T) {
	binary := peertest.Need(t, "prometheus")
	promtool := peertest.Need(t, "promtool")
	env := New(t, Setup{Nodes: 2})
	config := readPage(t, "docs/integrations.md").block(t, "prometheus.yml")
	config = strings.NewReplacer("http://127.0.0.1:8053", env.HookURL(), "_metrics._tcp", "_math._tcp", "refresh_interval: 5s", "refresh_interval: 200ms").Replace(config)
	dir := t.TempDir()
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "config", "--syntax-only", path).CombinedOutput(); err != nil {
		t.Fatalf("promtool refuses the document's configuration: %v\n%s", err, out)
	}
	addr := freeaddr.Take(1)[0].String()
	peertest.Start(t, dir, binary, "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	awaitTargets(t, env, addr, "two nodes", "a1", "a2")
	env.AddNode()
	env.AwaitNodes()
	awaitTargets(t, env, addr, "a registration", "a1", "a2", "a3")
	env.Fault(0, Kill)
	env.AwaitNodes()
	awaitTargets(t, env, addr, "a kill", "a2", "a3")
}

// awaitTargets returns when Prometheus has these nodes as its targets, by id and
// address. It has no event for a change, so it is asked again and again.
func awaitTargets(t *testing.T, env *Env, addr, what string, ids ...string) {
	t.Helper()
	want := map[string]string{}
	for _, n := range env.Nodes() {
		if slices.Contains(ids, n.ID) {
			want[n.ID] = n.Addr()
		}
	}
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := targets(addr)
		if err == nil && fmt.Sprint(have) == fmt.Sprint(want) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("Prometheus did not follow %s: has %v (%v), want %v", what, have, err, want)
		case <-tick.C:
		}
	}
}

func targets(addr string) (map[string]string, error) {
	resp, err := http.Get("http://" + addr + "/api/v1/targets?state=active")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			ActiveTargets []struct {
				DiscoveredLabels, Labels map[string]string
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, target := range answer.Data.ActiveTargets {
		all[target.Labels["instance"]] = target.DiscoveredLabels["__address__"]
	}
	return all, nil
}

// TestMetricsPassPromtool: the names, units and texts of all metrics of a dnsd that works.
func TestMetricsPassPromtool(t *testing.T) {
	promtool := peertest.Need(t, "promtool")
	env := New(t, Setup{Nodes: 1})
	resp, err := http.Get(env.HookURL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
