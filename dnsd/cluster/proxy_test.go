package cluster

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/rollcall-dns/rollcall/internal/freeaddr"
)

// A proxy is between a client and an etcd.
type proxy struct {
	net.Listener
	to string

	mu      sync.Mutex // guards what follows
	conns   []net.Conn
	mute    bool // replies are thrown away
	refuses bool // connections are closed at once
}

func startProxy(t testing.TB, to string) *proxy {
	t.Helper()
	return startProxyAt(t, freeaddr.Take(1)[0].String(), to)
}

func startProxyAt(t testing.TB, addr, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: to}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		all.Wait()
	})
	return p
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	refuses := p.refuses
	p.conns = append(p.conns, c, up)
	p.mu.Unlock()
	if refuses {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer up.Close()
		p.copy(up, c, func() bool { return true })
	})
	both.Go(func() {
		defer c.Close()
		p.copy(c, up, func() bool { return !p.mute })
	})
	both.Wait()
}

// copy copies what passes.
func (p *proxy) copy(to io.Writer, from io.Reader, passes func() bool) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		pass := passes()
		p.mu.Unlock()
		if n > 0 && pass {
			to.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// silence throws replies away from now on.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
}

// set says what becomes of new connections, and ends the silence.
func (p *proxy) set(refuses bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses, p.mute = refuses, false
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
