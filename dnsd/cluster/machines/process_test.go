//go:build linux

package machines

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is one that runs on a machine, until it ends or the test does.
type process struct {
	t     *testing.T
	name  string // for messages
	cmd   *exec.Cmd
	ended chan struct{} // closed at its end
	err   error         // how it ended; after ended

	mu      sync.Mutex // guards what follows
	said    bytes.Buffer
	another chan struct{} // closed when it has said more
}

// patience bounds every wait, far above what a busy machine needs.
const patience = 45 * time.Second

// launch runs a program on the machine, with variables added to its environment. It ends
// with the process of the tests, however that ends.
func (m *machine) launch(name string, env []string, program string, args ...string) *process {
	m.t.Helper()
	p := &process{t: m.t, name: name, ended: make(chan struct{}), another: make(chan struct{})}
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", m.ns, program}, args...)...)
	p.cmd.Dir = m.dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	m.t.Cleanup(func() {
		p.kill()
		if m.t.Failed() {
			lines := strings.Split(p.output(), "\n")
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "hook write") })
			m.t.Logf("%s (%v) said:\n%s", name, p.err, strings.Join(lines[max(0, len(lines)-60):], "\n"))
		}
	})
	return p
}

// Write notes what the process has said.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.another)
	p.another = make(chan struct{})
	return p.said.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// says waits until the process has said a text.
func (p *process) says(text string) {
	p.t.Helper()
	late := time.After(patience)
	for {
		p.mu.Lock()
		there, another := bytes.Contains(p.said.Bytes(), []byte(text)), p.another
		p.mu.Unlock()
		if there {
			return
		}
		select {
		case <-another:
		case <-p.ended:
			if !strings.Contains(p.output(), text) {
				p.t.Fatalf("%s ended (%v), and did not say %q:\n%s", p.name, p.err, text, p.output())
			}
			return
		case <-late:
			p.t.Fatalf("%s does not say %q; it said:\n%s", p.name, text, p.output())
		}
	}
}

// signal sends a signal to a process that may have ended.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v: %v", p.name, s, err)
	}
}

// kill ends the process as kill -9 does, and waits for its end.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop ends the process with SIGTERM. It has to end without a fault, or by that signal.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	if p.err != nil && p.err.Error() != "signal: terminated" {
		p.t.Errorf("%s: %v", p.name, p.err)
	}
}

// freeze stops the process with SIGSTOP, and waits until it is stopped.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	await(p.t, p.name+" is stopped", func() bool { return p.state() == 'T' })
}

// state is the state of the process: T if it is stopped (proc(5)).
func (p *process) state() byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if i := bytes.LastIndexByte(stat, ')'); err == nil && i+2 < len(stat) {
		return stat[i+2]
	}
	return 0
}

// thaw ends freeze.
func (p *process) thaw() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

// await waits until something is so that has no event.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	late := time.After(patience)
	for tick := time.NewTicker(10 * time.Millisecond); !so(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}
