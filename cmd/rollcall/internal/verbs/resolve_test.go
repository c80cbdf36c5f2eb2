package verbs

import (
	"testing"

	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/cli"
	"github.com/rollcall-dns/rollcall/cmd/rollcall/internal/view"
)

// Whoever names no server asks those of the system, which do not know dnsd by themselves.
func TestTheServersOfTheSystemAreNamed(t *testing.T) {
	none := view.Compare([]view.Answer{{Server: "s", Rcode: "NXDOMAIN"}})
	silent := view.Compare([]view.Answer{{Server: "s", Error: "refused"}})
	known := view.Compare([]view.Answer{{Server: "s", Rcode: "NOERROR", Instances: []view.Instance{{Target: "a.svc.", Port: 1, Addrs: []string{"10.0.0.7"}}}}})
	const hint = "/etc/resolv.conf names the servers that were asked: to ask dnsd itself, give -server, such as 127.0.0.1:5300, or set ROLLCALL_DNS"
	for _, tc := range []struct {
		cmp    view.Comparison
		from   string
		status int
		want   string
	}{
		{none, view.VarDNS, cli.NotFound, "no server knows _a._tcp.svc: is it registered, and is the zone right?"},
		{none, view.SystemFile, cli.NotFound, "no server knows _a._tcp.svc: is it registered, and is the zone right? " + hint},
		{silent, "-server", cli.Failed, "s does not answer: refused"},
		{silent, view.SystemFile, cli.Failed, "s does not answer: refused; " + hint},
	} {
		err := verdict(tc.cmp, "_a._tcp.svc", tc.from)
		if cli.Status(err) != tc.status || err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, status %d, want %q", tc.from, err, cli.Status(err), tc.want)
		}
	}
	if err := verdict(known, "_a._tcp.svc", view.SystemFile); err != nil {
		t.Error(err)
	}
}
