package integrations

import (
	"strconv"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// coreDNS is the path of the program. Debian does not have it, and to build it takes longer
// than all tests here, so the tests are skipped where it is not in PATH, also with
// ROLLCALL_PEERS=1.
func coreDNS(t *testing.T) string {
	t.Helper()
	program, err := peertest.Find("coredns")
	if err != nil {
		t.Skip("coredns is not in PATH: go install github.com/coredns/coredns@v1.11.3")
	}
	return program
}

func TestCoreDNSFollowsAsForwarder(t *testing.T) {
	t.Parallel()
	program := coreDNS(t)
	j := newJourney(t, "coredns.md")
	addr, dir := freeaddr.Take(1)[0], t.TempDir()
	text := recipe(t, "coredns.md", "coredns-forward", "127.0.0.1:5300", j.env.DNSAddr(), "svc:53", "svc:"+strconv.Itoa(int(addr.Port())))
	write(t, dir, "Corefile", text)
	peertest.Start(t, dir, program)
	j.program = addr.String()
	j.travel()
}

func TestCoreDNSFollowsAsSecondary(t *testing.T) {
	t.Parallel()
	program := coreDNS(t)
	addr := freeaddr.Take(1)[0]
	j := newJourney(t, "coredns.md", dnsd.Transfer{To: []dnsd.Secondary{{Addr: addr.String()}}})
	dir := t.TempDir()
	text := recipe(t, "coredns.md", "coredns-secondary", "10.0.0.53:5300", j.env.DNSAddr(), "svc:53", "svc:"+strconv.Itoa(int(addr.Port())))
	write(t, dir, "Corefile", text)
	peertest.Start(t, dir, program)
	j.program, j.keeps = addr.String(), true
	j.travel()
}
