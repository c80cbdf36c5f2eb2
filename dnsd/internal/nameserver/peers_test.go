package nameserver

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
	"github.com/rollcall-dns/rollcall/internal/peertest"
)

// A peer is another program's name server that follows the zone svc. as a secondary.
type peer struct {
	name string
	addr netip.AddrPort
}

// peerKind says how to run one. The verbs of its configuration: 1 the directory, 2 the
// peer's port, 3 the primary's port, 4 the TSIG secret.
type peerKind struct {
	name, program string
	args          []string // after them: the configuration file
	config        string
}

var peerKinds = []peerKind{
	{"NSD", "nsd", []string{"-d", "-c"}, `
server:
	ip-address: 127.0.0.1@%[2]d
	server-count: 1
	username: ""
	chroot: ""
	zonesdir: "%[1]s"
	database: ""
	pidfile: "%[1]s/nsd.pid"
	xfrdfile: "%[1]s/xfrd.state"
	xfrdir: "%[1]s"
	zonelistfile: "%[1]s/zone.list"
	refuse-any: no
	rrl-ratelimit: 0
	verbosity: 1
remote-control:
	control-enable: no
key:
	name: "xfr."
	algorithm: hmac-sha256
	secret: "%[4]s"
zone:
	name: "svc."
	zonefile: "svc.zone"
	allow-notify: 127.0.0.1 xfr.
	request-xfr: 127.0.0.1@%[3]d xfr.
	provide-xfr: 127.0.0.1 NOKEY
`},
	{"Knot", "knotd", []string{"-c"}, `
server:
    listen: 127.0.0.1@%[2]d
    rundir: "%[1]s"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "%[1]s"
key:
  - id: xfr.
    algorithm: hmac-sha256
    secret: "%[4]s"
remote:
  - id: primary
    address: 127.0.0.1@%[3]d
    key: xfr.
acl:
  - id: notify
    address: 127.0.0.1
    key: xfr.
    action: notify
  - id: transfer
    address: 127.0.0.1
    action: transfer
zone:
  - domain: svc.
    storage: "%[1]s"
    master: primary
    acl: [notify, transfer]
    semantic-checks: on
`},
	{"BIND", "named", []string{"-g", "-n", "1", "-c"}, `
options {
	directory "%[1]s";
	pid-file "%[1]s/named.pid";
	session-keyfile "%[1]s/session.key";
	listen-on port %[2]d { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	allow-transfer { 127.0.0.1; };
	notify no;
	dnssec-validation no;
	max-records-per-type 0;
	max-types-per-name 0;
	serial-query-rate 100;
	zero-no-soa-ttl no;
};
controls { };
key "xfr." { algorithm hmac-sha256; secret "%[4]s"; };
zone "svc" {
	type secondary;
	file "svc.db";
	masterfile-format text;
	primaries port %[3]d { 127.0.0.1 key "xfr."; };
	allow-notify { key "xfr."; };
};
`},
}

// needPeers skips a test that runs other programs' servers, unless they are mandatory.
func needPeers(t testing.TB) {
	t.Helper()
	if !peertest.Mandatory() {
		t.Skip("runs NSD, Knot and BIND: set ROLLCALL_PEERS=1")
	}
}

// peerAddrs chooses the addresses of the peers, because the primary must know where to
// send NOTIFY.
func peerAddrs(t testing.TB) ([]netip.AddrPort, []Secondary) {
	t.Helper()
	addrs := freeaddr.Take(len(peerKinds))
	var to []Secondary
	for i, k := range peerKinds {
		peertest.Need(t, k.program)
		to = append(to, Secondary{Prefix: loopback, Key: "xfr.", Notify: addrs[i]})
	}
	return addrs, to
}

// startPeers runs all kinds of peers at the addresses chosen before.
func startPeers(t testing.TB, primary netip.AddrPort, addrs []netip.AddrPort) []peer {
	t.Helper()
	var out []peer
	for i, k := range peerKinds {
		p := peer{k.name, addrs[i]}
		runPeer(t, k, primary, p)
		out = append(out, p)
	}
	return out
}

// runPeer starts one in a directory of the test, and ends it with the test.
func runPeer(t testing.TB, k peerKind, primary netip.AddrPort, p peer) {
	t.Helper()
	// Not t.TempDir: its long names do not fit into the control sockets' paths.
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "peer.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, k.config, dir, p.addr.Port(), primary.Port(), testSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	peertest.Start(t, dir, k.program, append(slices.Clone(k.args), conf)...)
}

// serial asks a peer for its version of the zone.
func (p peer) serial() (uint32, bool) {
	c := dns.Client{Timeout: time.Second}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion("svc.", dns.TypeSOA), p.addr.String())
	if err != nil || len(r.Answer) != 1 {
		return 0, false
	}
	soa, ok := r.Answer[0].(*dns.SOA)
	return soa.Serial, ok
}

// waitSerial waits until the peer holds a version.
func (p peer) waitSerial(t testing.TB, want uint32) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s to hold serial %d", p.name, want), func() bool {
		got, ok := p.serial()
		return ok && got == want
	})
}

// contents are the records that the peer holds of the zone with that serial. NSD
// answers from several processes: while one has the new zone already, another may
// still give away the old one, or end in the middle of it.
func (p peer) contents(t testing.TB, serial uint32) (held []string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s to give away serial %d", p.name, serial), func() bool {
		messages, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("svc."), p.addr.String())
		if err != nil {
			return false
		}
		var rrs []dns.RR
		for m := range messages {
			if err = cmp.Or(err, m.Error); err == nil {
				rrs = append(rrs, m.RR...)
			}
		}
		if err != nil || rrs[0].(*dns.SOA).Serial != serial {
			return false
		}
		held = text(t, rrs)
		return true
	})
	return held
}

// exchange asks over UDP or TCP, with no change to the query.
func (p peer) exchange(m *dns.Msg, network string) (*dns.Msg, error) {
	conn, err := net.Dial(network, p.addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c := &dns.Conn{Conn: conn, UDPSize: 65535}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := c.WriteMsg(m); err != nil {
		return nil, err
	}
	return c.ReadMsg()
}
