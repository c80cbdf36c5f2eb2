package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// firewallEnv tells the test binary to be the process in a network namespace of its own.
const firewallEnv = "ROLLCALL_FIREWALL_CHILD"

// TestFirewallIsNoWitnessOfADeath: ten instances listen, and a firewall between them and
// dnsd rejects connections, in each way that it can. No instance is removed for that,
// neither when leases end nor when held connections break. An instance that really
// closes its port is removed at once.
func TestFirewallIsNoWitnessOfADeath(t *testing.T) {
	if os.Getenv(firewallEnv) != "" {
		if err := firewallChild(); err != nil {
			fmt.Println("failed:", err)
		}
		os.Exit(0)
	}
	t.Parallel()
	for _, program := range []string{"ip", "iptables", "ip6tables"} {
		peertest.Need(t, program)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestFirewallIsNoWitnessOfADeath$")
	child.Env = append(os.Environ(), firewallEnv+"=1", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	text := string(out)
	if err != nil && len(out) == 0 || strings.Contains(text, "no firewall here") {
		if peertest.Mandatory() {
			t.Fatalf("no network namespace with a firewall here: %v %s", err, text)
		}
		t.Skipf("no network namespace with a firewall here: %v %s", err, text)
	}
	if err != nil || !strings.Contains(text, "believed only the hosts") {
		t.Errorf("%v\n%s", err, text)
	}
}

func firewallChild() error {
	command := func(words string) error {
		f := strings.Fields(words)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w %s", words, err, out)
		}
		return nil
	}
	if err := command("ip link set lo up"); err != nil {
		return fmt.Errorf("no firewall here: %w", err)
	}
	if err := command("iptables -A INPUT -p tcp --dport 9 -j REJECT"); err != nil {
		return fmt.Errorf("no firewall here: %w", err)
	}
	cases := []struct{ tables, reject string }{
		{"iptables", "REJECT --reject-with icmp-port-unreachable"},
		{"iptables", "REJECT --reject-with icmp-admin-prohibited"},
		{"iptables", "REJECT --reject-with icmp-host-unreachable"},
		{"iptables", "DROP"},
		{"ip6tables", "REJECT --reject-with icmp6-port-unreachable"},
		{"ip6tables", "REJECT --reject-with icmp6-adm-prohibited"},
		{"ip6tables", "DROP"},
	}
	var all sync.WaitGroup
	errs := make([]error, 2*len(cases))
	for i, c := range cases {
		for k, chain := range []string{"INPUT", "OUTPUT"} { // a firewall on the way, or on this host
			at := 2*i + k
			// Each has a host of its own, so that none waits for another. 127.0.0.1 is the client.
			host := fmt.Sprintf("127.0.0.%d", 2+at)
			if c.tables == "ip6tables" {
				host = fmt.Sprintf("fd00::%d", 2+at)
				if err := command("ip -6 addr add " + host + "/128 dev lo nodad"); err != nil {
					return err
				}
			}
			all.Go(func() {
				if err := underFire(command, host, c.tables+" -w", chain, c.reject); err != nil {
					errs[at] = fmt.Errorf("%s %s: %w", chain, c.reject, err)
				}
			})
		}
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("believed only the hosts")
	return nil
}

// underFire registers listening instances, makes the firewall reject, breaks the held
// connections, and waits until the leases end.
func underFire(command func(string) error, host, tables, chain, reject string) error {
	cfg := registry.Config{Lease: registry.Leases{Default: 2 * time.Second, Min: 2 * time.Second}}
	r, err := registry.OpenTuned(cfg, func(_ *registry.Config, n *registry.Tuning) { n.ProbeTimeout = 200 * time.Millisecond })
	if err != nil {
		return err
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	defer func() { cancel(); <-done }()

	const n = 4
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	var keys []registry.Key
	for i := range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
		in := math(fmt.Sprint("a", i))
		if i == n-1 {
			in.Service = "_alone._tcp"
		}
		in.Host, in.Port = host, uint16(l.Addr().(*net.TCPAddr).Port)
		if _, err := r.Register(ctx, in); err != nil {
			return err
		}
		keys = append(keys, in.Key)
	}
	w, err := r.Watch("", nil)
	if err != nil {
		return err
	}
	defer w.Close()

	lost := func() { // for all instances at once
		var asked sync.WaitGroup
		for _, k := range keys {
			asked.Go(func() { r.ConnectionLost(ctx, k, 0) })
		}
		asked.Wait()
	}
	rule := chain + " -p tcp -d " + host + " -j " + reject
	if err := command(tables + " -I " + rule); err != nil {
		return err
	}
	lost()
	if s := r.Stats(); s.Instances != n {
		return fmt.Errorf("held connections broke, and only %d of %d are there", s.Instances, n)
	}
	if chain == "INPUT" && !strings.Contains(reject, "host") && !strings.Contains(reject, "adm") { // this takes a lease, so not for each reject
		for suspects := map[registry.Key]bool{}; len(suspects) < n; {
			events, err := w.Next(ctx)
			if err != nil {
				return err
			}
			for _, e := range events {
				if e.New == nil {
					return fmt.Errorf("%v was removed", e.Key())
				}
				suspects[e.Key()] = true
			}
		}
		lost()
		if s := r.Stats(); s.Suspect != n {
			return fmt.Errorf("leases ended: %+v, want %d suspects", s, n)
		}
	}
	if err := command(tables + " -D " + rule); err != nil {
		return err
	}
	listeners[0].Close()
	listeners[n-1].Close()
	lost()
	for i, k := range keys {
		if _, ok := r.Instance(k); ok != (i == 1 || i == 2) {
			return errors.New("of the hosts that refused themselves some are there, or of those that listen some are gone")
		}
	}
	return nil
}
