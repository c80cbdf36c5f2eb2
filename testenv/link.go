package testenv

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
)

// A Link is a way between two parts of the environment. Env.Break breaks it. The dnsd are
// counted from 0.
type Link struct {
	kind linkKind
	i, j int
}

type linkKind int

const (
	toHook linkKind = iota
	toDNS
	toPeer
	toStore
)

// HookLink is between the nodes and the hook of dnsd i.
func HookLink(i int) Link { return Link{toHook, i, i} }

// DNSLink is between the clients and the DNS of dnsd i.
func DNSLink(i int) Link { return Link{toDNS, i, i} }

// PeerLink is between dnsd i and dnsd j.
func PeerLink(i, j int) Link { return Link{toPeer, min(i, j), max(i, j)} }

// StoreLink is between dnsd i and the store that the dnsd share.
func StoreLink(i int) Link { return Link{toStore, i, i} }

// Break is what is wrong with a link.
type Break int

const (
	// Whole is a link that works.
	Whole Break = iota
	// Cut breaks the connections of the link, and refuses new ones.
	Cut
	// Stuck leaves connections open, and delivers nothing in either direction. What was
	// sent arrives when the link is Whole again; datagrams are lost.
	Stuck
	// Deaf leaves connections open, and delivers what was sent by the end that has dialled,
	// but nothing that the other end answers. What that has sent arrives when the link is
	// Whole again; datagrams that are read meanwhile are lost. No connection can be made.
	Deaf
)

// String is the name in lower case.
func (b Break) String() string { return [...]string{"whole", "cut", "stuck", "deaf"}[b] }

// Break breaks a link in one way, or mends it. It takes the place of what was wrong with
// the link before. It is for Setup.DNSDs of 2 or more.
//
// A connection that is cut is closed at both ends; no kernel on the way keeps what was
// sent. What is stuck is kept in this process, so the kernel of each end acknowledges it:
// this is how a process behaves that is stopped, and not a firewall that drops.
func (e *Env) Break(l Link, b Break) {
	e.t.Helper()
	e.link(l).set(b)
}

// link returns what applies the faults of l.
func (e *Env) link(l Link) *link {
	e.t.Helper()
	if len(e.dnsds) < 2 {
		e.t.Fatal("testenv: links can be broken if Setup.DNSDs is 2 or more")
	}
	d := e.dnsd(l.i)
	e.dnsd(l.j)
	switch l.kind {
	case toHook:
		return d.hookLink
	case toDNS:
		return d.dnsLink
	case toStore:
		if d.storeLink == nil {
			e.t.Fatal("testenv: the store is the caller's (Setup.Stores), so the caller has to break the links to it")
		}
		return d.storeLink
	}
	if l.i == l.j {
		e.t.Fatalf("testenv: there is no link between dnsd %d and itself", l.i)
	}
	return d.peerLinks[l.j]
}

// Dial connects to a hook or a DNS server of the environment as nodes and clients do: the
// faults of their links apply. Any other address is dialled as usual.
func (e *Env) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	for _, d := range e.dnsds {
		if d.hookLink == nil { // the only dnsd
			break
		}
		switch addr {
		case d.zone.Hook.Addr:
			return d.hookLink.dial(ctx, network, addr)
		case d.zone.Bind[0]:
			return d.dnsLink.dial(ctx, network, addr)
		}
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// link applies the faults of a Link. It also ends, and stops, with a dnsd at one of its
// ends.
type link struct {
	follow func(Break) // is told of each change; nil: no one

	mu      sync.Mutex // guards what follows
	asked   Break      // by Env.Break
	paused  int        // ends that are paused
	killed  int        // ends that are killed
	changed chan struct{}
	open    map[ender]struct{} // connections
}

// ender is an open connection that can be broken.
type ender interface{ reset() }

func newLink() *link { return &link{changed: make(chan struct{}), open: map[ender]struct{}{}} }

func (l *link) set(b Break)  { l.change(func() { l.asked = b }) }
func (l *link) pause(by int) { l.change(func() { l.paused += by }) }
func (l *link) kill(by int)  { l.change(func() { l.killed += by }) }

func (l *link) change(f func()) {
	l.mu.Lock()
	f()
	b := l.nowLocked()
	close(l.changed)
	l.changed = make(chan struct{})
	var broken []ender
	if b == Cut {
		broken = slices.Collect(maps.Keys(l.open))
		clear(l.open)
	}
	follow := l.follow
	l.mu.Unlock()
	for _, c := range broken {
		c.reset()
	}
	if follow != nil {
		follow(b)
	}
}

func (l *link) nowLocked() Break {
	switch {
	case l.killed > 0 || l.asked == Cut:
		return Cut
	case l.paused > 0 || l.asked == Stuck:
		return Stuck
	}
	return l.asked
}

// now is what is wrong, and a channel that is closed when that changes.
func (l *link) now() (Break, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nowLocked(), l.changed
}

// pass waits while the link is stuck, and answers wait while it is deaf, too. It says whether
// the link is not cut then.
func (l *link) pass(ctx context.Context, answer bool) bool {
	for {
		b, changed := l.now()
		if b != Stuck && !(b == Deaf && answer) {
			return b != Cut
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// keep notes an open connection, unless the link is cut.
func (l *link) keep(c ender) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nowLocked() == Cut {
		return false
	}
	l.open[c] = struct{}{}
	return true
}

func (l *link) forget(c ender) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// dial connects over the link.
func (l *link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	refused := func(err error) error { return &net.OpError{Op: "dial", Net: network, Err: err} }
	if !l.pass(ctx, true) { // that of the other end to the first packet
		if err := ctx.Err(); err != nil {
			return nil, refused(err)
		}
		return nil, refused(l.refusal())
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	var ours net.Conn
	if conn.LocalAddr().Network() == "udp" {
		d := &datagrams{Conn: conn, link: l}
		if l.keep(d) {
			return d, nil
		}
	} else if ours = l.relay(conn); ours != nil {
		return ours, nil
	}
	conn.Close()
	return nil, refused(l.refusal())
}

// refusal is what a dial gets: the host of a process that was killed refuses, a network
// that is cut has no route.
func (l *link) refusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.killed > 0 {
		return syscall.ECONNREFUSED
	}
	return syscall.EHOSTUNREACH
}

// Tests: link_test.go.
