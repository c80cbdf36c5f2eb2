package integrations

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// patience bounds the start of a program on a busy machine.
const patience = 30 * time.Second

// recipe is the configuration of a page, with the test's addresses in place of the page's:
// pairs of old and new, each of which the page must have.
func recipe(t *testing.T, name, block string, addresses ...string) string {
	t.Helper()
	text := page.Read(t, "docs/integrations/"+name).Block(t, block)
	for i := 0; i < len(addresses); i += 2 {
		if !strings.Contains(text, addresses[i]) {
			t.Fatalf("docs/integrations/%s: the block %s has no %q, which the test replaces", name, block, addresses[i])
		}
	}
	return strings.NewReplacer(addresses...).Replace(text)
}

// show runs the command with which the page shows that the program works, with the test's
// addresses, and returns the lines that it writes.
func show(t *testing.T, name string, addresses ...string) []string {
	t.Helper()
	command := recipe(t, name, "show", addresses...)
	for _, program := range []string{"dig", "curl", "jq"} {
		if strings.Contains(command, program+" ") {
			peertest.Need(t, program)
		}
	}
	out, err := exec.Command("sh", "-c", command).Output()
	if err != nil {
		t.Fatalf("docs/integrations/%s: %s: %v", name, command, err)
	}
	return strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(out)), " ", ","))
}

// write writes a file of a program, and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// await returns how long it took until ok. Other programs have no event for what they have
// learned, so they are asked again and again. ok returns what it has seen, for the message.
func await(t *testing.T, what string, within time.Duration, ok func() (bool, any)) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, seen := ok()
		if done {
			return time.Since(began)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.FailNow()
		}
		if time.Since(began) > within {
			t.Fatalf("not within %v: %s; it has %v", within, what, seen)
		}
	}
}
