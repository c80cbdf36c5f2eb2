package nameserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/push"
)

const (
	// drainTime is how long connections may take for their last write when the server
	// stops.
	drainTime = time.Second
	// portTries is how often port 0 is tried until a port is free for both TCP and UDP.
	portTries = 32
	// tcpShards is how many counters the connections share; more would cost memory and
	// gain nothing.
	tcpShards = 4
)

// Server answers DNS. Make one with Listen; its methods may be called from any
// goroutine.
type Server struct {
	settings atomic.Pointer[settings]
	limiter  atomic.Pointer[limiter]
	secret   [16]byte // for cookies when Config has none, and for the limiter
	portable bool     // use portableLoop even on Linux: for tests

	addrs    []netip.AddrPort
	tlsAddrs []netip.AddrPort
	loops    []loop
	udp      []*net.UDPConn
	tcp, tls []net.Listener
	counters []*counters // of the loops, then of the connections
	nextTCP  atomic.Uint32

	writeTime time.Duration // writeTime, except in tests
	placeTime time.Duration // placeTime, except in tests
	conns     connTable
	transfers transferCounts
	seconds   secondaryCounts
	slots     *transferSlots
	buffers   sync.Pool // *[]byte: answers of one TCP write
	push      *push.Server
	sessions  sync.Pool     // *conn without a connection: they answer the queries of sessions
	updated   chan struct{} // a token when settings changed

	closeOnce sync.Once
	closed    chan struct{}
	panicLog  atomic.Int64 // when a panic was last logged: unix seconds
}

// loop serves one UDP socket until it is closed.
type loop interface {
	run(ctx context.Context) error
}

// Listen checks c and opens all sockets; queries wait in them until Run.
// Close must be called, whether or not Run is.
func Listen(c Config) (*Server, error) { return listen(c, false) }

func listen(c Config, portable bool) (*Server, error) {
	s := &Server{
		secret: randomSecret(), portable: portable,
		updated: make(chan struct{}, 1), closed: make(chan struct{}),
		writeTime: writeTime, placeTime: placeTime, slots: newTransferSlots(maxTransfers),
	}
	s.buffers.New = func() any { b := make([]byte, 0, readBuffer); return &b }
	set, err := newSettings(c, s.secret)
	if err != nil {
		return nil, err
	}
	if len(c.Addrs) == 0 && len(c.TLS.Addrs) == 0 {
		return nil, errors.New("nameserver: listen: no address given")
	}
	s.sessions.New = func() any { c := &conn{srv: s}; c.r.count = s.tcpCounters(); return c }
	s.push = push.New(s.forPush(set))
	s.use(set)
	for _, a := range c.Addrs {
		if err := s.listenBoth(a); err != nil {
			s.Close()
			return nil, err
		}
	}
	for _, a := range c.TLS.Addrs {
		ln, err := net.Listen("tcp", a)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("nameserver: %w", err)
		}
		s.tls = append(s.tls, ln)
		s.tlsAddrs = append(s.tlsAddrs, ln.Addr().(*net.TCPAddr).AddrPort())
	}
	for range tcpShards {
		s.counters = append(s.counters, new(counters))
	}
	return s, nil
}

// listenBoth opens one address for TCP and UDP.
func (s *Server) listenBoth(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("nameserver: listen %q: want host:port: %w", addr, err)
	}
	tries := 1
	if port == "0" {
		tries = portTries
	}
	for try := 1; ; try++ {
		err := s.tryBoth(host, port)
		if err == nil {
			return nil
		}
		if try == tries {
			return fmt.Errorf("nameserver: %w", err) // which names the address
		}
	}
}

// tryBoth opens TCP first, which proves that no other server has the port: UDP sockets
// with SO_REUSEPORT could share it.
func (s *Server) tryBoth(host, port string) error {
	ctx := context.Background()
	suffix := "" // of the network; an empty host means both families
	if ip, err := netip.ParseAddr(host); err == nil {
		// The IPv4 wildcard takes IPv4 only; the IPv6 one takes both where the system
		// does.
		if ip.Is4() {
			suffix = "4"
		} else if !ip.IsUnspecified() {
			suffix = "6"
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp"+suffix, net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	local := ln.Addr().(*net.TCPAddr).AddrPort()
	port = strconv.Itoa(int(local.Port()))
	if host != "" {
		// A name may have several addresses: UDP gets the one that TCP got.
		host = local.Addr().Unmap().String()
	}
	sockets := runtime.GOMAXPROCS(0)
	if s.portable {
		sockets = 1
	}
	conns, err := listenUDP(ctx, "udp"+suffix, net.JoinHostPort(host, port), sockets)
	if err != nil {
		ln.Close()
		return err
	}
	s.tcp = append(s.tcp, ln)
	s.udp = append(s.udp, conns...)
	s.addrs = append(s.addrs, netip.AddrPortFrom(local.Addr().Unmap(), local.Port()))
	for _, c := range conns {
		count := new(counters)
		l, err := s.newLoop(c, count)
		if err != nil {
			return err
		}
		s.loops = append(s.loops, l)
		s.counters = append(s.counters, count)
	}
	return nil
}

// Addrs returns the addresses served over UDP and TCP, in the order of
// Config.Addrs, with the ports taken.
func (s *Server) Addrs() []netip.AddrPort { return append([]netip.AddrPort(nil), s.addrs...) }

// TLSAddrs returns the addresses served over TLS.
func (s *Server) TLSAddrs() []netip.AddrPort { return append([]netip.AddrPort(nil), s.tlsAddrs...) }

// Update replaces everything but the addresses: later queries see all of c, earlier
// ones nothing of it. A c with an error changes nothing.
func (s *Server) Update(c Config) error {
	set, err := newSettings(c, s.secret)
	if err != nil {
		return err
	}
	if len(s.tls) > 0 && set.TLS.Config == nil {
		return errors.New("nameserver: update: TLS: no certificate given")
	}
	s.use(set)
	s.push.Update(s.forPush(set))
	select {
	case s.updated <- struct{}{}:
	default: // Run has not taken the last token yet; it will see this update, too
	}
	return nil
}

func (s *Server) use(set *settings) {
	old := s.settings.Load()
	if old == nil || old.RateLimit != set.RateLimit {
		s.limiter.Store(newLimiter(set.RateLimit, newSipKey(s.secret)))
	}
	set.redraw(time.Now()) // a new zone has the samples of the one that it replaces
	s.settings.Store(set)
}

// Run serves until ctx ends or Close is called, and returns nil; or until a
// socket fails, and returns why. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failures := make(chan error, len(s.loops)+len(s.tcp)+len(s.tls))
	start := func(run func() error) {
		wg.Go(func() {
			if err := run(); err != nil {
				failures <- err
				cancel()
			}
		})
	}
	for _, l := range s.loops {
		start(func() error { return l.run(ctx) })
	}
	for _, ln := range s.tcp {
		start(func() error { return s.acceptLoop(ctx, ln, overTCP, &wg) })
	}
	for _, ln := range s.tls {
		start(func() error { return s.acceptLoop(ctx, ln, overTLS, &wg) })
	}
	wg.Go(func() { s.notifyLoop(ctx) })
	wg.Go(func() { s.redrawLoop(ctx) })

	select {
	case <-ctx.Done():
	case <-s.closed:
		cancel()
	}
	s.conns.drain()
	s.push.Drain()
	s.closeSockets()
	force := time.AfterFunc(drainTime, func() { s.conns.close(); s.push.Close() })
	wg.Wait()
	s.push.Wait()
	force.Stop()
	s.Close()
	select {
	case err := <-failures:
		return err
	default:
		return nil
	}
}

// notifyLoop runs the notifiers of the settings in force.
func (s *Server) notifyLoop(ctx context.Context) {
	for ctx.Err() == nil {
		round, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		set := s.settings.Load()
		wg.Go(func() { s.runNotify(round, set) })
		select {
		case <-ctx.Done():
		case <-s.updated:
		}
		cancel()
		wg.Wait()
	}
}

// redrawEvery is how long an instance outside of a sample waits for the next one.
// Clients that follow the answers change their connections with each sample, which must
// not happen once a TTL.
const redrawEvery = 10 * time.Minute

// redrawLoop lets the zones draw samples again, whenever the clock passes a multiple of
// redrawEvery: several dnsd then change their samples at the same time.
func (s *Server) redrawLoop(ctx context.Context) {
	wait := func(now time.Time) time.Duration { return now.Truncate(redrawEvery).Add(redrawEvery).Sub(now) }
	next := time.NewTimer(wait(time.Now()))
	defer next.Stop()
	for {
		select {
		case <-next.C:
			now := time.Now()
			s.settings.Load().redraw(now)
			next.Reset(wait(now))
		case <-ctx.Done():
			return
		}
	}
}

// redraw makes the turn from the time, so that servers that share a zone, or hold equal
// ones, give it the same one.
func (set *settings) redraw(now time.Time) {
	for i := range set.zones {
		set.zones[i].zone.Redraw(uint64(now.Unix() / int64(redrawEvery/time.Second)))
	}
}

// Close stops the server at once and frees its addresses. It may be called
// more than once.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		close(s.closed)
		s.closeSockets()
		s.conns.close()
		s.push.Close()
	})
	return nil
}

func (s *Server) closeSockets() {
	for _, c := range s.udp {
		c.Close()
	}
	for _, ln := range s.tcp {
		ln.Close()
	}
	for _, ln := range s.tls {
		ln.Close()
	}
}

// prepare brings a responder up to date, once for each batch.
func (s *Server) prepare(r *responder, now time.Time) {
	r.set, r.limiter, r.now = s.settings.Load(), s.limiter.Load(), uint32(now.Unix())
}

func (s *Server) tcpCounters() *counters {
	return s.counters[len(s.counters)-tcpShards+int(s.nextTCP.Add(1)%tcpShards)]
}

// hungUp tells whether a write failed because the client is gone.
func hungUp(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// panicked appends SERVFAIL for msg, which caused the panic p: one query must not end
// the answers to others.
func (s *Server) panicked(r *responder, dst, msg []byte, p any) []byte {
	r.count.panics.Add(1)
	r.count.failed.Add(1)
	now := time.Now().Unix()
	if last := s.panicLog.Load(); now-last >= int64(tellEvery/time.Second) && s.panicLog.CompareAndSwap(last, now) {
		// Such a query can be sent again and again.
		s.settings.Load().log.Error("panic while answering", "panic", p, "query", fmt.Sprintf("%x", msg), "stack", string(debug.Stack()))
	}
	r.transfer = nil
	if len(msg) < headerLen || r.q.end > len(msg) {
		return dst
	}
	return r.short(dst, msg, dns.RcodeServerFailure, 0, &noExtra)
}

// runTransfer sends t over c, when there is room for one more, and counts it.
func (s *Server) runTransfer(ctx context.Context, t *transfer, c *conn) error {
	log := s.settings.Load().log.With("zone", t.question.Name, "to", c.from)
	if err := s.slots.take(ctx, c, func() { log.Info("transfer waits until another is done", "places", cap(s.slots.places)) }); err != nil {
		return err
	}
	defer s.slots.leave(c)
	kind, err := t.send(ctx, c.writeTransfer)
	if err != nil {
		s.transfers.failed.Add(1)
		s.seconds.count(c.from, func(n *SecondaryCount) { n.TransfersFailed++ })
		level := slog.LevelWarn
		if hungUp(err) || ctx.Err() != nil {
			level = slog.LevelDebug // NSD hangs up after it has seen the SOA
		}
		log.Log(ctx, level, "transfer failed", "error", err)
		return err
	}
	switch kind {
	case sentAXFR:
		s.transfers.axfr.Add(1)
		s.seconds.count(c.from, func(n *SecondaryCount) { n.AXFR++ })
		if t.ixfr {
			s.transfers.fallback.Add(1)
		}
	case sentIXFR:
		s.transfers.ixfr.Add(1)
		s.seconds.count(c.from, func(n *SecondaryCount) { n.IXFR++ })
	}
	log.Debug("transfer sent", "incremental", kind == sentIXFR)
	return nil
}
