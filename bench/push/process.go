//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// process is a server that was started. Its output is kept for the case that it fails. It ends
// with this process, however that ends.
type process struct {
	cmd *exec.Cmd
	log *os.File
}

func start(cpus *unix.CPUSet, log, name string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := launch(cpus, cmd.Start); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &process{cmd, f}, nil
}

// kill ends it at once, and waits.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait() // killed: its error is what was asked for
	p.log.Close()
}

// said is the end of its log.
func (p *process) said() string {
	b, _ := os.ReadFile(p.log.Name())
	return string(b[max(0, len(b)-2048):])
}

// spent is the time of the processor that it has used.
func (p *process) spent() (time.Duration, error) {
	// The clock of another process: clock_getcpuclockid(3).
	const cpuClockSched = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid)<<3|cpuClockSched, &t); err != nil {
		return 0, fmt.Errorf("the clock of process %d: %w", p.cmd.Process.Pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// resident is its memory, in octets.
func (p *process) resident() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	return n << 10, err
}

// server is a dnsd. It may run, end, and run again on its store.
type server struct {
	*process
	dns  netip.AddrPort
	tls  netip.AddrPort
	hook string // its URL
	conf string
	bin  string
	cpus *unix.CPUSet // on which it runs; nil: all
	sent func()       // is called when a request is written; may be nil
}

// newServer writes the Corefile of a dnsd and starts it. The limits of requests and of answers
// protect dnsd from one client; here one process is all.
func newServer(ctx context.Context, p programs, name string, id *identity) (*server, error) {
	addrs := freeaddr.Take(3)
	s := &server{
		dns: addrs[0], tls: addrs[1], hook: "http://" + addrs[2].String(),
		conf: filepath.Join(p.work, name+".conf"), bin: p.dnsd, cpus: p.cpus,
	}
	text := fmt.Sprintf(`svc:%d {
    bind 127.0.0.1
    hook %s {
        rate 1000000
    }
    lease 1h
    store bolt %s
    log error
`, s.dns.Port(), addrs[2], filepath.Join(p.work, name+".db"))
	if id != nil {
		text += fmt.Sprintf("    tls %s %s %d\n", id.cert, id.key, s.tls.Port())
	}
	if err := os.WriteFile(s.conf, []byte(text+"}\n"), 0o600); err != nil {
		return nil, err
	}
	return s, s.run(ctx)
}

// run starts it, and returns when it is ready.
func (s *server) run(ctx context.Context) (err error) {
	if s.process, err = start(s.cpus, s.conf+".log", s.bin, "-conf", s.conf); err != nil {
		return err
	}
	if err := await(ctx, func() error { return s.do("GET", "/readyz", "") }); err != nil {
		return fmt.Errorf("%w\n%s", err, s.said())
	}
	return nil
}

var hooks = &http.Client{Timeout: 5 * time.Second}

// do makes one request to the hook.
func (s *server) do(method, path, body string) error {
	_, err := s.read(method, path, body)
	return err
}

func (s *server) read(method, path, body string) ([]byte, error) {
	req, err := http.NewRequest(method, s.hook+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if s.sent != nil {
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { s.sent() }}))
	}
	resp, err := hooks.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer, err
}

// subscriptions is how many the server has, by its metrics.
func (s *server) subscriptions() (int, error) {
	page, err := s.read("GET", "/metrics", "")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range bytes.Lines(page) {
		if bytes.HasPrefix(line, []byte("rollcall_dns_push_subscriptions")) {
			f := bytes.Fields(line)
			n, err := strconv.ParseFloat(string(f[len(f)-1]), 64)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return int(total), nil
}

// path of an instance.
func path(service, id string) string { return "/v1/services/" + service + "/instances/" + id }

// instance is the body of its registration.
func instance(port, weight int) string {
	return fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"weight":%d}`, port, weight)
}

// await tries until it works, for a minute at most.
func await(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
