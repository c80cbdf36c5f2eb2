package nameserver

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// lookupSRV asks with Go's own resolver.
func lookupSRV(t testing.TB, s *Server, name string) []*net.SRV {
	t.Helper()
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.Addrs()[0].String())
	}}
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	_, srvs, err := r.LookupSRV(ctx, "", "", name)
	if err != nil {
		t.Fatalf("LookupSRV: %v", err)
	}
	return srvs
}

// digSRV asks with dig and counts the lines.
func digSRV(t testing.TB, s *Server, name string) int {
	t.Helper()
	out := dig(t, s, "+short", name, "SRV")
	if strings.Contains(out, ";;") {
		t.Fatalf("dig complains: %s", out)
	}
	return strings.Count(out, "\n")
}

// dig asks with dig and returns what it prints.
func dig(t testing.TB, s *Server, args ...string) string {
	t.Helper()
	addr := s.Addrs()[0]
	out, err := exec.Command(peertest.Need(t, "dig"), append([]string{"@" + addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port()))}, args...)...).Output()
	if err != nil {
		t.Fatalf("dig %v: %v", args, err)
	}
	return string(out)
}
