package cluster_test

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// TestDemoKillsTheWriter runs the demo with three dnsd: the one that writes is killed, and
// no call fails.
func TestDemoKillsTheWriter(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds dnsd, and runs for seconds")
	}
	cmd := exec.Command("go", "run", "./testenv/demo", "-dnsd", "3", "-duration", "6s", "-kill-every", "2s", "-json")
	cmd.Dir = "../.."
	out, err := cmd.Output() // its status is 1 if a call failed
	if err != nil {
		var text []byte
		if exit, ok := err.(*exec.ExitError); ok {
			text = exit.Stderr
		}
		t.Fatalf("%v\n%s\n%s", err, text, out)
	}
	var s struct {
		Calls       int64 `json:"calls"`
		Failed      int64 `json:"failed"`
		Kills       int   `json:"kills"`
		KillToWrite []any `json:"kill_to_write"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	if s.Calls == 0 || s.Failed != 0 || s.Kills == 0 || len(s.KillToWrite) == 0 {
		t.Errorf("%s", out)
	}
}
