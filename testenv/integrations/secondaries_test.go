package integrations

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/page"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// TestSecondariesOfTheDocumentFollow runs each secondary of docs/integrations/secondaries.md that
// is installed, with what the document says and no more than it takes to start one in
// a test.
func TestSecondariesOfTheDocumentFollow(t *testing.T) {
	t.Parallel()
	const secret = "c2VjcmV0IG9mIHRoZSB0ZXN0LCAzMiBvY3RldHMhISE="
	document := page.Read(t, "docs/integrations/secondaries.md")
	for _, tt := range []struct {
		program string
		config  string // directory, port, the document's part
		args    []string
	}{
		{
			program: "named",
			config: "options { directory \"%[1]s\"; pid-file none; session-keyfile none; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; };" +
				" recursion no; dnssec-validation no; };\ncontrols { };\n%[3]s",
			args: []string{"-g", "-n", "1", "-c", "peer.conf"},
		},
		{
			program: "nsd",
			config: "server:\n  ip-address: 127.0.0.1@%[2]d\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"%[1]s\"\n  database: \"\"\n" +
				"  pidfile: \"\"\n  xfrdfile: \"%[1]s/xfrd.state\"\n  xfrdir: \"%[1]s\"\n  zonelistfile: \"%[1]s/zone.list\"\nremote-control:\n  control-enable: no\n%[3]s",
			args: []string{"-d", "-c", "peer.conf"},
		},
		{
			program: "knotd",
			config: "server:\n    listen: 127.0.0.1@%[2]d\n    rundir: \"%[1]s\"\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n" +
				"database:\n    storage: \"%[1]s\"\ntemplate:\n  - id: default\n    storage: \"%[1]s\"\n%[3]s",
			args: []string{"-c", "peer.conf"},
		},
	} {
		t.Run(tt.program, func(t *testing.T) {
			t.Parallel()
			peertest.Need(t, tt.program)
			peer := freeaddr.Take(1)[0]
			j := newJourney(t, "secondaries.md", dnsd.Transfer{
				To:   []dnsd.Secondary{{Addr: peer.String(), Key: "xfr."}},
				Keys: []dnsd.TSIG{{Name: "xfr.", Algorithm: "hmac-sha256.", Secret: secret}},
			})
			primary := netip.MustParseAddrPort(j.env.DNSAddr())
			part := strings.NewReplacer(
				"XFR_KEY", secret, "10.0.0.53@5300", fmt.Sprintf("%v@%d", primary.Addr(), primary.Port()),
				"port 5300", fmt.Sprintf("port %d", primary.Port()), "10.0.0.53", primary.Addr().String(),
			).Replace(document.Block(t, "secondary."+tt.program))
			// Not t.TempDir: its names are too long for the control sockets' paths.
			dir, err := os.MkdirTemp("", "peer")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			write(t, dir, "peer.conf", fmt.Sprintf(tt.config, dir, peer.Port(), part))
			peertest.Start(t, dir, tt.program, tt.args...)

			j.program, j.at, j.keeps = peer.String(), "10.0.0.54", true
			j.travel()
		})
	}
}
