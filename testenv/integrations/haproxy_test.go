package integrations

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/rpc"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/register"
	"github.com/rollcall-dns/rollcall/testenv"
)

// TestHAProxyFollows runs HAProxy with the configuration of docs/integrations/haproxy.md, against
// registrations, a change of weight and a kill.
func TestHAProxyFollows(t *testing.T) {
	t.Parallel()
	binary := peertest.Need(t, "haproxy")
	env := testenv.New(t, testenv.Setup{Nodes: 3, Instance: func(i int) (uint16, uint16) { return 10, 256 }})
	front, admin := startHAProxy(t, binary, env.DNSAddr())

	admin.await(t, env, "the three nodes", map[string]int{"a1": 1, "a2": 1, "a3": 1})
	conn, err := rpc.Dial("tcp", front)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var product int
	if err := conn.Call("Arith.Multiply", &testenv.Args{A: 6, B: 7}, &product); err != nil || product != 42 {
		t.Errorf("a call through HAProxy: %d, %v", product, err)
	}

	env.AddNode()
	env.AwaitNodes()
	admin.await(t, env, "a registration", map[string]int{"a1": 1, "a2": 1, "a3": 1, "a4": 1})

	listener, err := net.Listen("tcp", "127.0.0.1:0") // HAProxy's checks connect to it
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	registration := register.Registration{Port: portOf(listener.Addr().String()), Weight: register.Uint16(256), Lease: register.Duration(time.Hour)}
	env.Put(other, registration)
	admin.await(t, env, "an instance that is no node", map[string]int{"a1": 1, "a2": 1, "a3": 1, "a4": 1, other: 1})
	registration.Weight = register.Uint16(1024)
	env.Put(other, registration)
	admin.await(t, env, "a change of weight", map[string]int{"a1": 1, "a2": 1, "a3": 1, "a4": 1, other: 4})

	env.Fault(1, testenv.Kill)
	admin.await(t, env, "a kill", map[string]int{"a1": 1, "a3": 1, "a4": 1, other: 4})
}

// other is the id of an instance that the test registers.
const other = "b1"

// An adminSocket is the path of the socket at which HAProxy shows its state.
type adminSocket string

// startHAProxy runs HAProxy until the test ends; it takes the document's
// configuration, with the test's addresses.
func startHAProxy(t *testing.T, binary, dns string) (front string, admin adminSocket) {
	t.Helper()
	front = freeaddr.Take(1)[0].String()
	dir := t.TempDir()
	admin = adminSocket(filepath.Join(dir, "admin"))
	text := recipe(t, "haproxy.md", "haproxy.cfg", "127.0.0.1:5300", dns, "127.0.0.1:9000", front)
	path := write(t, dir, "haproxy.cfg", fmt.Sprintf("global\n    stats socket %s level admin\n\n%s", admin, text))
	if out, err := exec.Command(binary, "-c", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("HAProxy refuses the document's configuration: %v\n%s", err, out)
	}
	peertest.Start(t, dir, binary, "-db", "-f", path)
	return front, admin
}

// await returns when HAProxy's running servers are the nodes in want, with their
// weights. HAProxy has no event for a change, so it is asked again and again.
func (a adminSocket) await(t *testing.T, env *testenv.Env, what string, want map[string]int) {
	t.Helper()
	ids := map[string]string{}
	for _, n := range env.Nodes() {
		ids[n.Addr()] = n.ID
	}
	await(t, "HAProxy follows "+what, patience, func() (bool, any) {
		have := map[string]int{}
		servers, err := a.servers()
		for addr, weight := range servers {
			if ids[addr] == "" {
				ids[addr] = other
			}
			have[ids[addr]] = weight
		}
		return err == nil && maps.Equal(have, want), have
	})
}

// servers are the addresses of servers that run, and their weights.
func (a adminSocket) servers() (map[string]int, error) {
	conn, err := net.Dial("unix", string(a))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	fmt.Fprintln(conn, "show servers state math")
	servers := map[string]int{}
	var columns []string
	for s := bufio.NewScanner(conn); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) > 1 && f[0] == "#" {
			columns = f[1:]
			continue
		}
		if len(f) < len(columns) || len(columns) == 0 {
			continue
		}
		field := func(name string) string { return f[slices.Index(columns, name)] }
		// Management guide 9.3: operational state 2 is running; administrative
		// state is a mask, of which 0x20 is maintenance for want of an address.
		admin, err := strconv.Atoi(field("srv_admin_state"))
		if err != nil {
			return nil, err
		}
		if field("srv_op_state") != "2" || admin&0x20 != 0 {
			continue
		}
		weight, err := strconv.Atoi(field("srv_uweight"))
		if err != nil {
			return nil, err
		}
		servers[field("srv_addr")+":"+field("srv_port")] = weight
	}
	return servers, nil
}

func portOf(addr string) uint16 {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}
