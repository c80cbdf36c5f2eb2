package dnsd

import (
	"crypto/tls"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
)

// A listener is one DNS address at work, UDP and TCP, or TLS, with all zones that
// are served there.
type listener struct {
	addr   string // as configured: port 0 stays 0; one of TLS begins with tlsPrefix
	blocks []*block
	cfg    nameserver.Config
	server *nameserver.Server
	task   *task
	doubts *doubts // goes on in a reload, as the sockets do

	evicted bool // it was closed to make room for a plan
}

// addresses are the DNS addresses of a configuration, each once, in order.
func addresses(cfg Config) []string {
	var addrs []string
	for _, z := range cfg.Zones {
		for _, a := range z.listeners() {
			if !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	return addrs
}

// A nextListener is a listener of a plan.
type nextListener struct {
	next, old *listener
}

func (s *Server) prepareListener(addr string, p *plan, old *listener) (*nextListener, error) {
	var settings DNS
	var blocks []*block
	tlsAddr, overTLS := strings.CutPrefix(addr, tlsPrefix)
	for _, n := range p.blocks {
		if slices.Contains(n.next.cfg.listeners(), addr) {
			settings.merge(n.next.cfg.DNS, overTLS) // checkSockets has seen that they agree
			blocks = append(blocks, n.next)
		}
	}
	l := &listener{addr: addr, blocks: blocks, cfg: settings.forServer(), doubts: new(doubts)}
	l.cfg.Logger, l.cfg.Push.Reconfirm = s.log, l.reconfirm
	if !overTLS {
		l.cfg.Addrs = []string{addr}
	}
	for _, b := range blocks {
		if overTLS && l.cfg.TLS.Config == nil {
			l.cfg.TLS = nameserver.TLS{Addrs: []string{tlsAddr}, Config: &tls.Config{
				Certificates: []tls.Certificate{*b.told.cert}, MinVersion: tls.VersionTLS12,
				NextProtos: []string{"dot"}, // RFC 9103 section 7.1: BIND transfers over no other
			}}
		}
		for _, p := range b.zones {
			l.cfg.Zones = append(l.cfg.Zones, b.told.served(p.zone, addr == b.cfg.Bind[0]))
		}
	}
	if old != nil {
		l.server, l.task, l.doubts = old.server, old.task, old.doubts
		return &nextListener{next: l, old: old}, nil
	}
	server, err := nameserver.Listen(l.cfg)
	if tookRoom(err) && s.evictDNS(p, addr) {
		server, err = nameserver.Listen(l.cfg)
	}
	if err != nil {
		return nil, err
	}
	l.server = server
	return &nextListener{next: l}, nil
}

// update gives a listener that goes on its new zones and settings. It adds to undo a
// function that gives back the old ones.
func (n *nextListener) update(undo *[]func() error) error {
	if n.old == nil {
		return nil
	}
	if err := n.next.server.Update(n.next.cfg); err != nil {
		return err
	}
	*undo = append(*undo, func() error { return n.old.server.Update(n.old.cfg) })
	return nil
}

// abandon closes the sockets that were opened for the plan.
func (n *nextListener) abandon() {
	if n.old == nil {
		n.next.server.Close()
	}
}

// serves says whether b's zones are served here.
func (l *listener) serves(b *block) bool { return slices.Contains(l.blocks, b) }

func (l *listener) start(failed chan<- error) {
	if l.task == nil {
		l.task = start("dns "+l.addr, l.server.Run, failed)
	}
}

func (l *listener) close() error {
	l.task.stop()
	return l.server.Close()
}

// Tests: server_test.go, reload_test.go, xot_test.go.
