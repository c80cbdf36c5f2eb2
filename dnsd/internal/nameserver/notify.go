package nameserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// notifyInterval is the least time between two NOTIFY to one secondary:
	// changes that come faster share one. A secondary that answers each with an
	// IXFR then asks five times a second at most.
	notifyInterval = 200 * time.Millisecond
	// notifyTries and notifyTimeout: RFC 1996 3.6 asks for retries with growing
	// pauses. Those of 1, 2, 4, 8 and 16 s end before the zone's own refresh.
	notifyTries   = 5
	notifyTimeout = time.Second
)

// runNotify tells the secondaries of set about changes until ctx ends.
func (s *Server) runNotify(ctx context.Context, set *settings) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range set.zones {
		z := &set.zones[i]
		for _, to := range z.secondaries {
			if to.Notify.IsValid() {
				wg.Go(func() { s.notifySecondary(ctx, set, z, to) })
			}
		}
	}
}

// notifySecondary sends one secondary a NOTIFY at the start and after changes.
func (s *Server) notifySecondary(ctx context.Context, set *settings, z *zoneEntry, to Secondary) {
	pause := time.NewTimer(notifyInterval)
	defer pause.Stop()
	told := false // it was logged that the secondary does not answer
	for {
		// Call Changed before the serial is read, so that no change is missed.
		changed := z.zone.Changed()
		if z.zone.Absent() {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := s.notify(ctx, set, z, to)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.transfers.notifyFailed.Add(1)
			s.seconds.count(to.Notify.Addr(), func(n *SecondaryCount) { n.NotifyFailures++ })
			level := slog.LevelWarn
			if told {
				level = slog.LevelDebug // one that does not serve the zone refuses each NOTIFY
			}
			told = true
			set.log.Log(ctx, level, "secondary not notified: is it up, and does it serve the zone? It learns of changes at its next refresh", "zone", z.origin, "secondary", to.Notify, "error", err)
		} else {
			told = false
			s.transfers.notified.Add(1)
			s.seconds.count(to.Notify.Addr(), func(n *SecondaryCount) { n.Notifies++ })
		}
		pause.Reset(notifyInterval)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// notify sends one NOTIFY (RFC 1996 3) until it is acknowledged or given up.
// Each try carries the newest serial.
func (s *Server) notify(ctx context.Context, set *settings, z *zoneEntry, to Secondary) error {
	var last error
	timeout := notifyTimeout
	for range notifyTries {
		if last = s.notifyOnce(ctx, set, z, to, timeout); last == nil || ctx.Err() != nil {
			return last
		}
		timeout *= 2
	}
	return last
}

func (s *Server) notifyOnce(ctx context.Context, set *settings, z *zoneEntry, to Secondary, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m := new(dns.Msg).SetNotify(z.origin)
	soa, _ := z.zone.Transfer()
	m.Answer = []dns.RR{soa}
	wire, mac, err := packNotify(m, z.keys[to.Key])
	if err != nil {
		return err
	}
	dialer := net.Dialer{LocalAddr: s.notifySource(to.Notify.Addr())}
	conn, err := dialer.DialContext(ctx, "udp", to.Notify.String())
	if err != nil {
		return fmt.Errorf("nameserver: notify %s: %w", to.Notify, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(wire); err != nil {
		return waitOut(ctx, fmt.Errorf("nameserver: notify %s: %w", to.Notify, err))
	}
	buf := make([]byte, minUDP)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			// A closed port refuses at once; the next try still waits.
			return waitOut(ctx, fmt.Errorf("nameserver: notify %s: %w", to.Notify, err))
		}
		var reply dns.Msg
		if reply.Unpack(buf[:n]) != nil || reply.Id != m.Id || !reply.Response || reply.Opcode != dns.OpcodeNotify {
			continue
		}
		if to.Key != "" && dns.TsigVerify(buf[:n], z.keys[to.Key].text, mac, false) != nil {
			continue // it may be forged
		}
		if reply.Rcode != dns.RcodeSuccess {
			return waitOut(ctx, fmt.Errorf("nameserver: notify %s: %s", to.Notify, dns.RcodeToString[reply.Rcode]))
		}
		return nil
	}
}

// waitOut waits until the time of the try is over, and returns err.
func waitOut(ctx context.Context, err error) error {
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return ctx.Err()
}

// packNotify signs m with a key, unless that is nil.
func packNotify(m *dns.Msg, key *tsigKey) (wire []byte, mac string, err error) {
	if key == nil {
		wire, err = m.Pack()
		return wire, "", err
	}
	m.SetTsig(key.name, key.algorithm, tsigFudge, time.Now().Unix())
	return dns.TsigGenerate(m, key.text, "", false)
}

// notifySource is the source address of NOTIFY: the one that secondaries transfer
// from, because they know no other. Nil if the server listens on all.
func (s *Server) notifySource(to netip.Addr) net.Addr {
	for _, a := range s.addrs {
		if addr := a.Addr(); !addr.IsUnspecified() && addr.Is4() == to.Unmap().Is4() && addr.IsLoopback() == to.IsLoopback() {
			return net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
		}
	}
	return nil
}
