package dnsd

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/rollcall-dns/rollcall/dnsd/internal/nameserver"
)

// A listener is one DNS address at work, UDP and TCP or TLS, with all zones that
// are served there.
type listener struct {
	addr   string // as configured: port 0 stays 0; tlsPrefix before one of TLS
	blocks []*block
	cfg    nameserver.Config
	server *nameserver.Server
	task   *task

	evicted bool // closed to make room for a plan
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
	l := &listener{addr: addr, cfg: nameserver.Config{Logger: s.log}}
	tlsAddr, overTLS := strings.CutPrefix(addr, tlsPrefix)
	if !overTLS {
		l.cfg.Addrs = []string{addr}
	}
	var settings DNS
	for _, n := range p.blocks {
		b := n.next
		if !slices.Contains(b.cfg.listeners(), addr) {
			continue
		}
		settings.merge(b.cfg.DNS) // Config.check has seen that they agree
		if len(l.blocks) == 0 {
			if overTLS {
				cert, err := tls.LoadX509KeyPair(b.cfg.TLS.Cert, b.cfg.TLS.Key)
				if err != nil {
					return nil, fmt.Errorf("certificate: %w", err)
				}
				l.cfg.TLS = nameserver.TLS{Addrs: []string{tlsAddr}, Config: &tls.Config{
					Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
					NextProtos: []string{"dot"}, // RFC 9103 section 7.1: BIND transfers over no other
				}}
			}
		}
		l.blocks = append(l.blocks, b)
		addZones(&l.cfg, b, addr == b.cfg.Bind[0])
	}
	serverSettings(&l.cfg, settings)
	if old != nil {
		l.server, l.task = old.server, old.task
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

// update gives a kept listener its new zones and settings, and adds to undo what
// gives the old ones back.
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

// serverSettings copies a block's settings for its sockets.
func serverSettings(c *nameserver.Config, d DNS) {
	c.MaxUDP = d.UDPSize
	c.NSID = d.NSID
	c.CookieSecrets = d.CookieSecrets
	c.RateLimit.PerSecond = d.RateLimit
	c.TCP.Conns, c.TCP.ConnsPerAddr, c.TCP.Idle = d.TCPConnections, d.TCPPerAddress, d.TCPIdle
}

// addZones adds b's zones, transfer rules and keys to c. Only where notify is
// true are secondaries told of changes: once is enough for a zone on many
// addresses.
func addZones(c *nameserver.Config, b *block, notify bool) {
	var peers []nameserver.Peer
	for _, t := range b.cfg.Transfer {
		peers = append(peers, t.peer(notify))
	}
	keys := map[string]nameserver.Key{}
	for _, k := range b.cfg.TSIG {
		keys[k.Name] = nameserver.Key{Algorithm: k.Algorithm, Secret: k.Secret}
	}
	for _, p := range b.zones {
		c.Zones = append(c.Zones, nameserver.Zone{Zone: p.zone, Transfer: peers, TSIG: keys})
	}
}

// peer is t as the name server takes it. An address means that one host may
// transfer and is notified, at port 53 unless it says another; a prefix only
// allows.
func (t Transfer) peer(notify bool) nameserver.Peer {
	p := nameserver.Peer{Key: t.Key}
	var to netip.AddrPort
	if prefix, err := netip.ParsePrefix(t.To); err == nil {
		p.Prefix = prefix
		return p
	} else if ap, err := netip.ParseAddrPort(t.To); err == nil {
		to = ap
	} else if a, err := netip.ParseAddr(t.To); err == nil {
		to = netip.AddrPortFrom(a, 53)
	}
	if a := to.Addr().Unmap(); a.IsValid() {
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
	}
	if notify {
		p.Notify = to
	}
	return p
}
