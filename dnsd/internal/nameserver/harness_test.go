package nameserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// instance makes instance n of a service; its address comes from n.
func instance(service string, n int) *registry.Instance {
	return &registry.Instance{
		Key:  registry.Key{Service: service, ID: fmt.Sprintf("i%d", n)},
		Host: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String(),
		Port: uint16(8000 + n%1000), Priority: 10, Weight: uint16(1 + n%100),
		TTL: 5 * time.Second, Lease: 15 * time.Second, Meta: map[string]string{"n": fmt.Sprint(n)},
	}
}

// instances makes n of them.
func instances(service string, n int) []*registry.Instance {
	out := make([]*registry.Instance, n)
	for i := range out {
		out[i] = instance(service, i)
	}
	return out
}

// testZone makes a zone svc. with the given instances.
func testZone(t testing.TB, ins ...*registry.Instance) *zone.Zone {
	t.Helper()
	return namedZone(t, "svc.", ins...)
}

func namedZone(t testing.TB, origin string, ins ...*registry.Instance) *zone.Zone {
	t.Helper()
	z, err := zone.New(zone.Config{Origin: origin, NSAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}})
	if err != nil {
		t.Fatal(err)
	}
	z.Load(uint64(len(ins)), slices.Values(ins), nil)
	return z
}

// standard is the zone of most tests: a small service, one with both families
// and a foreign host, and one too large for UDP.
func standard(t testing.TB) *zone.Zone {
	ins := instances("_math._tcp", 3)
	v6 := instance("_dual._udp", 1)
	v6.Host = "2001:db8::7"
	named := instance("_dual._udp", 2)
	named.Host = "host.example."
	ins = append(ins, v6, named)
	return testZone(t, append(ins, instances("_big._tcp", 100)...)...)
}

// start runs a server on loopback until the test ends. change is for what a Config does
// not say.
func start(t testing.TB, c Config, change ...func(*Server)) *Server {
	t.Helper()
	if c.Addrs == nil {
		c.Addrs = []string{"127.0.0.1:0"}
	}
	s, err := listen(c, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(s)
	}
	run(t, s)
	return s
}

// startBoth runs f on a server with each kind of UDP loop.
func startBoth(t *testing.T, c Config, f func(t *testing.T, s *Server)) {
	t.Helper()
	for _, portable := range []bool{false, true} {
		t.Run(fmt.Sprintf("portable=%t", portable), func(t *testing.T) {
			if c.Addrs == nil {
				c.Addrs = []string{"127.0.0.1:0"}
			}
			s, err := listen(c, portable)
			if err != nil {
				t.Fatal(err)
			}
			run(t, s)
			f(t, s)
		})
	}
}

// writesWithin changes how long a client may take to read what one write sends.
func writesWithin(d time.Duration) func(*Server) { return func(s *Server) { s.writeTime = d } }

func run(t testing.TB, s *Server) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		s.Close()
	})
}

// ask sends one query made by miekg's client and returns the whole answer.
func ask(t testing.TB, s *Server, network, name string, qtype uint16, change ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	for _, f := range change {
		f(m)
	}
	c := dns.Client{Net: network, Timeout: 20 * time.Second, UDPSize: 65535}
	r, _, err := c.Exchange(m, s.Addrs()[0].String())
	if err != nil {
		t.Fatalf("%s %s %s: %v", network, name, dns.TypeToString[qtype], err)
	}
	return r
}

// edns adds OPT with a size.
func edns(size uint16) func(*dns.Msg) { return func(m *dns.Msg) { m.SetEdns0(size, false) } }

// responderFor makes a responder as a loop would have it.
func responderFor(t testing.TB, c Config) *responder {
	t.Helper()
	set, err := newSettings(c, [16]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return &responder{set: set, limiter: newLimiter(set.RateLimit, newSipKey([16]byte{})), count: new(counters), now: 1_700_000_000}
}

// raw sends octets over UDP and returns the answer. nil means that there is none,
// because the next query was answered first.
func raw(t testing.TB, s *Server, packet []byte) []byte {
	t.Helper()
	c, err := net.Dial("udp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The two come from one address and port, so one loop answers them in
	// order.
	fence := new(dns.Msg).SetQuestion("svc.", dns.TypeSOA)
	if len(packet) >= 2 {
		fence.Id = binary.BigEndian.Uint16(packet) + 1
	}
	second, err := fence.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{packet, second} {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if n >= 2 && binary.BigEndian.Uint16(buf) == fence.Id {
		return nil
	}
	return buf[:n]
}

// eventually waits for something that nothing announces, such as a counter.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.NewTimer(30 * time.Second)
	defer end.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-end.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// frame puts the length before a message.
func frame(p []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
}

// readFrame reads one message.
func readFrame(t testing.TB, c io.Reader) *dns.Msg {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, p); err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(p); err != nil {
		t.Fatal(err)
	}
	return m
}

func dialTCP(t testing.TB, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// buffer is a log that any goroutine may write.
type buffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// count is how often a word is in the log.
func (b *buffer) count(word string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Count(b.text.Bytes(), []byte(word))
}
