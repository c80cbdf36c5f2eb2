package dnsd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/member"
	"github.com/rollcall-dns/rollcall/dnsd/internal/peer"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
)

var _ peer.Members = (*membership)(nil)

// memberWords are the words of the Corefile for the fields of member.Config.
var memberWords = map[string]string{
	"Prefix": "store prefix", "Name": "store name", "Session": "store session", "Address": "store advertise",
}

// Writer implements peer.Members.
func (m *membership) Writer() (peer.Target, <-chan struct{}, error) {
	changed := m.member.Changed()
	p, ok := m.member.Writer()
	if ok && !p.Self {
		to, err := target(p)
		return to, changed, err
	}
	why := m.member.Health().Reason
	switch {
	case why != "":
	case ok:
		why = "this dnsd is about to become the writer, or its session is over"
	default:
		why = "no dnsd is a candidate"
	}
	return peer.Target{}, changed, errors.New(why)
}

// target is a member as the peer's client takes it.
func target(p member.Peer) (peer.Target, error) {
	f, err := peer.ParseFingerprint(p.Certificate)
	if err != nil {
		return peer.Target{}, fmt.Errorf("member %s: %w", p.Name, err)
	}
	return peer.Target{Name: p.Name, Address: p.Address, Fingerprint: f}, nil
}

// knows says whether a present member has a certificate. A member that has just joined may
// be known only in a moment.
func (m *membership) knows(f peer.Fingerprint) bool {
	end := time.NewTimer(knowTime)
	defer end.Stop()
	for certificate := f.String(); ; {
		changed := m.member.Changed()
		if _, ok := m.member.Known(certificate); ok {
			return true
		}
		select {
		case <-changed:
		case <-end.C:
			return false
		}
	}
}

// ask asks another member what it says of itself.
func (m *membership) ask(ctx context.Context, p member.Peer) (member.Answer, error) {
	to, err := target(p)
	if err != nil {
		return member.Answer{}, err
	}
	s, err := m.client.State(ctx, to)
	return member.Answer{Revision: s.Revision, CertificateEnds: s.CertificateEnds}, err
}

// dial connects to other members. It tells the member of a connection to the writer that
// cannot be made or breaks, because a writer that is dead need not be waited for.
func (m *membership) dial(connect peer.Dial) peer.Dial {
	if connect == nil {
		d := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}
		connect = d.DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := connect(ctx, network, addr)
		if err != nil {
			m.doubt(addr)
			return nil, err
		}
		return &watchedConn{Conn: c, lost: func() { m.doubt(addr) }}, nil
	}
}

// doubt tells the member that the writer may be dead, if it is at that address.
func (m *membership) doubt(addr string) {
	if p, ok := m.member.Writer(); ok && !p.Self && p.Address == addr {
		m.member.Doubt(p)
	}
}

// watchedConn is a connection that says when it cannot be read any more.
type watchedConn struct {
	net.Conn
	lost func()
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	var slow net.Error
	if err != nil && !errors.Is(err, net.ErrClosed) && !(errors.As(err, &slow) && slow.Timeout()) {
		c.lost()
	}
	return n, err
}

// alike are the settings that all members must have alike, or they would publish different
// zones with the same serial.
func alike(t told) map[string]string {
	c := t.zones[0]
	var zones, servers []string
	own := len(c.NS) == 0 // the addresses of this server are published
	for _, z := range t.zones {
		zones = append(zones, z.Origin)
	}
	for _, ns := range c.NS {
		servers = append(servers, strings.Trim(fmt.Sprint(dns.CanonicalName(ns.Host), ns.Addrs), "[]"))
		own = own || len(ns.Addrs) == 0 && dns.IsSubDomain(c.Origin, dns.CanonicalName(ns.Host))
	}
	if own {
		servers = append(servers, strings.Trim(fmt.Sprint(zone.Reachable(c.NSAddrs)), "[]"))
	}
	settings := map[string]string{
		"zones": strings.Join(zones, " "), "ns": strings.Join(servers, " "),
		"hostmaster": cmp.Or(c.Hostmaster, "hostmaster."+c.Origin),
		"ttl":        c.TTL.String(), "negative": cmp.Or(c.NegativeTTL, c.TTL).String(),
	}
	if c.Push != (zone.PushServer{}) {
		settings["push"] = fmt.Sprintf("name %s %d", c.Push.Host, c.Push.Port)
	}
	return settings
}

// seenFrom is the URL of a hook for people on other machines: if it listens on all
// addresses of this host, it has the one that the other members dial.
func seenFrom(address, hookAddr, hookURL string) string {
	host, _, _ := net.SplitHostPort(hookAddr)
	if a, err := netip.ParseAddr(host); host != "" && (err != nil || !a.IsUnspecified()) {
		return hookURL
	}
	u, err := url.Parse(hookURL)
	if err != nil {
		return hookURL
	}
	host, _, _ = net.SplitHostPort(address)
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

// Tests: membership_test.go.
