package peer

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections a test makes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection from an address.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr)) }

// dial returns the other end of a new connection from addr.
func (p *pipes) dial(addr string) net.Conn {
	near, far := net.Pipe()
	p.conns <- from{far, addr}
	return near
}

// tlsClient is the end of a client that shows the certificate of me.
func tlsClient(c net.Conn, me *Identity) *tls.Conn {
	return tls.Client(c, me.config(func(Fingerprint) error { return nil }))
}

// newTestDoor runs a door that knows one identity, until the test ends.
func newTestDoor(t *testing.T) (d *door, p *pipes, member *Identity) {
	return newLoggingDoor(t, slog.DiscardHandler)
}

func newLoggingDoor(t *testing.T, log slog.Handler) (d *door, p *pipes, member *Identity) {
	p, member = newPipes(), identity(t)
	d = newDoor(p, identity(t), func(f Fingerprint) bool { return f == member.Fingerprint() }, slog.New(log))
	done := make(chan error, 1)
	go func() { done <- d.run() }()
	t.Cleanup(func() {
		d.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return d, p, member
}

// admit does the handshake of a client, and returns both ends.
func admit(t *testing.T, d *door, p *pipes, me *Identity, addr string) (near, far net.Conn) {
	t.Helper()
	c := tlsClient(p.dial(addr), me)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	far, err := d.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c, far
}

// A connection that only shows that there is a listener is no trouble. One that says
// something else is.
func TestProbesAreNotWarnedOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		_, p, _ := newLoggingDoor(t, slog.NewTextHandler(&log, nil))
		p.dial("10.0.0.1:1").Close()
		synctest.Wait()
		if log.Len() > 0 {
			t.Errorf("a probe: %s", &log)
		}
		c := p.dial("10.0.0.1:1")
		go io.Copy(io.Discard, c)
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		synctest.Wait()
		if !strings.Contains(log.String(), "a connection was refused") {
			t.Errorf("no warning: %s", &log)
		}
	})
}

// A connection that says nothing, or too slowly, is cut off. A member finds a place
// meanwhile.
func TestSilentStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p, member := newTestDoor(t)
		began := time.Now()
		silent := p.dial("10.0.0.66:1")
		slow := p.dial("10.0.0.67:1")
		go func() {
			for { // a long record, an octet a second
				if _, err := slow.Write([]byte{22}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		near, far := admit(t, d, p, member, "10.0.0.1:1")
		defer near.Close()
		for _, c := range []net.Conn{silent, slow} {
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > handshakeTime {
				t.Errorf("it was cut off after %v, want at most %v", took, handshakeTime)
			}
		}
		synctest.Wait()
		if len(d.handshakes) != 0 || d.members != 1 {
			t.Errorf("%d handshakes, %d members", len(d.handshakes), d.members)
		}
		far.Close()
		far.Close()
		if d.members != 0 {
			t.Errorf("%d members after the connection was closed", d.members)
		}
	})
}

// Strangers from many addresses fill all places: the oldest makes room.
func TestMemberFindsAPlaceAmongStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p, member := newTestDoor(t)
		var all []net.Conn
		for i := range 2 * mostHandshakes {
			all = append(all, p.dial(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 1).String()))
		}
		synctest.Wait()
		if len(d.handshakes) != mostHandshakes {
			t.Errorf("%d handshakes, want %d", len(d.handshakes), mostHandshakes)
		}
		near, far := admit(t, d, p, member, "10.0.0.1:1")
		near.Close()
		far.Close()
		for _, c := range all {
			c.Close()
		}
	})
}

// One address that fails is not listened to for a while, so it costs no computing.
func TestStrangerThatComesAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, _ := newTestDoor(t)
		stranger := identity(t)
		count := func() (answered int) {
			for range 2 * handshakeBurst {
				c := tlsClient(p.dial("10.0.0.66:1"), stranger)
				if c.Handshake() == nil {
					answered++
				}
				c.NetConn().Close() // without an alert, which would wait for a reader, and time would pass
				synctest.Wait()
			}
			return answered
		}
		if n := count(); n != handshakeBurst {
			t.Errorf("%d handshakes were answered, want %d", n, handshakeBurst)
		}
		time.Sleep(4 * handshakeRefill)
		if n := count(); n != 4 {
			t.Errorf("%d handshakes were answered after a while, want 4", n)
		}
	})
}

// A member that connects often is never taken for a stranger.
func TestMemberThatComesAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p, member := newTestDoor(t)
		for range 10 * handshakeBurst {
			near, far := admit(t, d, p, member, "10.0.0.1:1")
			near.Close()
			far.Close()
		}
	})
}

func TestClosedDoorLetsNoneIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p, member := newTestDoor(t)
		silent := p.dial("10.0.0.66:1")
		c := tlsClient(p.dial("10.0.0.1:1"), member)
		if err := c.Handshake(); err != nil { // it waits for Accept
			t.Fatal(err)
		}
		d.Close()
		if _, err := d.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		for _, c := range []net.Conn{silent, c} {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Errorf("a connection is open")
			}
		}
	})
}

// The table of strangers is bounded, whatever they do.
func TestTableOfStrangersIsBounded(t *testing.T) {
	var s strangers
	now := time.Now()
	for i := range 2 * mostStrangers {
		if !s.enter(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now) {
			t.Fatalf("stranger %d is refused", i)
		}
	}
	if len(s.by) != mostStrangers {
		t.Errorf("%d strangers are remembered, want %d", len(s.by), mostStrangers)
	}
}
