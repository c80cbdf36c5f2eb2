package peertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is the time that a process gets to be ready, or to end, on a busy machine.
const patience = 60 * time.Second

// A Process is a process of the test binary. Only one goroutine at a time may read
// its output. All other methods may be called at any time, also when it has ended.
type Process struct {
	Pid   int
	Stdin io.WriteCloser // when it is closed, as it is with the test, [Main] ends

	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdout *os.File
	lines  *bufio.Reader // of stdout
	ended  chan struct{} // closed when the process has ended
	err    error         // how it ended; after ended
}

// StartSelf starts the test binary with variables ("KEY=value") added to its
// environment; of the tests it runs at most the calling one. It writes to the test's
// standard error. Messages call it by the name. It is killed when the test ends.
func StartSelf(t testing.TB, name string, env ...string) *Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(self, "-test.run=^"+test+"$")
	cmd.Args[0] = name
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not cmd.StdoutPipe: it would be closed, perhaps unread, at the process's end.
	stdout, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = theirs
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		stdout.Close()
		t.Fatal(err)
	}
	p := &Process{
		Pid: cmd.Process.Pid, Stdin: stdin,
		t: t, name: name, cmd: cmd, stdout: stdout, lines: bufio.NewReader(stdout), ended: make(chan struct{}),
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		stdout.Close()
	})
	return p
}

// Line waits for the next line of the process's standard output. By convention a
// process prints its first line when it is ready.
func (p *Process) Line() (string, error) {
	_ = p.stdout.SetReadDeadline(time.Now().Add(patience)) // where pipes have none, the test's timeout does
	line, err := p.lines.ReadString('\n')
	switch {
	case err == nil:
		return line[:len(line)-1], nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%s said nothing for %v", p.name, patience)
	}
	return "", fmt.Errorf("%s ended: %v", p.name, p.Wait())
}

// Lines yields the lines of the process's standard output until it has ended,
// however long that takes.
func (p *Process) Lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		_ = p.stdout.SetReadDeadline(time.Time{})
		for {
			line, err := p.lines.ReadString('\n')
			if line != "" && !yield(strings.TrimSuffix(line, "\n")) || err != nil {
				return
			}
		}
	}
}

// Signal sends a signal. That the process has ended is no error.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v: %v", p.name, s, err)
	}
}

// Kill sends SIGKILL and waits. The output of the process can still be read.
func (p *Process) Kill() {
	p.Signal(os.Kill)
	<-p.ended
}

// Wait waits until the process ends by itself. nil means status 0.
func (p *Process) Wait() error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-timeout.C:
		return fmt.Errorf("not within %v", patience)
	}
}

// Main runs a task in a process that [StartSelf] has started, and ends the process
// with status 0, or 1 if there was an error. The task's context ends with SIGTERM.
// When the test's process has ended, for whatever reason, the process ends at once.
func Main(task func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	if err := task(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Tests: peertest_test.go.
