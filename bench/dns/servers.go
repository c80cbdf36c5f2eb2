//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"github.com/rollcall-dns/rollcall/bench/internal/dnsload"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// server is one program under test.
type server struct {
	name    string
	version string
	addr    netip.AddrPort
	cmd     *exec.Cmd
}

// startServers runs dnsd, fills it, and lets the others transfer its zone. stop
// ends what was started, whatever the error.
func startServers(o options, dir string) (servers []*server, stop func(), err error) {
	stop = func() { stopAll(servers) }
	var all []*server
	add := func(s *server, err error) error {
		if err != nil {
			return err
		}
		servers = append(servers, s)
		if wanted(o, s.name) {
			all = append(all, s)
		}
		return nil
	}
	primary, hook, err := startDNSD(o, dir)
	if err := add(primary, err); err != nil {
		return nil, stop, err
	}
	begin := time.Now()
	if err := fill(o, hook); err != nil {
		return nil, stop, err
	}
	fmt.Fprintf(os.Stderr, "%d instances registered in %v\n", o.services*o.instances, time.Since(begin).Round(time.Millisecond))
	serial, err := waitSerial(primary.addr, nil)
	if err != nil {
		return nil, stop, err
	}
	if wanted(o, "echo") {
		if err := add(startEcho(primary.addr)); err != nil {
			return nil, stop, err
		}
	}
	file := filepath.Join(dir, "svc.zone")
	if wanted(o, "nsd") || wanted(o, "knot") {
		if err := saveZone(primary.addr, file); err != nil {
			return nil, stop, err
		}
	}
	for _, k := range others {
		if !wanted(o, k.name) {
			continue
		}
		path, err := peertest.Find(k.program)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", k.name, err)
			continue
		}
		s, err := k.start(path, dir, file)
		if err := add(s, err); err != nil {
			return nil, stop, err
		}
		if _, err := waitSerial(s.addr, &serial); err != nil {
			return nil, stop, err
		}
	}
	return all, stop, nil
}

func stopAll(servers []*server) {
	for _, s := range servers {
		s.cmd.Process.Signal(syscall.SIGTERM)
		s.cmd.Wait()
	}
}

// other is a name server that gets dnsd's zone.
type other struct {
	name, program string
	version       []string // arguments that print it
	args          []string // before the path of the configuration
	config        string
}

var others = []other{
	{"nsd", "nsd", []string{"-v"}, []string{"-d", "-c"}, nsdConfig},
	{"knot", "knotd", []string{"-V"}, []string{"-c"}, knotConfig},
}

// start runs the program on the zone of file.
func (k other) start(path, dir, file string) (*server, error) {
	home := filepath.Join(dir, k.name)
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	addr := freeaddr.Take(1)[0]
	conf := filepath.Join(home, k.name+".conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, k.config, home, addr.Port(), file), 0o600); err != nil {
		return nil, err
	}
	s, err := start(k.name, addr, path, append(slices.Clone(k.args), conf)...)
	if err != nil {
		return nil, err
	}
	out, _ := exec.Command(path, k.version...).CombinedOutput()
	s.version, _, _ = strings.Cut(string(out), "\n")
	return s, nil
}

// start runs a program on the server's core.
func start(name string, addr netip.AddrPort, path string, args ...string) (*server, error) {
	taskset, err := peertest.Find("taskset")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(taskset, append([]string{"-c", strconv.Itoa(dnsload.ServerCore), path}, args...)...)
	if os.Getenv("VERBOSE") != "" {
		cmd.Stderr = os.Stderr
	}
	// It ends with this program, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &server{name: name, addr: addr, cmd: cmd}, nil
}

func startDNSD(o options, dir string) (*server, string, error) {
	addrs := freeaddr.Take(2)
	addr, hook := addrs[0], addrs[1]
	conf := filepath.Join(dir, "Corefile")
	text := fmt.Sprintf(`svc:%d {
    bind 127.0.0.1
    hook %s {
        rate 1000000
    }
    store memory
    ttl 30s
    lease 1h
    limits {
        instances 2000000
    }
    transfer {
        to 127.0.0.0/8
    }
    log error
}
`, addr.Port(), hook)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	s, err := start("dnsd", addr, o.dnsd, "-conf", conf)
	if err != nil {
		return nil, "", err
	}
	if _, err := waitSerial(addr, nil); err != nil {
		return s, "", fmt.Errorf("dnsd: %w", err)
	}
	return s, "http://" + hook.String(), nil
}

// fill registers the instances over the hook.
func fill(o options, hook string) error {
	const workers = 16
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for n := range next {
				if err := register(ctx, client, hook, n, o.instances); err != nil {
					cancel(err)
				}
			}
		})
	}
	for n := range o.services * o.instances {
		if ctx.Err() != nil {
			break
		}
		next <- n
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func register(ctx context.Context, client *http.Client, hook string, n, each int) error {
	host := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	body, err := json.Marshal(map[string]any{"host": host, "port": 8000 + n%1000, "weight": 1 + n%100, "ttl": "30s"})
	if err != nil {
		return err
	}
	url := fmt.Sprintf("%s/v1/services/%s/instances/i%02d", hook, dnsload.ServiceName(n/each), n%each)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("PUT %s: %s: %s", url, resp.Status, answer.String())
	}
	return nil
}

// startEcho takes one of dnsd's own answers for its bytes.
func startEcho(primary netip.AddrPort) (*server, error) {
	c := dns.Client{UDPSize: 4096}
	m := new(dns.Msg).SetQuestion(dnsload.ServiceName(0)+".svc.", dns.TypeSRV)
	m.SetEdns0(1232, false)
	r, _, err := c.Exchange(m, primary.String())
	if err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	r.Compress = true
	answer, err := r.Pack()
	if err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	taskset, err := peertest.Find("taskset")
	if err != nil {
		return nil, err
	}
	addr := freeaddr.Take(1)[0]
	cmd := exec.Command(taskset, "-c", strconv.Itoa(dnsload.ServerCore), self, "-echo", addr.String())
	cmd.Stdin = strings.NewReader(hex.EncodeToString(answer))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	for range 500 {
		// It listens on TCP first.
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			return &server{name: "echo", addr: addr, cmd: cmd}, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.New("echo: does not start")
}

// zoneTimeout is enough for a million instances, on a slow core.
const zoneTimeout = 10 * time.Minute

// waitSerial waits until a server has the zone, at the serial if one is given.
func waitSerial(addr netip.AddrPort, want *uint32) (uint32, error) {
	c := dns.Client{Timeout: time.Second}
	for begin := time.Now(); time.Since(begin) < zoneTimeout; {
		r, _, err := c.Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), addr.String())
		if err == nil && len(r.Answer) == 1 {
			if soa, ok := r.Answer[0].(*dns.SOA); ok && (want == nil || soa.Serial == *want) {
				return soa.Serial, nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, fmt.Errorf("%v does not have the zone", addr)
}

// The verbs: 1 the directory, 2 the server's port, 3 the zone's file.
const nsdConfig = `
server:
	ip-address: 127.0.0.1@%[2]d
	server-count: 1
	username: ""
	chroot: ""
	zonesdir: "%[1]s"
	database: ""
	pidfile: "%[1]s/nsd.pid"
	xfrdfile: "%[1]s/xfrd.state"
	xfrdir: "%[1]s"
	zonelistfile: "%[1]s/zone.list"
	rrl-ratelimit: 0
	tcp-count: 100
remote-control:
	control-enable: no
zone:
	name: "svc."
	zonefile: "%[3]s"
`

const knotConfig = `
server:
    listen: 127.0.0.1@%[2]d
    rundir: "%[1]s"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: error
database:
    storage: "%[1]s"
zone:
  - domain: svc.
    storage: "%[1]s"
    file: "%[3]s"
    zonefile-sync: -1
`
