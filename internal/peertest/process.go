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

// patience is for a process to be ready, or to end, on a busy machine.
const patience = 60 * time.Second

// A Process is the test binary once more. One goroutine at a time may read what
// it says; all else may be called at any time, also when it has ended.
type Process struct {
	Pid   int
	Stdin io.WriteCloser // when it is closed, as it is with the test, [Main] ends

	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdout *os.File
	lines  *bufio.Reader // of stdout
	ended  chan struct{} // closed when it is gone
	err    error         // how it ended; after ended
}

// StartSelf starts the test binary with variables ("KEY=value") added to its
// environment, and of its tests only the one that runs. Its standard error is the
// test's; messages call it by the name. It is killed when the test ends.
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

// Line waits for the next line that the process says on standard output, which by
// custom is the first when it is ready.
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

// Lines gives what the process says on standard output until it has ended,
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

// Signal sends a signal, for which it is no mistake to come too late.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v: %v", p.name, s, err)
	}
}

// Kill is kill -9, and waits. What the process has said before can still be read.
func (p *Process) Kill() {
	p.Signal(os.Kill)
	<-p.ended
}

// Wait waits for the process to end by itself, and says how it did: nil is
// status 0.
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

// Main runs a task in a process that [StartSelf] has started, and ends the
// process: with status 0, or 1 if there was an error. The task's context ends with
// SIGTERM. When the test has gone, however it went, the process ends at once.
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
