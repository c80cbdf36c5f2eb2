package integrations

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// A forwarder is a program that sends the questions for the zone to dnsd.
type forwarder struct {
	program string
	page    string
	block   string
	dnsd    string // its address, as the block has it
	address string // the form of that address: host, port
	// surroundings of the block: its text, the folder and the port of the program.
	surroundings string
	options      string // put into options of the block: the folder and the port
	file         string // its name, if the program minds
	args         []string
}

// Some forwarders ask from any port. Here they leave out those that freeaddr gives to tests.
var forwarders = []forwarder{
	{
		program: "dnsmasq", page: "dnsmasq.md", block: "dnsmasq",
		dnsd: "127.0.0.1#5300", address: "%v#%d",
		surroundings: "port=%[3]d\nmin-port=32768\nlisten-address=127.0.0.1\nbind-interfaces\ndnssec\ntrust-anchor=.,20326,8,2,E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\nno-resolv\nno-hosts\npid-file=\nuser=\ngroup=\nstop-dns-rebind\n%[1]s",
		args:         []string{"--no-daemon", "--conf-file=peer.conf"},
	},
	{
		program: "unbound", page: "unbound.md", block: "unbound",
		dnsd: "127.0.0.1@5300", address: "%v@%d",
		surroundings: "server:\n  directory: \"%[2]s\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  interface: 127.0.0.1\n  port: %[3]d\n" +
			"  private-address: 127.0.0.0/8\n  outgoing-port-avoid: 1024-32767\n  root-hints: \"\"\nremote-control:\n  control-enable: no\n%[1]s",
		args: []string{"-d", "-c", "peer.conf"},
	},
	{
		program: "named", page: "bind.md", block: "named",
		dnsd: "127.0.0.1 port 5300", address: "%v port %d",
		options: "directory \"%[1]s\"; pid-file none; session-keyfile none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion yes;\n",
		args:    []string{"-g", "-n", "1", "-c", "peer.conf"},
	},
	{
		program: "pdns_recursor", page: "powerdns.md", block: "recursor.conf",
		dnsd: "127.0.0.1:5300", address: "%v:%d",
		surroundings: "socket-dir=%[2]s\nlocal-address=127.0.0.1\nlocal-port=%[3]d\nthreads=1\nudp-source-port-min=32768\ndnssec=validate\n%[1]s",
		file:         "recursor.conf",
		args:         []string{"--config-dir=."},
	},
}

func TestForwardersFollow(t *testing.T) {
	t.Parallel()
	for _, f := range forwarders {
		t.Run(f.program, func(t *testing.T) {
			t.Parallel()
			peertest.Need(t, f.program)
			j := newJourney(t, f.page)
			j.program = f.start(t, j.env.DNSAddr())
			j.travel()
		})
	}
}

// start runs the program, and returns the address of its DNS.
func (f forwarder) start(t *testing.T, dns string) string {
	t.Helper()
	at := netip.MustParseAddrPort(dns)
	text := recipe(t, f.page, f.block, f.dnsd, fmt.Sprintf(f.address, at.Addr(), at.Port()))
	addr, dir := freeaddr.Take(1)[0], t.TempDir()
	if f.options != "" {
		text = strings.Replace(text, "options {\n", "options {\n"+fmt.Sprintf(f.options, dir, addr.Port()), 1)
	}
	if f.surroundings != "" {
		text = fmt.Sprintf(f.surroundings, text, dir, addr.Port())
	}
	if f.program == "pdns_recursor" {
		path := write(t, dir, "rollcall.lua", recipe(t, f.page, "rollcall.lua"))
		text = strings.Replace(text, "/etc/powerdns/rollcall.lua", path, 1)
	}
	write(t, dir, cmp.Or(f.file, "peer.conf"), text)
	peertest.Start(t, dir, f.program, f.args...)
	return addr.String()
}
