package testenv

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestForwardersOfTheDocumentFindServices runs each resolver of docs/operations.md
// that is installed, with what the document says and no more than it takes to start
// one in a test, and asks it as the system would be asked.
func TestForwardersOfTheDocumentFindServices(t *testing.T) {
	env := New(t, Setup{Nodes: 3})
	document := readPage(t, "docs/operations.md")
	for _, tt := range []struct {
		program string
		config  string // directory, port, the document's part
		options string // to be put into options { } of the document
		args    []string
	}{
		{
			program: "dnsmasq",
			config:  "port=%[2]d\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\npid-file=\nuser=\ngroup=\nstop-dns-rebind\n%[3]s",
			args:    []string{"--no-daemon", "--conf-file=peer.conf"},
		},
		{
			program: "unbound",
			config: "server:\n  directory: \"%[1]s\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  interface: 127.0.0.1\n  port: %[2]d\n" +
				"  private-address: 127.0.0.0/8\n  root-hints: \"\"\nremote-control:\n  control-enable: no\n%[3]s",
			args: []string{"-d", "-c", "peer.conf"},
		},
		{
			program: "named",
			config:  "%[3]s",
			options: "directory \"%[1]s\"; pid-file none; session-keyfile none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion yes;\n",
			args:    []string{"-g", "-c", "peer.conf"},
		},
	} {
		t.Run(tt.program, func(t *testing.T) {
			peertest.Need(t, tt.program)
			dns := netip.MustParseAddrPort(env.DNSAddr())
			part := document.block(t, tt.program)
			for _, form := range []string{"%v#%d", "%v@%d", "%v port %d"} {
				part = strings.ReplaceAll(part, fmt.Sprintf(form, "127.0.0.1", 5300), fmt.Sprintf(form, dns.Addr(), dns.Port()))
			}
			dir, port := t.TempDir(), freeaddr.Take(1)[0].Port()
			part = strings.Replace(part, "options {\n", "options {\n"+fmt.Sprintf(tt.options, dir, port), 1)
			if err := os.WriteFile(filepath.Join(dir, "peer.conf"), fmt.Appendf(nil, tt.config, dir, port, part), 0o600); err != nil {
				t.Fatal(err)
			}
			peertest.Start(t, dir, tt.program, tt.args...)

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r := &resolver.Resolver{Servers: []string{fmt.Sprintf("127.0.0.1:%d", port)}, MinTTL: 50 * time.Millisecond}
			for state := range r.Watch(ctx, "_math._tcp.svc") { // retries until the program is up
				if len(state.Endpoints) == 3 {
					break
				}
			}
			stock := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, r.Servers[0])
			}}
			_, records, err := stock.LookupSRV(ctx, "math", "tcp", "svc.")
			if err != nil || len(records) != 3 {
				t.Fatalf("net.LookupSRV through %s: %d records, %v", tt.program, len(records), err)
			}
			for _, srv := range records {
				if addrs, err := stock.LookupHost(ctx, srv.Target); err != nil || len(addrs) == 0 {
					t.Errorf("the target %s through %s: %v, %v", srv.Target, tt.program, addrs, err)
				}
			}
		})
	}
}
