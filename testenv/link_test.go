package testenv

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echo is a server that answers each line, or each datagram, with itself.
func echo(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		go func() {
			buf := make([]byte, 100)
			for n, from, err := pc.ReadFrom(buf); err == nil; n, from, err = pc.ReadFrom(buf) {
				pc.WriteTo(buf[:n], from)
			}
		}()
		return pc.LocalAddr().String()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if _, err := c.Write(append(lines.Bytes(), '\n')); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// soon bounds a read that must not succeed, and late one that must.
const (
	soon = 30 * time.Millisecond
	late = 10 * time.Second
)

// heard is what comes back within a time.
func heard(c net.Conn, within time.Duration) (string, error) {
	c.SetReadDeadline(time.Now().Add(within))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func TestStuckStreamsArriveLater(t *testing.T) {
	l, addr := newLink(), echo(t, "tcp")
	c, err := l.dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.RemoteAddr().String() != addr {
		t.Errorf("the connection leads to %v, want %v", c.RemoteAddr(), addr)
	}
	say := func(s string) {
		t.Helper()
		if _, err := c.Write([]byte(s + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	say("one")
	if s, err := heard(c, late); s != "one\n" || err != nil {
		t.Fatalf("%q, %v", s, err)
	}
	l.set(Stuck)
	say("two")
	if s, err := heard(c, soon); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while it is stuck: %q, %v", s, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := l.dial(ctx, "tcp", addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a dial while it is stuck: %v", err)
	}
	// A dnsd at one end is paused, too: the link is whole when both are over.
	l.pause(+1)
	l.set(Whole)
	if s, err := heard(c, soon); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while an end is paused: %q, %v", s, err)
	}
	l.pause(-1)
	if s, err := heard(c, late); s != "two\n" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

// TestADeafEndIsHeard: what it says arrives, and it hears the answer later.
func TestADeafEndIsHeard(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := newLink()
	c, err := l.dial(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l.set(Deaf)
	c.Write([]byte("one\n"))
	if s, err := heard(other, late); s != "one\n" || err != nil {
		t.Fatalf("%q, %v", s, err)
	}
	other.Write([]byte("two\n"))
	if s, err := heard(c, soon); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while it is deaf: %q, %v", s, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := l.dial(ctx, "tcp", ln.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a dial while it is deaf: %v", err)
	}
	l.set(Whole)
	if s, err := heard(c, late); s != "two\n" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

func TestCutLinksBreakAndRefuse(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		l, addr := newLink(), echo(t, network)
		c, err := l.dial(t.Context(), network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		read := make(chan error, 1)
		go func() {
			_, err := heard(c, late)
			read <- err
		}()
		l.kill(+1)
		if err := <-read; err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: a connection that is cut: %v", network, err)
		}
		var op *net.OpError
		if _, err := l.dial(t.Context(), network, addr); !errors.As(err, &op) || op.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: a dial to a process that was killed: %v", network, err)
		}
		l.set(Cut)
		l.kill(-1)
		if _, err := l.dial(t.Context(), network, addr); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("%s: it was cut for another reason, too: %v", network, err)
		}
		l.set(Whole)
		c, err = l.dial(t.Context(), network, addr)
		if err != nil {
			t.Fatalf("%s: after it was mended: %v", network, err)
		}
		defer c.Close()
		c.Write([]byte("one\n"))
		if s, err := heard(c, late); s != "one\n" {
			t.Errorf("%s: %q, %v", network, s, err)
		}
	}
}

func TestStuckDatagramsAreLost(t *testing.T) {
	l := newLink()
	c, err := l.dial(t.Context(), "udp", echo(t, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l.set(Stuck)
	c.Write([]byte("one"))
	l.set(Whole)
	c.Write([]byte("two"))
	if s, err := heard(c, late); s != "two" {
		t.Errorf("%q, %v", s, err)
	}
}

// TestRelaysEndWithTheirConnections: neither end keeps the other.
func TestRelaysEndWithTheirConnections(t *testing.T) {
	l, addr := newLink(), echo(t, "tcp")
	c, err := l.dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	open := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.open)
	}
	for end := time.Now().Add(late); open() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connection is closed, and its relay is not")
		}
	}
}
