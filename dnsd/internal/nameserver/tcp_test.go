package nameserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// padded is a query of so many octets.
func padded(t testing.TB, size int) []byte {
	t.Helper()
	bare := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, edns(1232))
	packet := wireQuery(t, "_math._tcp.svc.", dns.TypeSRV, edns(1232), func(m *dns.Msg) {
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_PADDING{Padding: make([]byte, size-len(bare)-4)}}
	})
	if len(packet) != size {
		t.Fatalf("%d octets, want %d", len(packet), size)
	}
	return packet
}

// TestTCPQueriesOfEverySizeAreAnswered: RFC 7766 section 8 has no limit below 64 KiB.
func TestTCPQueriesOfEverySizeAreAnswered(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	c := dialTCP(t, s)
	var all []byte
	sizes := []int{100, 4093, 4094, 4095, 4096, 4097, 5000, 100, 8190, 8191, 60_000, 100, 65_535, 65_535, 100}
	for _, size := range sizes {
		all = append(all, frame(padded(t, size))...)
	}
	go func() {
		for piece := range slices.Chunk(all, 3001) { // that no query begins with
			c.Write(piece)
		}
	}()
	for _, size := range sizes {
		if m := readFrame(t, c); len(m.Answer) != 3 {
			t.Fatalf("query of %d octets: %v", size, m)
		}
	}
}

// TestALongQueryGivesItsMemoryBack: a connection that sent one is as cheap
// afterwards as any other.
func TestALongQueryGivesItsMemoryBack(t *testing.T) {
	c := conn{buf: make([]byte, 0, readBuffer)}
	whole := frame(padded(t, 60_000))
	for len(c.buf) < len(whole) {
		n := copy(c.buf[len(c.buf):cap(c.buf)], whole[len(c.buf):])
		c.buf = c.buf[:len(c.buf)+n]
		if cap(c.buf) > 2*max(len(c.buf), readBuffer) {
			t.Fatalf("%d octets held for %d", cap(c.buf), len(c.buf))
		}
		if len(c.buf) < len(whole) {
			c.keep(c.buf)
		}
	}
	if !bytes.Equal(c.buf, whole) {
		t.Fatal("the query came out otherwise")
	}
	if c.keep(c.buf[len(c.buf):]); cap(c.buf) != readBuffer {
		t.Errorf("%d octets held behind the query", cap(c.buf))
	}
}

// TestTransferIsWholeOnAHalfClosedConnection: a client that sends no more may
// still read (RFC 9293 section 3.6), also slowly and over TLS.
func TestTransferIsWholeOnAHalfClosedConnection(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 5000)...)
	cert := testCertificate(t)
	s := start(t, Config{
		Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: z, Transfer: []Peer{{Prefix: loopback}}}},
		TLS: TLS{Addrs: []string{"127.0.0.1:0"}, Config: cert.server},
	})
	question, err := new(dns.Msg).SetAxfr("svc.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	for what, dial := range map[string]func() (net.Conn, error){
		"TCP": func() (net.Conn, error) { return net.Dial("tcp", s.Addrs()[0].String()) },
		"TLS": func() (net.Conn, error) { return tls.Dial("tcp", s.TLSAddrs()[0].String(), cert.client) },
	} {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Write(frame(question)); err != nil {
			t.Fatal(err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		var got []dns.RR
		for len(got) < 2 || got[len(got)-1].Header().Rrtype != dns.TypeSOA {
			got = append(got, readFrame(t, c).Answer...)
		}
		if want := contents(z); !slices.Equal(text(t, got), want) {
			t.Errorf("over %s: %d records, want %d", what, len(got), len(want))
		}
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("over %s, behind the transfer: %d octets, %v", what, n, err)
		}
	}
	eventually(t, "the connections to end", func() bool { return s.Stats().Conns == 0 })
}
