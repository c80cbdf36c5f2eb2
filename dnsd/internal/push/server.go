package push

import (
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"

	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// Config is what a Server does. A Server without zones refuses all names.
type Config struct {
	// Zones are found by longest match.
	Zones []*zone.Zone
	// Off refuses all sessions, and ends those that there are.
	Off bool
	// Limits bound what clients hold. Zero fields have their defaults.
	Limits Limits
	// Answer appends the framed answer to a query that comes on a session, which a client
	// may send beside its subscriptions (RFC 8490 section 4.1). fatal says that the query
	// is not allowed there. It is called from many goroutines. nil: there are no answers.
	Answer func(dst, msg []byte, from netip.Addr, tls bool) (out []byte, fatal bool)
	// Reconfirm is told of a record of a zone that a client could not use (RFC 8765
	// section 6.5). Each call has a goroutine of its own, and few run at one time. nil: no
	// record is doubted.
	Reconfirm func(z *zone.Zone, rr dns.RR)
	// Logger gets what an operator should see; nil is silent.
	Logger *slog.Logger
}

// Server holds the sessions of one name server. Make it with New; its methods may be called
// from any goroutine.
type Server struct {
	config atomic.Pointer[Config]
	hubs   atomic.Pointer[map[string]*hub] // by origin
	stats  counts
	doubts chan struct{} // has a value for each Reconfirm that runs
	bufs   sync.Pool     // *[]byte, for messages on their way to a socket

	wg sync.WaitGroup // of readers, writers and hubs: a reader keeps it above 0 while others start

	total  share // of all clients
	held   held
	making func(name string) // called before a way is made, without a lock; nil, except in tests

	mu       sync.Mutex // guards what follows
	sessions map[*session]struct{}
	places   int                    // sessions, and places for some
	clients  map[netip.Addr]*holder // by limit.Client
	closed   bool
}

const (
	// mostDoubts is how many records are checked at one time, because each check opens a
	// connection to an instance.
	mostDoubts = 64
	// scratch has room for what is written at once: see session.nextLocked.
	scratch = dso.MaxPush + 2
)

// New makes a Server. It runs nothing while there are no sessions.
func New(c Config) *Server {
	s := &Server{
		doubts:   make(chan struct{}, mostDoubts),
		sessions: make(map[*session]struct{}), clients: make(map[netip.Addr]*holder),
	}
	s.total.doubts = rate.NewLimiter(doubtsOfAll, doubtsOfAllBurst)
	s.held.most = mostHeld
	s.held.abort = func(ses *session) {
		s.wg.Go(func() {
			ses.abort("clients that read too slowly hold too much memory, and this one is the furthest behind")
		})
	}
	s.bufs.New = func() any { b := make([]byte, 0, scratch); return &b }
	s.hubs.Store(new(map[string]*hub))
	s.Update(c)
	return s
}

// Update replaces the configuration. A zone of the same origin takes the place of the one
// before, and subscribers are sent the difference. Sessions with a subscription in a zone
// that is gone are ended with NOTAUTH, for a second if they have others, and all of them with
// REFUSED if c is Off (RFC 8490 section 6.6.1).
func (s *Server) Update(c Config) {
	c.Limits = c.Limits.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s.mu.Lock()
	old, next := *s.hubs.Load(), make(map[string]*hub, len(c.Zones))
	var replaced []*hub
	for _, z := range c.Zones {
		h := old[z.Origin()]
		if h == nil {
			h = newHub(s, z)
		} else {
			replaced = append(replaced, h)
		}
		next[z.Origin()] = h
	}
	s.config.Store(&c)
	s.hubs.Store(&next)
	s.mu.Unlock()
	for _, h := range replaced {
		h.use(c.zone(h.origin))
	}
	var gone, others []*session
	for origin, h := range old {
		if next[origin] != nil {
			continue
		}
		for _, ses := range h.close() {
			if ses.within(next) {
				others = append(others, ses)
			} else {
				gone = append(gone, ses)
			}
		}
	}
	if c.Off {
		s.drain(s.all(), dns.RcodeRefused, dso.DefaultRetryDelay(dns.RcodeRefused))
		return
	}
	s.drain(gone, dns.RcodeNotAuth, dso.DefaultRetryDelay(dns.RcodeNotAuth))
	// They come back for the zones that are left, and are refused the one that is gone.
	s.drain(others, dns.RcodeNotAuth, comeBack)
}

// zone is the zone of an origin.
func (c *Config) zone(origin string) *zone.Zone {
	for _, z := range c.Zones {
		if z.Origin() == origin {
			return z
		}
	}
	return nil
}

// find returns the hub of the zone that a name lies in, or nil.
func (s *Server) find(name string) *hub {
	for hubs := *s.hubs.Load(); ; {
		if h := hubs[name]; h != nil {
			return h
		}
		next, end := dns.NextLabel(name, 0)
		if end {
			return nil
		}
		name = name[next:]
	}
}

// Conn is a connection on which the first message of DNS Stateful Operations came.
type Conn struct {
	net.Conn            // of TCP or TLS
	Wire     *Wire      // below TLS; nil: it is made of Conn
	From     netip.Addr // of the client
	Buffered []byte     // what was read from it: whole frames, and perhaps a part of one
	TLS      bool       // whether Conn is private (RFC 8765 section 7)
	Place    *Place     // of Reserve; nil: there has to be room yet
}

// Takes tells whether a message begins a session.
func (s *Server) Takes(msg []byte) bool {
	const response = 0x80
	return dso.Is(msg) && msg[2]&response == 0 && !s.config.Load().Off
}

// Serve takes c over, and returns at once. false means that there is no room for a session:
// the connection remains the caller's, and its first message gets what Refuse says.
func (s *Server) Serve(c Conn) bool {
	ses := newSession(s, c)
	if !s.enter(ses, c.Place) {
		s.stats.refused.Add(1)
		s.tell("push: no room for the session of a client: see sessions and per-address of push", "client", c.From)
		return false
	}
	ses.wire.live = true
	go ses.begin(append([]byte(nil), c.Buffered...))
	return true
}

// Refuse appends the framed answer to the first message of a connection for which there is
// no room. The client is to come back when others have gone, and not together with all that
// were refused.
func (s *Server) Refuse(dst, msg []byte, from netip.Addr) []byte {
	m, err := dso.Read(msg, dso.FromClient)
	switch {
	case !m.Request():
		return dst
	case err != nil:
		return dso.AppendResponse(dst, m.ID, dso.Rcode(err))
	}
	return dso.AppendResponse(dst, m.ID, dns.RcodeRefused, dso.RetryDelay(s.again(from)))
}

// Wait returns when the last session has ended.
func (s *Server) Wait() { s.wg.Wait() }

// Close aborts all sessions and takes no further ones.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, ses := range s.all() {
		ses.abort("the server is closed")
	}
}

// tellEvery is how often something is logged that any client can cause.
const tellEvery = time.Minute

// tell logs what a client has done, at most once a minute for all of them.
func (s *Server) tell(msg string, args ...any) {
	now := time.Now().UnixNano()
	if last := s.stats.told.Load(); now-last >= int64(tellEvery) && s.stats.told.CompareAndSwap(last, now) {
		s.config.Load().Logger.Warn(msg, args...)
	}
}

// panicked logs a panic, at most once a minute, because a client may be able to repeat it.
// What it was about has to end: a panic must not end dnsd.
func (s *Server) panicked(p any, about ...any) {
	s.stats.panics.Add(1)
	now := time.Now().UnixNano()
	if last := s.stats.panicTold.Load(); now-last >= int64(tellEvery) && s.stats.panicTold.CompareAndSwap(last, now) {
		s.config.Load().Logger.Error("push: panic", append([]any{"panic", p, "stack", string(debug.Stack())}, about...)...)
	}
}

// doubt lets Config.Reconfirm check a record, unless the zone does not have it, or too many
// are being checked. A client that still doubts the record says so again (RFC 8765 section
// 6.5).
func (s *Server) doubt(rr dns.RR, from *holder) {
	check := s.config.Load().Reconfirm
	h := s.find(strings.ToLower(rr.Header().Name))
	if check == nil || h == nil || !from.doubts.Allow() || !s.total.doubts.Allow() {
		return
	}
	z := h.current()
	for _, has := range z.View().Set(rr.Header().Name, rr.Header().Rrtype) {
		if !dns.IsDuplicate(has, rr) {
			continue
		}
		select {
		case s.doubts <- struct{}{}:
		default:
			return
		}
		s.stats.reconfirmed.Add(1)
		s.wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					s.panicked(p, "record", has)
				}
				<-s.doubts
			}()
			check(z, has)
		})
		return
	}
}

// Tests: session_test.go, server_test.go.
