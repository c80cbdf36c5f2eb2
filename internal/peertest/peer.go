package peertest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Mandatory says whether tests must fail where a program is missing
// (ROLLCALL_PEERS=1). Tests that take long run only then.
func Mandatory() bool { return os.Getenv("ROLLCALL_PEERS") == "1" }

// Find returns the path of a program. It looks in PATH and in the directories of
// servers, which are not in the PATH of every user.
func Find(name string) (path string, err error) {
	if path, err = exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// Need is [Find] for a test that needs the program: without it the test is skipped,
// or fails.
func Need(t testing.TB, name string) (path string) {
	t.Helper()
	path, err := Find(name)
	switch {
	case err == nil:
	case Mandatory():
		t.Fatalf("%s is not installed, and ROLLCALL_PEERS=1 demands it", name)
	default:
		t.Skipf("%s is not installed", name)
	}
	return path
}

// endTime is the time that a program gets to end by itself before it is killed.
const endTime = 5 * time.Second

// Start runs a program in a directory until the test and its subtests end. It does
// not wait until the program is ready. If the test fails, its log has the last lines
// that the program wrote.
func Start(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, Need(t, name), args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endTime
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		end()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end()
		err := cmd.Wait()
		if t.Failed() {
			lines := strings.Split(said.String(), "\n")
			t.Logf("%s ended (%v) and said:\n%s", name, err, strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
}

// Tests: peertest_test.go.
