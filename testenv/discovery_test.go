package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollcall-dns/rollcall/dnsd"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
	"github.com/rollcall-dns/rollcall/resolver"
)

// TestAServerOfPushIsFoundBehindARecursor: the clients ask unbound, which does not know DNS
// Stateful Operations, and remembers answers for five minutes. They find dnsd by the name that
// `push` publishes, and see each change at once, over TLS. A client that does not trust the
// certificate goes on by TTL.
func TestAServerOfPushIsFoundBehindARecursor(t *testing.T) {
	peertest.Need(t, "unbound")
	const host = "push.example" // unbound has its addresses: one of each family, and dnsd listens at one
	z := dnsd.Zone{}
	z.DNS.TLS.Cert, z.DNS.TLS.Key = certificate(t, host)
	addrs := freeaddr.Take(2)
	z.DNS.TLSPort, z.DNS.Push.Name = int(addrs[0].Port()), host+"."
	env := New(t, Setup{Nodes: -1, Zone: z})
	dir, dns := t.TempDir(), netip.MustParseAddrPort(env.DNSAddr())
	conf := fmt.Appendf(nil, `server:
  directory: "%s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1
  port: %d
  do-not-query-localhost: no
  outgoing-port-avoid: 1024-32767
  root-hints: ""
  domain-insecure: "svc."
  local-zone: "svc." nodefault
  local-zone: "push.example." static
  local-data: "push.example. 60 IN A 127.0.0.1"
  local-data: "push.example. 60 IN AAAA ::1"
stub-zone:
  name: "svc."
  stub-addr: %v@%d
  stub-prime: no
remote-control:
  control-enable: no
`, dir, addrs[1].Port(), dns.Addr(), dns.Port())
	if err := os.WriteFile(filepath.Join(dir, "unbound.conf"), conf, 0o600); err != nil {
		t.Fatal(err)
	}
	peertest.Start(t, dir, "unbound", "-d", "-c", "unbound.conf")
	pem, err := os.ReadFile(z.DNS.TLS.Cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	g := &registrations{env, map[string]string{}}
	g.change(0, 8000)
	recursor := addrs[1].String()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})) // is seen if the test fails
	r := &resolver.Resolver{Servers: []string{recursor}, PushTLS: &tls.Config{RootCAs: roots}, Logger: log}
	wary := &resolver.Resolver{Servers: []string{recursor}}
	f, by := follow(t, r, env.Name()), follow(t, wary, env.Name())
	f.await(g.want())
	by.await(g.want())
	awaitPush(t, r, env.Name())
	if got := r.Freshness(env.Name()).Server; !strings.HasSuffix(got, fmt.Sprint(":", addrs[0].Port())) {
		t.Errorf("the client follows at %s, not at the port of TLS", got)
	}
	for i, port := range []uint16{8001, 8002, 0} {
		g.change(1, port)
		f.await(g.want()) // the TTL is five minutes, and the test waits for less
		if got := r.Freshness(env.Name()); got.By != "push" {
			t.Errorf("change %d: %+v", i, got)
		}
	}
	if got := wary.Freshness(env.Name()); got.By != "ttl" || by.last == "" {
		t.Errorf("without the certificate: %+v", got)
	}
}
