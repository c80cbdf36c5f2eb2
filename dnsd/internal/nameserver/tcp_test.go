package nameserver

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
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
		t.Fatalf("the padded query has %d octets, want %d", len(packet), size)
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
		for piece := range slices.Chunk(all, 3001) { // no query begins with a piece
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
			t.Fatalf("a buffer of %d octets for %d", cap(c.buf), len(c.buf))
		}
		if len(c.buf) < len(whole) {
			c.keep(c.buf)
		}
	}
	if !bytes.Equal(c.buf, whole) {
		t.Fatal("the query in the buffer is not the one that was sent")
	}
	if c.keep(c.buf[len(c.buf):]); cap(c.buf) != readBuffer {
		t.Errorf("a buffer of %d octets after the query", cap(c.buf))
	}
}

// TestTransferIsWholeOnAHalfClosedConnection: a client that sends no more may
// still read (RFC 9293 section 3.6), also slowly and over TLS.
func TestTransferIsWholeOnAHalfClosedConnection(t *testing.T) {
	z := testZone(t, instances("_math._tcp", 5000)...)
	cert := testCertificate(t)
	s := start(t, Config{
		Addrs: []string{"127.0.0.1:0"}, Zones: []Zone{{Zone: z, Transfer: []Secondary{{Prefix: loopback}}}},
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
			t.Errorf("over %s, after the transfer: %d octets, %v", what, n, err)
		}
	}
	eventually(t, "the connections to end", func() bool { return s.Stats().Conns == 0 })
}

func TestTCPAnswersEverythingThatIsPipelined(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}})
	c := dialTCP(t, s)
	var all []byte
	const n = 500
	for i := range n {
		q := wireQuery(t, "_big._tcp.svc.", dns.TypeSRV, func(m *dns.Msg) { m.Id = uint16(i) })
		all = append(all, frame(q)...)
	}
	go func() {
		// In pieces of an odd size: a query may come in parts.
		for len(all) > 0 {
			k := min(len(all), 777)
			if _, err := c.Write(all[:k]); err != nil {
				return
			}
			all = all[k:]
		}
	}()
	for i := range n {
		if m := readFrame(t, c); m.Id != uint16(i) || len(m.Answer) != 100 || m.Truncated {
			t.Fatalf("answer %d: id %d, %d records", i, m.Id, len(m.Answer))
		}
	}
}

func TestTCPLimits(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Conns: 5, ConnsPerAddr: 3}})
	for range 3 {
		c := dialTCP(t, s)
		c.Write(frame(wireQuery(t, "svc.", dns.TypeSOA)))
		readFrame(t, c)
	}
	c := dialTCP(t, s)
	c.Write(frame(wireQuery(t, "svc.", dns.TypeSOA))) // until then it may become a session of push
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Errorf("a fourth connection of one address: %v", err)
	}
	if st := s.Stats(); st.Conns != 3 || st.ConnsRefused != 1 || st.Accepted != 3 {
		t.Errorf("want 3 connections open, 1 refused: %+v", st)
	}
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

func TestTCPIdleAndSlowQueriesAreClosed(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Idle: 200 * time.Millisecond}})
	for name, keep := range map[string]func(c net.Conn){
		"idle": func(net.Conn) {},
		"half a query, octet by octet": func(c net.Conn) {
			p := frame(wireQuery(t, "svc.", dns.TypeSOA))
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for _, b := range p[:len(p)-1] {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-tick.C
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTCP(t, s)
			done := make(chan struct{})
			go func() { defer close(done); keep(c) }()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
				t.Errorf("still open: %v", err)
			}
			c.Close()
			<-done
		})
	}
}

func TestASlowReaderIsClosed(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: testZone(t, instances("_math._tcp", 1000)...)}}}, writesWithin(100*time.Millisecond))
	c := dialTCP(t, s)
	p := frame(wireQuery(t, "_math._tcp.svc.", dns.TypeSRV))
	for {
		if _, err := c.Write(p); err != nil {
			break // the server gave up on us
		}
	}
	if st := s.Stats(); st.SlowClients == 0 {
		t.Errorf("the slow client is not counted: %+v", st)
	}
}

func TestTCPKeepalive(t *testing.T) {
	s := start(t, Config{Zones: []Zone{{Zone: standard(t)}}, TCP: TCPLimits{Idle: 7 * time.Second}})
	keepalive := func(m *dns.Msg) {
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE}}
	}
	m := ask(t, s, "tcp", "svc.", dns.TypeSOA, keepalive)
	if o := m.IsEdns0().Option; len(o) != 1 || o[0].(*dns.EDNS0_TCP_KEEPALIVE).Timeout != 70 {
		t.Errorf("over TCP: %v", o)
	}
	// RFC 7828 3.2.1: ignored over UDP.
	if m := ask(t, s, "udp", "svc.", dns.TypeSOA, keepalive); len(m.IsEdns0().Option) != 0 {
		t.Errorf("over UDP: %v", m.IsEdns0())
	}
}

// dead is a listener that has no file descriptor for a connection, until end.
type dead struct {
	end      <-chan struct{}
	accepted *int
}

func (d dead) Accept() (net.Conn, error) {
	select {
	case <-d.end:
		return nil, net.ErrClosed
	default:
		*d.accepted++
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
}

func (d dead) Close() error { return nil }

func (d dead) Addr() net.Addr { return &net.TCPAddr{} }

// TestAListenerWithoutDescriptorsFillsNoLog for an hour.
func TestAListenerWithoutDescriptorsFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log buffer
		set, err := newSettings(Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, [16]byte{})
		if err != nil {
			t.Fatal(err)
		}
		s := new(Server)
		s.settings.Store(set)
		accepted, end := 0, make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.acceptLoop(t.Context(), dead{end, &accepted}, overTCP, &wg); err != nil {
				t.Error(err)
			}
		})
		<-time.After(time.Hour)
		close(end)
		wg.Wait()
		if n := log.count("accept failed"); n < 2 || n > 61 {
			t.Errorf("%d log lines in an hour", n)
		}
		if accepted > 3700 {
			t.Errorf("tried %d times in an hour", accepted)
		}
	})
}
