package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/register"
)

// A site is where the demo's servers register, and its client asks.
type site struct {
	hooks   []string // URLs
	dns     []string // host:port
	several *several // nil: one dnsd, in this process
}

// several are dnsd that share the registrations, each a process of its own.
type several struct {
	binary string
	all    []*dnsdProcess

	mu    sync.Mutex // guards kills, and the fields of each process that say so
	kills []killed
}

// A dnsdProcess is one of several dnsd.
type dnsdProcess struct {
	name, dir, hook, dns string
	// Guarded by several.mu.
	cmd   *exec.Cmd // nil: it is dead
	ended chan struct{}
}

// session of the dnsd: the shortest, so that a viewer need not wait.
const session = 2 * time.Second

// startTime bounds how long the first start may take.
const startTime = 30 * time.Second

// corefile of one dnsd.
const corefile = `svc:%[1]s {
    bind 127.0.0.1
    hook %[2]s
    store cluster etcd {
        name %[3]s
%[4]s        listen %[5]s
        session %[6]v
    }
    ttl %[7]v
    lease %[8]v
    log warn
}
`

// startSeveral builds the full dnsd and starts n of them, in the folder dir. tell gets
// what takes time.
func startSeveral(ctx context.Context, n int, dir string, tell func(string)) (*site, error) {
	s := &several{binary: filepath.Join(dir, "dnsd")}
	tell("building the full dnsd, which contains etcd (go build in dnsd/cluster): the first time this takes about a minute")
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	// The ports of one dnsd: DNS, hook, etcd's server, and the one for the other dnsd.
	var addrs []string
	for _, a := range freeaddr.Take(4 * n) {
		addrs = append(addrs, a.String())
	}
	var peers strings.Builder
	for i := range n {
		fmt.Fprintf(&peers, "        peer %c http://%s\n", 'a'+i, addrs[4*i+2])
	}
	out := &site{several: s}
	for i := range n {
		a := addrs[4*i : 4*i+4]
		d := &dnsdProcess{name: string(rune('a' + i)), hook: "http://" + a[1], dns: a[0]}
		d.dir = filepath.Join(dir, d.name)
		if err := os.Mkdir(d.dir, 0o700); err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(a[0])
		text := fmt.Sprintf(corefile, port, a[1], d.name, peers.String(), a[3], session, ttl, lease)
		if err := os.WriteFile(filepath.Join(d.dir, "Corefile"), []byte(text), 0o600); err != nil {
			return nil, err
		}
		s.all = append(s.all, d)
		out.hooks, out.dns = append(out.hooks, d.hook), append(out.dns, d.dns)
	}
	tell(fmt.Sprintf("starting %d dnsd, with etcd inside", n))
	for _, d := range s.all {
		if err := s.start(d); err != nil {
			s.stop()
			return nil, err
		}
	}
	if err := s.awaitReady(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return out, nil
}

// build builds the full dnsd, which is in a module of its own beside package dnsd.
func (s *several) build(ctx context.Context) error {
	where := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/rollcall-dns/rollcall/dnsd")
	out, err := where.Output()
	if err != nil {
		return fmt.Errorf("go list: %w: with -dnsd, run the demo in a copy of Rollcall's repository", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "./cmd/dnsd")
	build.Dir = filepath.Join(strings.TrimSpace(string(out)), "cluster")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", build.Dir, err, text)
	}
	return nil
}

// start starts one dnsd, and does not wait for it.
func (s *several) start(d *dnsdProcess) error {
	cmd := exec.Command(s.binary, "-conf", "Corefile")
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+d.dir)
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed, or stops with the demo
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	d.cmd, d.ended = cmd, ended
	return nil
}

// awaitReady returns when each dnsd can be used.
func (s *several) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, d := range s.all {
		for d.get(ctx, "/readyz", nil) != nil {
			select {
			case <-d.ended:
				log, _ := os.ReadFile(filepath.Join(d.dir, "log"))
				return fmt.Errorf("dnsd %s has ended: %s", d.name, log)
			default:
			}
			if !pause(ctx, 20*time.Millisecond) {
				return fmt.Errorf("dnsd %s is not ready after %v", d.name, startTime)
			}
		}
	}
	return nil
}

// get asks the hook, and decodes the answer unless into is nil.
func (d *dnsdProcess) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.hook+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, text)
	case into == nil:
		return nil
	}
	return json.Unmarshal(text, into)
}

// alive are the dnsd that are not dead.
func (s *several) alive() (all []*dnsdProcess) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.all {
		if d.cmd != nil {
			all = append(all, d)
		}
	}
	return all
}

// cluster asks one dnsd that lives for all members.
func (s *several) cluster(ctx context.Context) (c register.Cluster, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err = errors.New("no dnsd lives")
	for _, d := range s.alive() {
		if err = d.get(ctx, "/v1/cluster", &c); err == nil {
			break
		}
	}
	return c, err
}

// writer is the dnsd that writes now, or nil.
func (s *several) writer(ctx context.Context) *dnsdProcess {
	c, err := s.cluster(ctx)
	if err != nil {
		return nil
	}
	for _, d := range s.alive() {
		if d.name == c.Writer {
			return d
		}
	}
	return nil
}

// kill ends a dnsd as a crash would, and measures the time until another one takes a
// registration.
func (s *several) kill(ctx context.Context, d *dnsdProcess) (time.Duration, error) {
	s.mu.Lock()
	cmd, ended := d.cmd, d.ended
	d.cmd = nil
	s.mu.Unlock()
	began := time.Now()
	cmd.Process.Kill()
	<-ended
	for {
		for _, other := range s.alive() {
			if other.write(ctx) == nil {
				took := time.Since(began)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.kills = append(s.kills, killed{ID: d.name, MS: float64(took.Microseconds()) / 1000})
				return took, nil
			}
		}
		if !pause(ctx, 5*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
}

// write registers something, which ends with its lease.
func (d *dnsdProcess) write(ctx context.Context) error {
	body := fmt.Appendf(nil, `{"port":9,"meta":{"at":%q}}`, time.Now().Format(time.RFC3339Nano))
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, d.hook+"/v1/services/_demo._tcp/instances/write", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return errors.New(resp.Status)
	}
	return nil
}

// killed are the kills so far.
func (s *several) killed() []killed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]killed{}, s.kills...)
}

// stop ends all dnsd.
func (s *several) stop() {
	for _, d := range s.alive() {
		_ = d.cmd.Process.Signal(os.Interrupt)
	}
	for _, d := range s.alive() {
		select {
		case <-d.ended:
		case <-time.After(5 * time.Second):
			d.cmd.Process.Kill()
			<-d.ended
		}
	}
}

// Tests: demo_test.go. The module dnsd/cluster has a test that runs all of it.
