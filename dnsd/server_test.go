package dnsd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// free is a zone on free ports.
func free(z Zone) Zone {
	z.Bind, z.Hook.Addr = []string{"127.0.0.1:0"}, "127.0.0.1:0"
	return z
}

// run starts a server that ends with the test.
func run(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// request makes one request to a hook.
func request(t *testing.T, method, url, body string) (status int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatalf("%s %s: %s: %v", method, url, resp.Status, err)
		}
	}
	return resp.StatusCode, answer
}

// ask sends one query to the server at addr.
func ask(t *testing.T, addr fmt.Stringer, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	r, err := exchange(m, addr.String())
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
	}
	return r
}

func TestRegistrationIsResolvableWhenPutIsAnswered(t *testing.T) {
	s := run(t, Config{Zones: []Zone{free(Zone{})}})
	for i := range 50 {
		url := fmt.Sprintf("%s/v1/services/_math._tcp/instances/a%d", s.HookURL(), i)
		if status, answer := request(t, "PUT", url, `{"port":8080}`); status != 201 {
			t.Fatalf("PUT: %d %v", status, answer)
		}
		if r := ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != i+1 && !r.Truncated {
			t.Fatalf("after %d registrations: %d answers", i+1, len(r.Answer))
		}
		if r := ask(t, s.DNSAddr(), fmt.Sprintf("a%d.math.tcp.svc.", i), dns.TypeA); len(r.Answer) != 1 {
			t.Fatalf("address of a%d: %v", i, r)
		}
	}
}

func TestRegistrationsOutliveARestartInABoltStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svc.db")
	cfg := Config{Zones: []Zone{free(Zone{Store: Store{Kind: "bolt", Path: path}})}}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/a1", `{"port":8080}`)
	serial := ask(t, s.DNSAddr(), "svc.", dns.TypeSOA).Answer[0].(*dns.SOA).Serial
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	s = run(t, cfg)
	if r := ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != 1 {
		t.Errorf("after the restart: %v", r)
	}
	if again := ask(t, s.DNSAddr(), "svc.", dns.TypeSOA).Answer[0].(*dns.SOA).Serial; int32(again-serial) < 0 {
		t.Errorf("serial went back from %d to %d", serial, again)
	}
}

func TestReloadKeepsSocketsAndRegistrations(t *testing.T) {
	s := run(t, Config{Zones: []Zone{free(Zone{})}})
	dnsAddr, hook := s.DNSAddr(), s.HookURL()
	request(t, "PUT", hook+"/v1/services/_math._tcp/instances/a1", `{"port":8080}`)

	second := free(Zone{Origins: []string{"other."}})
	first := free(Zone{Origins: []string{"svc.", "svc.example."}, Apex: Apex{Hostmaster: "admin.example."}, Lease: Lease{Default: 20 * time.Second}})
	if err := s.Reload(Config{Zones: []Zone{first, second}}); err != nil {
		t.Fatal(err)
	}
	if s.DNSAddr() != dnsAddr || s.HookURL() != hook {
		t.Errorf("sockets moved: %v %s", s.DNSAddr(), s.HookURL())
	}
	for _, name := range []string{"_math._tcp.svc.", "_math._tcp.svc.example."} {
		if r := ask(t, dnsAddr, name, dns.TypeSRV); len(r.Answer) != 1 {
			t.Errorf("%s: %v", name, r)
		}
	}
	if soa := ask(t, dnsAddr, "svc.", dns.TypeSOA).Answer[0].(*dns.SOA); soa.Mbox != "admin.example." {
		t.Errorf("SOA after the reload: %v", soa)
	}
	if _, a2 := request(t, "PUT", hook+"/v1/services/_math._tcp/instances/a2", `{"port":8080}`); a2["lease"] != "20s" {
		t.Errorf("lease after the reload: %v", a2)
	}
	request(t, "DELETE", hook+"/v1/services/_math._tcp/instances/a2", "")
	request(t, "PUT", s.blocks[1].hook.part.URL()+"/v1/services/_math._tcp/instances/b1", `{"port":8081}`)
	if r := ask(t, dnsAddr, "_math._tcp.other.", dns.TypeSRV); len(r.Answer) != 1 {
		t.Errorf("second block: %v", r)
	}

	// A reload without the second block closes it.
	if err := s.Reload(Config{Zones: []Zone{first}}); err != nil {
		t.Fatal(err)
	}
	if r := ask(t, dnsAddr, "_math._tcp.other.", dns.TypeSRV); r.Rcode != dns.RcodeRefused {
		t.Errorf("closed block: %v", r)
	}
	if r := ask(t, dnsAddr, "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != 1 {
		t.Errorf("first block after the second was closed: %v", r)
	}
}

func TestReloadWithOtherNameServersIsTransferredWhole(t *testing.T) {
	z := free(Zone{Transfer: Transfer{To: []Secondary{{Addr: "127.0.0.0/8"}}}})
	s := run(t, Config{Zones: []Zone{z}})
	put := func(id string) {
		request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/"+id, `{"port":8080}`)
	}
	serial := func() uint32 { return ask(t, s.DNSAddr(), "svc.", dns.TypeSOA).Answer[0].(*dns.SOA).Serial }
	// ixfr is a transfer to a secondary that has the zone at a serial; whole: it is no
	// difference.
	ixfr := func(since uint32) (whole bool, records []dns.RR) {
		t.Helper()
		m := new(dns.Msg).SetIxfr("svc.", since, "ns.svc.", "hostmaster.svc.")
		envelopes, err := new(dns.Transfer).In(m, s.DNSAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		for e := range envelopes {
			if e.Error != nil {
				t.Fatal(e.Error)
			}
			records = append(records, e.RR...)
		}
		return len(records) > 1 && records[1].Header().Rrtype != dns.TypeSOA, records
	}
	put("a1")
	before := serial()
	put("a2")
	loaded := serial()
	if whole, rrs := ixfr(before); whole {
		t.Fatalf("the journal does not work: %v", rrs)
	}

	z.Apex.NS = []NameServer{{Name: "other.example."}}
	if err := s.Reload(Config{Zones: []Zone{z}}); err != nil {
		t.Fatal(err)
	}
	if now := serial(); int32(now-loaded) <= 0 {
		t.Errorf("serial %d with the new name server, %d was given out with the old one", now, loaded)
	}
	for _, since := range []uint32{before, loaded} {
		whole, rrs := ixfr(since)
		if !whole || !slices.ContainsFunc(rrs, func(rr dns.RR) bool {
			ns, ok := rr.(*dns.NS)
			return ok && ns.Ns == "other.example."
		}) {
			t.Errorf("a secondary at %d never sees the new name server: %v", since, rrs)
		}
	}
	put("a3")
	renewed := serial()
	put("a4")
	if whole, rrs := ixfr(renewed); whole {
		t.Errorf("the journal does not begin again: %v", rrs)
	}
}

func TestReloadHandsOnTheHookWhateverItsRegistry(t *testing.T) {
	z := free(Zone{})
	s := run(t, Config{Zones: []Zone{z}})
	hook := s.HookURL()
	z.Store = Store{Kind: "bolt", Path: filepath.Join(t.TempDir(), "svc.db")}
	for _, origins := range [][]string{{"svc."}, {"svc2."}, {"front.", "svc2."}} {
		z.Origins = origins
		if err := s.Reload(Config{Zones: []Zone{z}}); err != nil {
			t.Fatal(err)
		}
		if s.HookURL() != hook {
			t.Errorf("the hook moved to %s", s.HookURL())
		}
		if status, answer := request(t, "PUT", hook+"/v1/services/_math._tcp/instances/a1", `{"port":8080}`); status/100 != 2 {
			t.Errorf("zone %v: %d %v", origins, status, answer)
		}
		if r := ask(t, s.DNSAddr(), "_math._tcp."+origins[0], dns.TypeSRV); len(r.Answer) != 1 {
			t.Errorf("zone %v: %v", origins, r)
		}
	}
}

func TestReloadThatFailsChangesNothing(t *testing.T) {
	s := run(t, Config{Zones: []Zone{free(Zone{})}})
	request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/a1", `{"port":8080}`)
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(foreign, []byte("not a store of ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"too short":     {Zones: []Zone{free(Zone{Lease: Lease{Default: 2 * time.Second, Min: time.Second}})}},
		"bad value":     {Zones: []Zone{free(Zone{TTL: 1})}},
		"taken address": {Zones: []Zone{free(Zone{}), {Origins: []string{"b."}, Bind: []string{"127.0.0.1:0"}, Hook: Hook{Addr: s.HookURL()[len("http://"):]}}}},
		"foreign store": {Zones: []Zone{free(Zone{}), free(Zone{Origins: []string{"b."}, Store: Store{Kind: "bolt", Path: foreign}})}},
		"no such key":   {Zones: []Zone{free(Zone{Hook: Hook{TLS: TLS{Cert: "nosuch.pem", Key: "nosuch.pem"}}})}},
	} {
		before := openFiles(t)
		if err := s.Reload(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
		if after := openFiles(t); after > before {
			t.Errorf("%s: %d descriptors before, %d after", name, before, after)
		}
		if r := ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV); len(r.Answer) != 1 {
			t.Errorf("%s: %v", name, r)
		}
		if status, _ := request(t, "GET", s.HookURL()+"/v1/services/_math._tcp", ""); status != 200 {
			t.Errorf("%s: hook answers %d", name, status)
		}
	}
}

func TestManyReloadsLeakNoDescriptor(t *testing.T) {
	store := Store{Kind: "bolt", Path: filepath.Join(t.TempDir(), "svc.db")}
	s := run(t, Config{Zones: []Zone{free(Zone{Store: store})}})
	var before int
	for i := range 40 {
		z := free(Zone{Store: store, Apex: Apex{Hostmaster: fmt.Sprintf("h%d.svc.", i)}})
		zones := []Zone{z}
		if i%2 == 1 {
			zones = append(zones, free(Zone{Origins: []string{"b."}}))
		}
		if err := s.Reload(Config{Zones: zones}); err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			before = openFiles(t)
		}
		if i > 10 && i%2 == 0 && openFiles(t) > before {
			t.Fatalf("reload %d: %d descriptors, %d before", i, openFiles(t), before)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("counting descriptors needs /proc")
	}
	return len(files)
}

func TestTakenPortIsOneClearError(t *testing.T) {
	s := run(t, Config{Zones: []Zone{free(Zone{})}})
	z := free(Zone{})
	z.Bind = []string{s.DNSAddr().String()}
	if _, err := New(Config{Zones: []Zone{z}}); err == nil || !strings.Contains(err.Error(), s.DNSAddr().String()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("DNS port taken: %v", err)
	}
	z = free(Zone{})
	z.Hook.Addr = s.HookURL()[len("http://"):]
	if _, err := New(Config{Zones: []Zone{z}}); err == nil || !strings.Contains(err.Error(), z.Hook.Addr) || strings.Contains(err.Error(), "\n") {
		t.Errorf("hook port taken: %v", err)
	}
}

func TestDNSOverTLSComesAndGoesByReload(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	selfSigned(t, cert, key)
	plain := free(Zone{})
	s := run(t, Config{Zones: []Zone{plain}})
	withTLS := plain
	withTLS.DNS.TLS, withTLS.DNS.TLSPort = TLS{Cert: cert, Key: key}, -1
	if err := s.Reload(Config{Zones: []Zone{withTLS}}); err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != "dot" {
		t.Errorf("ALPN chose %q, want dot: RFC 9103 section 7.1", got)
	}
	conn.Close()
	c := dns.Client{Net: "tcp-tls", TLSConfig: &tls.Config{InsecureSkipVerify: true}} // and one without ALPN
	m := new(dns.Msg)
	m.SetQuestion("svc.", dns.TypeSOA)
	r, _, err := c.Exchange(m, s.TLSAddrs()[0].String())
	if err != nil || len(r.Answer) != 1 {
		t.Errorf("over TLS: %v, %v", r, err)
	}
	if err := s.Reload(Config{Zones: []Zone{plain}}); err != nil {
		t.Fatal(err)
	}
	if got := s.TLSAddrs(); len(got) != 0 {
		t.Errorf("after tls was taken out: %v", got)
	}
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReverseZonesLeadBack(t *testing.T) {
	z := free(Zone{Reverse: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/16")}})
	s := run(t, Config{Zones: []Zone{z}})
	request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/a1", `{"port":1,"host":"10.0.0.7"}`)
	request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/a2", `{"port":1,"host":"fd00::7"}`)
	for addr, want := range map[string]string{"10.0.0.7": "a1.math.tcp.svc.", "fd00::7": "a2.math.tcp.svc."} {
		name, err := dns.ReverseAddr(addr)
		if err != nil {
			t.Fatal(err)
		}
		r := ask(t, s.DNSAddr(), name, dns.TypePTR)
		if len(r.Answer) != 1 || r.Answer[0].(*dns.PTR).Ptr != want {
			t.Errorf("%s: %v", addr, r)
		}
	}
	if r := ask(t, s.DNSAddr(), "10.in-addr.arpa.", dns.TypeSOA); len(r.Answer) != 1 {
		t.Errorf("apex of a reverse zone: %v", r)
	}
}
