package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// identityOfTests is a certificate, and clients of tests do not look at it.
var identityOfTests = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// shake makes a connection of TLS of both ends of another one. What the client wants is in
// config, which may be nil.
func shake(t testing.TB, ours, theirs net.Conn, config *tls.Config) (client *tls.Conn, server Conn) {
	t.Helper()
	if config == nil {
		config = &tls.Config{}
	}
	config.InsecureSkipVerify = true
	wire := NewWire(theirs)
	// Tickets come after the handshake, and the server would wait until they are read.
	conn := tls.Server(wire, &tls.Config{Certificates: []tls.Certificate{identityOfTests()}, SessionTicketsDisabled: true})
	client = tls.Client(ours, config)
	done := make(chan error, 1)
	go func() { done <- conn.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, Conn{Conn: conn, Wire: wire, From: netip.MustParseAddr("127.0.0.1"), TLS: true}
}

// connectTLS opens a session over TLS and a socket.
func connectTLS(t testing.TB, s *Server) *client {
	t.Helper()
	ours, theirs := socket(t)
	return serveTLS(t, s, ours, theirs)
}

// connectTLSPipe opens a session over TLS and a pipe.
func connectTLSPipe(t testing.TB, s *Server) *client {
	t.Helper()
	ours, theirs := pipe(t)
	return serveTLS(t, s, ours, theirs)
}

func serveTLS(t testing.TB, s *Server, ours, theirs net.Conn) *client {
	t.Helper()
	conn, c := shake(t, ours, theirs, nil)
	if !s.Serve(c) {
		t.Fatal("no room for a session")
	}
	return newClient(t, conn)
}

// connector opens a session.
type connector func(testing.TB, *Server) *client

// overBoth runs a test with a clock of its own, over a pipe, and over TLS and a pipe.
func overBoth(t *testing.T, test func(*testing.T, connector)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(t testing.TB, s *Server) *client { return connect(t, s, false) })
		})
	})
	t.Run("TLS", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, connectTLSPipe) })
	})
}

func followFrame(t testing.TB, id uint16, name string) []byte {
	t.Helper()
	frame, err := dso.AppendFollow(nil, id, name)
	return frameOf(t, frame, err)
}

func worldAndServer(t testing.TB) (*world, *Server) {
	t.Helper()
	w := newWorld(t, "svc.")
	return w, newServer(t, Config{Zones: []*zone.Zone{w.zone}})
}

// TestChangesReachAFollowerOverTLS: also with TLS 1.2, and if package tls has already read
// more than the name server.
func TestChangesReachAFollowerOverTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w, s := worldAndServer(t)
		ours, theirs := socket(t)
		conn, to := shake(t, ours, theirs, &tls.Config{MaxVersion: version})
		c := newClient(t, conn)
		const name = "_math._tcp.svc."
		first := dso.AppendKeepAlive(nil, 5, dso.KeepAlive{})
		c.send(append(first, followFrame(t, 7, name)...))
		to.Buffered = make([]byte, len(first))
		if _, err := io.ReadFull(to.Conn, to.Buffered); err != nil { // of a longer record
			t.Fatal(err)
		}
		if !s.Serve(to) {
			t.Fatal("no room for a session")
		}
		c.until("the first set", func() bool { return c.sets[7] != nil && c.sets[7].whole })
		for i := range 10 {
			w.put("_math._tcp", i)
			c.knows(7, w, name)
		}
	}
}

// metered lets a client read only so many octets.
type metered struct {
	net.Conn
	most  chan int      // has how many more, unless a Read has taken it
	spent chan struct{} // has a value when there are none left
}

func (m *metered) Read(p []byte) (int, error) {
	most := <-m.most
	n, err := m.Conn.Read(p[:min(len(p), most)])
	if most -= n; most > 0 {
		m.most <- most
	} else {
		m.spent <- struct{}{}
	}
	return n, err
}

// TestAReaderThatStopsWithinARecord: the zone changes meanwhile, and the client knows all of
// it at the end. Or it closes, or the server does.
func TestAReaderThatStopsWithinARecord(t *testing.T) {
	const plenty = 1 << 30
	for _, end := range []string{"it goes on", "it closes", "the server closes"} {
		t.Run(end, func(t *testing.T) {
			w, s := worldAndServer(t)
			w.load("_math._tcp", 5000)
			ours, theirs := socket(t)
			theirs.(*net.TCPConn).SetWriteBuffer(8 << 10)
			ours.(*net.TCPConn).SetReadBuffer(8 << 10)
			meter := &metered{ours, make(chan int, 1), make(chan struct{}, 1)}
			meter.most <- plenty
			conn, to := shake(t, meter, theirs, nil)
			if !s.Serve(to) {
				t.Fatal("no room for a session")
			}
			c := newClient(t, conn)
			c.send(followFrame(t, 7, "_math._tcp.svc."))
			<-meter.most
			meter.most <- 10_001
			read := make(chan struct{})
			go func() {
				defer close(read)
				for !(c.sets[7] != nil && c.sets[7].whole) {
					msg, err := c.frame()
					if err != nil {
						return
					}
					if m, err := dso.Read(msg, dso.FromServer); err == nil && m.Primary.Type == dso.TypeSet {
						c.apply(m)
					}
				}
			}()
			<-meter.spent
			for i := range 100 {
				w.put("_math._tcp", 5000+i)
			}
			w.put("_other._tcp", 1) // the hub has sent the changes before
			other := connectTCP(t, s)
			other.follow(1, "_other._tcp.svc.")
			switch end {
			case "it closes":
				ours.Close()
			case "the server closes":
				s.Close()
			}
			meter.most <- plenty
			<-read
			if end == "it goes on" {
				c.until("the changes", func() bool { return c.sets[7].revision >= w.rev-1 })
				w.rev-- // that of the other service
				c.knows(7, w, "_math._tcp.svc.")
				w.rev++
			}
			conn.Close()
			other.conn.Close()
			s.Wait()
			if st := s.Stats(); st.Sessions != 0 || st.Subscriptions != 0 || st.Panics != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}
