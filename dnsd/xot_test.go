package dnsd

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// xotConf is a BIND that follows svc. over TLS. Verbs: directory, own port, the
// primary's TLS port.
const xotConf = `
options {
	directory "%[1]s";
	pid-file "%[1]s/named.pid";
	session-keyfile "%[1]s/session.key";
	listen-on port %[2]d { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	notify no;
	dnssec-validation no;
	max-records-per-type 0;
};
controls { };
tls strangers { };
zone "svc" {
	type secondary;
	file "svc.db";
	primaries port %[3]d { 127.0.0.1 tls strangers; };
};
`

// TestBINDFollowsTheZoneOverTLS: BIND transfers over no connection without the ALPN token
// "dot" (RFC 9103 section 7.1).
func TestBINDFollowsTheZoneOverTLS(t *testing.T) {
	if !peertest.Mandatory() {
		t.Skip("runs BIND: set ROLLCALL_PEERS=1")
	}
	named := peertest.Need(t, "named")
	dir, err := os.MkdirTemp("", "xot") // t.TempDir's names are too long for named's sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, cert, key)
	z := free(Zone{Transfer: Transfer{To: []Secondary{{Addr: "127.0.0.0/8"}}}})
	z.DNS.TLS, z.DNS.TLSPort = TLS{Cert: cert, Key: key}, -1
	s := run(t, Config{Zones: []Zone{z}})
	if status, answer := request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/a1", `{"host":"10.0.0.7","port":8080,"lease":"10m"}`); status != 201 {
		t.Fatalf("%d %v", status, answer)
	}
	own := freeaddr.Take(1)[0]
	conf := filepath.Join(dir, "named.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, xotConf, dir, own.Port(), s.TLSAddrs()[0].Port()), 0o600); err != nil {
		t.Fatal(err)
	}
	peertest.Start(t, dir, named, "-g", "-n", "1", "-c", conf)
	c := dns.Client{Timeout: time.Second}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for {
		r, _, err := c.Exchange(new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV), own.String())
		if err == nil && len(r.Answer) == 1 {
			return
		}
		select {
		case <-look.C:
		case <-end.C:
			t.Fatalf("BIND does not serve the zone: %v, %v", r, err)
		}
	}
}
