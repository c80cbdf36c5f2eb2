package nameserver

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// nodeScript asks for an SRV set of each service named and prints how many
// records it got.
const nodeScript = `
const {Resolver} = require('dns').promises;
(async () => {
	for (const service of process.argv.slice(2)) {
		const r = new Resolver({timeout: 10000, tries: 2});
		r.setServers([process.argv[1]]);
		try {
			console.log(service, (await r.resolveSrv(service)).length);
		} catch (e) {
			console.log(service, e.code);
		}
	}
})();
`

// TestNodeReadsSetsOfEverySize: c-ares encodes an answer again, and fails with EFORMERR
// if that is too long. Node is not among the mandatory peers.
func TestNodeReadsSetsOfEverySize(t *testing.T) {
	node, err := peertest.Find("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	sizes := []int{1, 10, 30, 300, 600, 900, 950, 1000, 1100, 1200, 1400, 1600, 1670, 2000}
	var zones []Zone
	args := []string{"-e", nodeScript}
	var names []string
	for _, n := range sizes {
		origin := fmt.Sprintf("n%d.", n)
		ins := instances("_math._tcp", n)
		if n%100 == 0 {
			for _, in := range ins {
				in.ID = "web-7f9c6d5b4-" + in.ID
			}
		}
		zones = append(zones, Zone{Zone: namedZone(t, origin, ins...)})
		names = append(names, "_math._tcp."+strings.TrimSuffix(origin, "."))
	}
	s := start(t, Config{Zones: zones})
	args = append(append(args, s.Addrs()[0].String()), names...)
	out, err := exec.CommandContext(t.Context(), node, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(sizes) {
		t.Fatalf("node printed %s", out)
	}
	for i, line := range lines {
		var name string
		var got int
		if _, err := fmt.Sscan(line, &name, &got); err != nil || got != sizes[i] && got < 1000 {
			t.Errorf("%d instances: %s", sizes[i], line)
		}
	}
}
