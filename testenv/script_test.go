package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
)

// The script of docs/integrations/programs.md ends its registration, and its curl, when the server
// ends, also by a signal.
func TestTheHoldOfAScriptEndsWithIt(t *testing.T) {
	sh := peertest.Need(t, "sh")
	peertest.Need(t, "curl")
	env := New(t, Setup{Nodes: -1})
	script := page.Read(t, "docs/integrations/programs.md").Block(t, "hold.sh")
	for old, with := range map[string]string{
		"http://127.0.0.1:8053": env.HookURL(),
		"./server -port 9001":   "cat", // a server that ends with its input
	} {
		if !strings.Contains(script, old) {
			t.Fatalf("the script has no %s", old)
		}
		script = strings.ReplaceAll(script, old, with)
	}
	for _, interrupt := range []bool{false, true} {
		cmd := exec.Command(sh, "-c", script)
		var out bytes.Buffer
		cmd.Stderr = &out // which Wait reads until the last process of the script has ended
		cmd.WaitDelay = 10 * time.Second
		server, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		env.Await("the instance of the script", func(all []register.Published) bool { return len(all) == 1 })
		if interrupt {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
		server.Close()
		if err := cmd.Wait(); err != nil && !interrupt {
			t.Errorf("%v\n%s", err, out.String())
		} else if _, ended := err.(*exec.ExitError); err != nil && !ended {
			t.Errorf("interrupted: %v\n%s", err, out.String())
		}
		if left := env.Published(); len(left) > 0 {
			t.Errorf("interrupted: %v; %+v is still registered", interrupt, left)
		}
	}
}
