package dnsd

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// freePort is a port that is free for UDP and TCP, also after the test has closed it, and that
// no test of another package tries.
func freePort() string { return strconv.Itoa(int(freeaddr.Take(1)[0].Port())) }

// TestReloadFromAnAddressToTheWildcard: and back, on the same ports, for DNS and for
// the hook; and when the reload fails, the address is served as before.
func TestReloadFromAnAddressToTheWildcard(t *testing.T) {
	dnsPort, hookPort := freePort(), freePort()
	on := func(host string) Zone {
		return Zone{Bind: []string{net.JoinHostPort(host, dnsPort)}, Hook: Hook{Addr: net.JoinHostPort(host, hookPort), Insecure: true}, Lease: Lease{Default: time.Hour}}
	}
	s := run(t, Config{Zones: []Zone{on("127.0.0.1")}})
	url := "http://127.0.0.1:" + hookPort + "/v1/services/_math._tcp/instances/a1"
	request(t, "PUT", url, `{"port":8080}`)
	serves := func(when string) {
		t.Helper()
		m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
		for _, network := range []string{"udp", "tcp"} {
			c := &dns.Client{Net: network, Timeout: 10 * time.Second}
			if r, _, err := c.Exchange(m.Copy(), "127.0.0.1:"+dnsPort); err != nil || len(r.Answer) != 1 {
				t.Fatalf("%s, over %s: %v %v", when, network, r, err)
			}
		}
		if status, _ := request(t, "GET", url, ""); status != http.StatusOK {
			t.Fatalf("%s: the hook answers %d", when, status)
		}
	}
	serves("at first")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	fails := Zone{Origins: []string{"other."}, Bind: []string{taken.Addr().String()}, Hook: Hook{Addr: "127.0.0.1:0"}}
	for _, host := range []string{"0.0.0.0", "127.0.0.1"} {
		if err := s.Reload(Config{Zones: []Zone{on(host), fails}}); err == nil {
			t.Fatal("a taken address is no error")
		}
		serves("after a reload to " + host + " that failed")
		if err := s.Reload(Config{Zones: []Zone{on(host)}}); err != nil {
			t.Fatalf("to %s: %v", host, err)
		}
		serves("after a reload to " + host)
	}
}

// TestReloadThatLosesAnAddressEndsTheServer: another process takes the address while a
// plan makes room. A server that went on without it would look sound.
func TestReloadThatLosesAnAddressEndsTheServer(t *testing.T) {
	for _, part := range []string{"bind", "hook"} {
		t.Run(part, func(t *testing.T) {
			dnsPort, hookPort := freePort(), freePort()
			s, err := New(Config{Zones: []Zone{{Bind: []string{"127.0.0.1:" + dnsPort}, Hook: Hook{Addr: "127.0.0.1:" + hookPort}}}})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Run(t.Context()) }()
			s.mu.Lock()
			p := &plan{}
			taken := "127.0.0.1:" + dnsPort
			if part == "bind" {
				s.evictDNS(p, "0.0.0.0:"+dnsPort)
			} else {
				taken = "127.0.0.1:" + hookPort
				s.evictHooks(p, "0.0.0.0:"+hookPort)
			}
			ln, err := net.Listen("tcp", taken)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			err = p.abandon()
			s.mu.Unlock()
			for _, err := range []error{err, <-ended} {
				if err == nil || !strings.Contains(err.Error(), "the old address could not be opened again: "+part+": ") || !errors.Is(err, syscall.EADDRINUSE) {
					t.Errorf("%v, want that %s is in use", err, taken)
				}
			}
		})
	}
}

// TestReloadToAnotherStoreKeepsTheRegistrations: no instance has to register again, and the
// serial grows.
func TestReloadToAnotherStoreKeepsTheRegistrations(t *testing.T) {
	z := free(Zone{Lease: Lease{Default: 24 * time.Hour}, TTL: time.Second})
	s := run(t, Config{Zones: []Zone{z}})
	for i := range 10 {
		request(t, "PUT", fmt.Sprintf("%s/v1/services/_math._tcp/instances/a%d", s.HookURL(), i), `{"port":8080}`)
	}
	request(t, "PUT", s.HookURL()+"/v1/services/_math._tcp/instances/a0/drain", "")
	serial := func() uint32 { return ask(t, s.DNSAddr(), "svc.", dns.TypeSOA).Answer[0].(*dns.SOA).Serial }
	dir := t.TempDir()
	for _, store := range []Store{
		{Kind: "bolt", Path: filepath.Join(dir, "one.db")},
		{Kind: "bolt", Path: filepath.Join(dir, "two.db")},
		{Kind: "memory"},
	} {
		before := serial()
		z.Store = store
		if err := s.Reload(Config{Zones: []Zone{z}}); err != nil {
			t.Fatal(err)
		}
		if n := len(ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV).Answer); n != 9 {
			t.Errorf("in %v: %d of 9 instances that are not drained", store, n)
		}
		if _, a0 := request(t, "GET", s.HookURL()+"/v1/services/_math._tcp/instances/a0", ""); a0["state"] != "drained" {
			t.Errorf("in %v: the drained one is %v", store, a0["state"])
		}
		if after := serial(); int32(after-before) <= 0 {
			t.Errorf("in %v: serial %d after %d", store, after, before)
		}
	}
	// More than the next store may have: nothing changes.
	z.Store = Store{Kind: "bolt", Path: filepath.Join(dir, "three.db")}
	z.Limits = Limits{PerService: 5}
	if err := s.Reload(Config{Zones: []Zone{z}}); err == nil || !strings.Contains(err.Error(), "limits: the store before has more than 5 instances of _math._tcp; raise the limit") {
		t.Errorf("into a store with room for 5: %v", err)
	}
	if n := len(ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV).Answer); n != 9 {
		t.Errorf("after a reload that failed: %d instances", n)
	}
	if _, err := os.Stat(z.Store.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a reload that failed left its store: %v", err)
	}
}

// TestReloadBelievesTheRegistrationsOfToday: neither a reload that failed nor the file of
// an earlier life brings back old registrations.
func TestReloadBelievesTheRegistrationsOfToday(t *testing.T) {
	memory := free(Zone{Lease: Lease{Default: time.Hour}})
	bolt := memory
	bolt.Store = Store{Kind: "bolt", Path: filepath.Join(t.TempDir(), "svc.db")}
	s := run(t, Config{Zones: []Zone{memory}})
	put := func(id string, port int) {
		t.Helper()
		request(t, "PUT", fmt.Sprintf("%s/v1/services/_math._tcp/instances/%s", s.HookURL(), id), fmt.Sprintf(`{"port":%d}`, port))
	}
	ports := func() (all []uint16) {
		for _, rr := range ask(t, s.DNSAddr(), "_math._tcp.svc.", dns.TypeSRV).Answer {
			all = append(all, rr.(*dns.SRV).Port)
		}
		slices.Sort(all)
		return all
	}
	put("stays", 1)
	put("changes", 2)
	put("leaves", 3)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	fails := Zone{Origins: []string{"other."}, Bind: []string{taken.Addr().String()}, Hook: Hook{Addr: "127.0.0.1:0"}}
	if err := s.Reload(Config{Zones: []Zone{bolt, fails}}); err == nil {
		t.Fatal("a taken address is no error")
	}
	put("changes", 4)
	request(t, "DELETE", s.HookURL()+"/v1/services/_math._tcp/instances/leaves", "")
	if err := s.Reload(Config{Zones: []Zone{bolt}}); err != nil {
		t.Fatal(err)
	}
	if got := ports(); !slices.Equal(got, []uint16{1, 4}) {
		t.Errorf("after a reload that failed and one that did not: ports %v, want [1 4]", got)
	}
	if err := s.Reload(Config{Zones: []Zone{memory}}); err != nil {
		t.Fatal(err)
	}
	put("changes", 8)
	if err := s.Reload(Config{Zones: []Zone{bolt}}); err != nil {
		t.Fatal(err)
	}
	if got := ports(); !slices.Equal(got, []uint16{1, 8}) {
		t.Errorf("back in the same file: ports %v, want [1 8]", got)
	}
}

// TestHistoryBoundsIncrementalTransfer: it reaches back as many changes as History says.
func TestHistoryBoundsIncrementalTransfer(t *testing.T) {
	z := free(Zone{History: History{Changes: 10}, Transfer: Transfer{To: []Secondary{{Addr: "127.0.0.0/8"}}}})
	s := run(t, Config{Zones: []Zone{z}})
	var serials []uint32
	for i := range 15 {
		request(t, "PUT", fmt.Sprintf("%s/v1/services/_math._tcp/instances/a%d", s.HookURL(), i), `{"port":8080}`)
		serials = append(serials, ask(t, s.DNSAddr(), "svc.", dns.TypeSOA).Answer[0].(*dns.SOA).Serial)
	}
	for back, want := range map[int]bool{1: true, 10: true, 11: false, 14: false} {
		m := new(dns.Msg).SetIxfr("svc.", serials[len(serials)-1-back], "ns.svc.", "hostmaster.svc.")
		envelopes, err := new(dns.Transfer).In(m, s.DNSAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		var records []dns.RR
		for e := range envelopes {
			if e.Error != nil {
				t.Fatal(e.Error)
			}
			records = append(records, e.RR...)
		}
		if incremental := records[1].Header().Rrtype == dns.TypeSOA; incremental != want {
			t.Errorf("%d changes back: incremental is %v, want %v", back, incremental, want)
		}
	}
}
