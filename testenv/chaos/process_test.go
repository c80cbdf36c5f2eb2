package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startTime is for a process to be ready on a busy machine.
const startTime = 60 * time.Second

// process is the test binary with a task.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ready chan string   // what follows the word "ready", once
	ended chan struct{} // closed when it is gone
	err   error         // how it ended; after ended
}

// start starts a process. It does not wait for it to be ready.
func start(t testing.TB, name string, env ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, cmd: exec.Command(exe), ready: make(chan string, 1), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	if *loud {
		p.cmd.Env = append(p.cmd.Env, "ROLLCALL_CHAOS_LOG=1")
	}
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "ready"); ok {
				p.ready <- strings.TrimSpace(rest)
			}
		}
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.kill()
	})
	return p
}

// await waits until the process says that it is ready, and gives what it says.
func (p *process) await() (string, error) {
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	select {
	case said := <-p.ready:
		return said, nil
	case <-p.ended:
		return "", fmt.Errorf("%s ended before it was ready: %v", p.name, p.err)
	case <-timeout.C:
		return "", fmt.Errorf("%s was not ready within %v", p.name, startTime)
	}
}

// kill is kill -9, and waits.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
	p.stdin.Close()
}

// terminate asks it to end, and says how it did.
func (p *process) terminate() error {
	p.signal(syscall.SIGTERM)
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	select {
	case <-p.ended:
		p.stdin.Close()
		return p.err
	case <-timeout.C:
		return fmt.Errorf("%s did not end within %v of SIGTERM", p.name, startTime)
	}
}

func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err) // a process of ours that cannot be signalled is a mistake of ours
	}
}
