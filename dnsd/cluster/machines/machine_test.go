//go:build linux

package machines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// A machine is a network namespace and a directory.
type machine struct {
	t    *testing.T
	ns   string // empty: that of the test
	addr string // its IP address
	dir  string // its disk
}

// here is the machine of the test itself.
const here = "10.77.255.254"

// machines counts them: each has another address.
var machines atomic.Int32

// makeSwitch makes the bridge to which the machines are connected. Namespaces are listed
// in /run, which becomes this process's own. The disks of the machines are there as well,
// in memory: that of a busy test machine may be too slow for short sessions.
func makeSwitch() error {
	if _, err := peertest.Find("iptables"); err != nil {
		return err
	}
	if err := syscall.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return errors.Join(
		run("", "ip link set lo up"),
		// Without an address of its own it has that of a port, which changes with the ports.
		run("", "ip link add switch address 02:00:00:00:00:01 type bridge"),
		run("", "ip addr add "+here+"/16 dev switch"),
		run("", "ip link set switch up"),
	)
}

// run runs a command, in a namespace if it has a name.
func run(ns, command string) error {
	if ns != "" {
		command = "ip netns exec " + ns + " " + command
	}
	args := strings.Fields(command)
	program, err := peertest.Find(args[0])
	if err != nil {
		return err
	}
	if out, err := exec.Command(program, args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

// newMachine connects a machine until the test ends.
func newMachine(t *testing.T) *machine {
	t.Helper()
	n := machines.Add(1)
	m := &machine{t: t, ns: fmt.Sprint("m", n), addr: fmt.Sprintf("10.77.%d.%d", n/250, n%250+1), dir: fmt.Sprint("/run/m", n)}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(m.dir) })
	m.do("", "ip netns add %s", m.ns)
	t.Cleanup(func() { run("", "ip netns delete "+m.ns) })
	m.do("", "ip link add port-%s type veth peer name eth0 netns %[1]s", m.ns)
	m.do("", "ip -n %s addr add %s/16 dev eth0", m.ns, m.addr)
	m.do("", "ip -n %s link set lo up", m.ns)
	m.do("", "ip -n %s link set eth0 up", m.ns)
	m.do("", "ip link set port-%s master switch up", m.ns)
	return m
}

func (m *machine) do(ns, format string, args ...any) {
	m.t.Helper()
	if err := run(ns, fmt.Sprintf(format, args...)); err != nil {
		m.t.Fatal(err)
	}
}

// unplug takes the machine off the network. Nothing refuses what is sent to it.
func (m *machine) unplug() {
	m.t.Helper()
	m.do("", "ip link set port-%s down", m.ns)
}

// plug ends unplug.
func (m *machine) plug() {
	m.t.Helper()
	m.do("", "ip link set port-%s up", m.ns)
}

// cut cuts the connection of two machines: what one sends, the other does not get.
func (m *machine) cut(o *machine) { m.t.Helper(); m.between("-A", o) }

// mend ends cut.
func (m *machine) mend(o *machine) { m.t.Helper(); m.between("-D", o) }

func (m *machine) between(do string, o *machine) {
	m.t.Helper()
	m.do(m.ns, "iptables -w %s INPUT -s %s -j DROP", do, o.addr)
	m.do(o.ns, "iptables -w %s INPUT -s %s -j DROP", do, m.addr)
}

// write writes a file on the machine's disk, and returns its path.
func (m *machine) write(name, text string) string {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}
