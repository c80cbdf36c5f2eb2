//go:build unix

package peertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// taskVar in the environment makes the test binary a process with that task.
const taskVar = "ROLLCALL_TEST_TASK"

const lines = 2000 // more than a buffer, less than a pipe

func TestMain(m *testing.M) {
	switch os.Getenv(taskVar) {
	case "":
		goleak.VerifyTestMain(m)
	case "wait":
		Main(func(ctx context.Context) error {
			fmt.Println("ready")
			<-ctx.Done()
			return nil
		})
	case "fail":
		Main(func(context.Context) error { return errors.New("as it was told to") })
	case "talk":
		for i := range lines {
			fmt.Println(i)
		}
		os.Exit(0)
	}
}

// A record is a test that has failed, and what it said.
type record struct {
	testing.TB
	fatal, skip, log string
	end              func()
}

func (r *record) Helper()          {}
func (r *record) Failed() bool     { return true }
func (r *record) Cleanup(f func()) { r.end = f }

func (r *record) Logf(format string, args ...any) { r.log = fmt.Sprintf(format, args...) }

func (r *record) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *record) Skipf(format string, args ...any) {
	r.skip = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestAMissingPeerSkipsByNameAndFailsWhenMandatory(t *testing.T) {
	for _, tt := range []struct{ peers, fatal, skip string }{
		{"", "", "nosuchd is not installed"},
		{"0", "", "nosuchd is not installed"},
		{"1", "nosuchd is not installed, and ROLLCALL_PEERS=1 demands it", ""},
	} {
		t.Setenv("ROLLCALL_PEERS", tt.peers)
		r := &record{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Start(r, t.TempDir(), "nosuchd")
		}()
		<-done
		if r.fatal != tt.fatal || r.skip != tt.skip {
			t.Errorf("ROLLCALL_PEERS=%q: failed %q, skipped %q", tt.peers, r.fatal, r.skip)
		}
	}
}

func TestAPeerEndsWithItsTestAndAFailureShowsWhatItSaid(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	r := &record{TB: t}
	Start(r, dir, "sh", "-c", "echo out; echo err >&2; echo >ready; exec sleep 600")
	if _, err := os.ReadFile(ready); err != nil { // until the shell is about to sleep
		t.Fatal(err)
	}
	r.end()
	if want := "sh ended (signal: interrupt) and said:\nout\nerr\n"; r.log != want {
		t.Errorf("%q, want %q", r.log, want)
	}
}

func TestAProcessSaysWhenItIsReadyAndEndsWhenAsked(t *testing.T) {
	p := StartSelf(t, "waiter", taskVar+"=wait")
	if line, err := p.Line(); line != "ready" || err != nil {
		t.Fatal(line, err)
	}
	p.Signal(syscall.SIGTERM)
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	p.Signal(syscall.SIGTERM) // too late, which is no mistake
	p.Kill()
}

func TestAProcessThatFailsSaysSo(t *testing.T) {
	p := StartSelf(t, "failer", taskVar+"=fail")
	if _, err := p.Line(); err == nil || err.Error() != "failer ended: exit status 1" {
		t.Error(err)
	}
}

func TestAProcessEndsWhenTheTestHasGone(t *testing.T) {
	p := StartSelf(t, "orphan", taskVar+"=wait")
	if _, err := p.Line(); err != nil {
		t.Fatal(err)
	}
	p.Stdin.Close()
	if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Error(err)
	}
}

func TestWhatAProcessSaidIsReadAfterItsEnd(t *testing.T) {
	p := StartSelf(t, "talker", taskVar+"=talk")
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	p.Kill() // too late, which is no mistake
	n := 0
	for line := range p.Lines() {
		if line != fmt.Sprint(n) {
			t.Fatalf("%q after %d lines", line, n)
		}
		n++
	}
	if n != lines {
		t.Errorf("%d lines, want %d", n, lines)
	}
}
