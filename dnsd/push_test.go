package dnsd

import (
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/internal/dso"
	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// runTLS runs a server of one zone, with DNS over TLS.
func runTLS(t *testing.T) *Server {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "dns.pem"), filepath.Join(dir, "dns.key")
	selfSigned(t, cert, key)
	z := oneOf("a")
	z.Store = Store{Kind: "memory"}
	z.DNS.TLS, z.DNS.TLSPort = TLS{Cert: cert, Key: key}, -1
	return run(t, Config{Zones: []Zone{z}})
}

// TestReconfirmProbesTheInstance: one that refuses connections goes at once, although it
// has renewed; one that accepts them stays.
func TestReconfirmProbesTheInstance(t *testing.T) {
	s := runTLS(t)

	alive, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	reg := s.blocks[0].reg.part
	for id, port := range map[string]uint16{"alive": uint16(alive.Addr().(*net.TCPAddr).Port), "gone": freeaddr.Take(1)[0].Port()} {
		if _, err := reg.Register(t.Context(), registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: id}, Host: "127.0.0.1", Port: port}); err != nil {
			t.Fatal(err)
		}
	}
	origin := s.blocks[0].zones[0].zone.Origin()
	c, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := dso.AppendKeepAlive(nil, 3, dso.KeepAlive{})
	for _, id := range []string{"alive", "gone"} {
		if b, err = dso.AppendReconfirm(b, &dns.A{
			Hdr: dns.RR_Header{Name: id + ".math.tcp." + origin, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, ok := reg.Instance(registry.Key{Service: "_math._tcp", ID: "gone"}); ok {
			return "the instance that refuses is still registered"
		}
		return ""
	})
	if _, ok := reg.Instance(registry.Key{Service: "_math._tcp", ID: "alive"}); !ok {
		t.Error("the instance that accepts connections is gone")
	}
}

// TestSessionsAreListedByTheHook: those that follow its zone, of all its addresses.
func TestSessionsAreListedByTheHook(t *testing.T) {
	s := runTLS(t)
	origin := s.blocks[0].zones[0].zone.Origin()
	c, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := dso.AppendFollow(nil, 1, "_math._tcp."+origin)
	if err == nil {
		_, err = c.Write(b)
	}
	if err == nil {
		_, err = c.Read(make([]byte, 512)) // the answer
	}
	if err != nil {
		t.Fatal(err)
	}
	status, got := request(t, "GET", s.HookURL()+"/v1/push", "")
	list, _ := got["sessions"].([]any)
	if status != 200 || got["total"] != 1.0 || len(list) != 1 {
		t.Fatalf("%d %v", status, got)
	}
	one := list[0].(map[string]any)
	since, err := time.Parse(time.RFC3339, one["since"].(string))
	if one["listener"] != (*s.blocks[0].dns.Load())[1].addr || one["address"] != "127.0.0.1" || one["tls"] != true || one["subscriptions"] != 1.0 || err != nil || time.Since(since) > time.Minute {
		t.Errorf("%v, %v", one, err)
	}
}

// TestWhichInstancesARecordLeadsTo, by the names that package zone makes.
func TestWhichInstancesARecordLeadsTo(t *testing.T) {
	in := &registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a1"}, Host: "10.0.0.7", Port: 80}
	named := &registry.Instance{Key: registry.Key{Service: "_math._tcp", ID: "a2"}, Host: "web.example.", Port: 80}
	cases := []struct {
		record       string
		leads, named bool
	}{
		{"_math._tcp.svc. SRV 0 0 80 a1.math.tcp.svc.", true, false},
		{"_math._tcp.svc. SRV 0 0 81 a1.math.tcp.svc.", false, false},
		{"_math._tcp.svc. SRV 0 0 80 WEB.example.", false, true},
		{"_math._tcp.svc. PTR a2._math._tcp.svc.", false, true},
		{"a1._math._tcp.svc. SRV 0 0 80 a1.math.tcp.svc.", true, false},
		{"a2._math._tcp.svc. TXT x", false, true},
		{"a1.math.tcp.svc. A 10.0.0.7", true, false},
		{"math.tcp.svc. A 10.0.0.7", true, false},
		{"math.tcp.svc. A 10.0.0.8", false, false},
		{"math.tcp.svc. AAAA ::1", false, false},
	}
	for _, tc := range cases {
		rr, err := dns.NewRR(tc.record)
		if err != nil {
			t.Fatal(err)
		}
		if got := leadsTo(rr, in, "svc."); got != tc.leads {
			t.Errorf("%s: %t for the instance with an address", tc.record, got)
		}
		if got := leadsTo(rr, named, "svc."); got != tc.named {
			t.Errorf("%s: %t for the instance with a name", tc.record, got)
		}
	}
}

// TestAnInstanceIsNotProbedAllTheTime, whatever clients say.
func TestAnInstanceIsNotProbedAllTheTime(t *testing.T) {
	var d doubts
	key, now := registry.Key{Service: "_a._tcp", ID: "1"}, time.Now()
	for i, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second, false}, {doubtEvery - time.Second, true}, {doubtEvery - 1, false}, {1, true}} {
		now = now.Add(step.after)
		if got := d.first(key, now); got != step.want {
			t.Errorf("step %d: %t", i, got)
		}
		if len(d.known) > 1 {
			t.Errorf("it remembers %d", len(d.known))
		}
	}
}

// TestPushOffInACorefile: each listener of the block says NOTIMP.
func TestPushOffInACorefile(t *testing.T) {
	c, err := ParseCorefile("Corefile", []byte("svc {\npush off\n}\n"))
	if err != nil || !c.Zones[0].DNS.Push.Off {
		t.Errorf("%+v, %v", c.Zones, err)
	}
	if got := c.Zones[0].DNS.forServer(); !got.Push.Off {
		t.Errorf("the name server is told %+v", got.Push)
	}
}
