package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A fleet is the demo's servers, which are processes of their own.
type fleet struct {
	hook string

	mu      sync.Mutex // guards servers, kills
	servers []*process
	kills   []*kill
}

// A process is one server's present process.
type process struct {
	id     string
	weight int
	addr   string // "" while dead
	cmd    *exec.Cmd
	stdin  io.Closer
}

// A kill is one SIGKILL and its effect.
type kill struct {
	id, addr string
	at       time.Time
	lastCall time.Duration // after at, the last call sent to addr; 0: none
}

// newFleet names n servers; they share the weight 100, 200, 100, 200 ...
func newFleet(hook string, n int) *fleet {
	f := &fleet{hook: hook}
	for i := range n {
		f.servers = append(f.servers, &process{id: fmt.Sprintf("a%d", i+1), weight: 100 + 100*(i%2)})
	}
	return f
}

// start runs server i as a new process and returns when it is registered.
func (f *fleet) start(i int) error {
	f.mu.Lock()
	p := f.servers[i]
	f.mu.Unlock()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, serveArg, f.hook, p.id, strconv.Itoa(p.weight))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("server %s did not register: %w", p.id, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.cmd, p.stdin, p.addr = cmd, stdin, strings.TrimSpace(addr)
	return nil
}

// kill ends server i as a crash would, and waits until the process is gone.
func (f *fleet) kill(i int) (id string) {
	f.mu.Lock()
	p := f.servers[i]
	k := &kill{id: p.id, addr: p.addr, at: time.Now()}
	cmd := p.cmd
	f.kills = append(f.kills, k)
	f.mu.Unlock()
	cmd.Process.Kill()
	cmd.Wait() // its error is the kill
	f.mu.Lock()
	defer f.mu.Unlock()
	p.addr = ""
	return p.id
}

// stop ends all servers in order.
func (f *fleet) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.servers {
		if p.addr != "" {
			p.stdin.Close()
		}
	}
	for _, p := range f.servers {
		if p.addr != "" {
			p.cmd.Wait()
		}
	}
}

// sent notes that a call was sent to addr now.
func (f *fleet) sent(addr string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kills {
		if k.addr == addr && at.After(k.at) {
			k.lastCall = max(k.lastCall, at.Sub(k.at))
		}
	}
}

// idOf is the id of the server that listened, or listens, at addr.
func (f *fleet) idOf(addr string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.servers {
		if p.addr == addr {
			return p.id
		}
	}
	for _, k := range f.kills {
		if k.addr == addr {
			return k.id
		}
	}
	return addr
}

// snapshot copies the servers and the kills.
func (f *fleet) snapshot() (servers []process, kills []kill) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.servers {
		servers = append(servers, *p)
	}
	for _, k := range f.kills {
		kills = append(kills, *k)
	}
	return servers, kills
}
