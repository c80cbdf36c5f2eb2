package testenv

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

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
