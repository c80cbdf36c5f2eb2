package resolver

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeNet is a network of name servers in memory: its connections block durably,
// so that whole days of resolving pass in a moment under testing/synctest.
type fakeNet map[string]*fakeServer

// handler answers a query with any number of raw messages; none is silence.
type handler func(network string, q *dns.Msg) [][]byte

type fakeServer struct {
	mu      sync.Mutex
	handle  handler
	faults  map[string]error // by network: what its host, or ours, does with packets
	queries []asked

	push       *fakePush // what it does with sessions of DSO; nil: it does not know DSO
	discovered bool      // its handler answers questions that look for DNS push
}

// fault has every packet of a network end in an error, nil: no more.
func (s *fakeServer) fault(network string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults == nil {
		s.faults = map[string]error{}
	}
	s.faults[network] = err
}

func (s *fakeServer) faultOf(network string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[network]
}

// asked is a query as it came to a server.
type asked struct {
	at      time.Time
	network string
	id      uint16
	name    string
	typ     string
	edns    uint16
}

func newServer(h handler) *fakeServer { return &fakeServer{handle: h} }

// pushes is what it does with sessions of DSO.
func (s *fakeServer) pushes() *fakePush {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.push
}

// become changes what the server says from now on.
func (s *fakeServer) become(h handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle = h
}

// asked gives all queries of a type so far.
func (s *fakeServer) asked(typ string) []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.queries), func(a asked) bool { return a.typ != typ })
}

func (s *fakeServer) answer(network string, packet []byte) [][]byte {
	q := new(dns.Msg)
	if err := q.Unpack(packet); err != nil {
		return nil
	}
	if q.Opcode == dns.OpcodeStateful {
		m := new(dns.Msg)
		m.Response, m.Id, m.Opcode, m.Rcode = true, q.Id, q.Opcode, dns.RcodeNotImplemented
		return pack(m)
	}
	if !s.discovered && (q.Question[0].Qtype == dns.TypeSOA || strings.HasPrefix(q.Question[0].Name, pushService)) {
		return rcode(dns.RcodeServerFailure)(network, q) // it looks for DNS push, of which most tests know nothing
	}
	a := asked{at: time.Now(), network: network, id: q.Id, name: q.Question[0].Name, typ: dns.Type(q.Question[0].Qtype).String()}
	if opt := q.IsEdns0(); opt != nil {
		a.edns = opt.UDPSize()
	}
	s.mu.Lock()
	s.queries = append(s.queries, a)
	h := s.handle
	s.mu.Unlock()
	return h(network, q)
}

// dial is a Resolver.Dial. An address without a server refuses.
func (n fakeNet) dial(_ context.Context, network, addr string) (net.Conn, error) {
	s := n[addr]
	if s == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	err := s.faultOf(network)
	if err != nil && network == "tcp" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	client, server := net.Pipe()
	if err != nil {
		server.Close()
		return faultyConn{client, &net.OpError{Op: "write", Net: network, Err: err}}, nil
	}
	go func() {
		defer server.Close()
		if network == "udp" {
			s.servePackets(server)
		} else {
			s.serveStream(server)
		}
	}()
	return client, nil
}

// faultyConn is a datagram socket on which nothing can be sent.
type faultyConn struct {
	net.Conn
	err error
}

func (c faultyConn) Write([]byte) (int, error) { return 0, c.err }

func (s *fakeServer) servePackets(conn net.Conn) {
	buf := make([]byte, 65535)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		packet := slices.Clone(buf[:n])
		go func() { // a slow answer holds up no other
			for _, reply := range s.answer("udp", packet) {
				if _, err := conn.Write(reply); err != nil {
					return
				}
			}
		}()
	}
}

func (s *fakeServer) serveStream(conn net.Conn) {
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, packet); err != nil {
			return
		}
		if push := s.pushes(); push != nil && dso.Is(packet) {
			push.serve(conn, packet)
			return
		}
		for _, reply := range s.answer("tcp", packet) {
			framed := binary.BigEndian.AppendUint16(nil, uint16(len(reply)))
			if _, err := conn.Write(append(framed, reply...)); err != nil {
				return
			}
		}
	}
}

// zone is a handler that answers from records in zone file syntax as an
// authoritative server would: glue, negative answers with the SOA if there is
// one, TC beyond the size the client can take.
func zone(t testing.TB, records ...string) handler {
	t.Helper()
	var rrs []dns.RR
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("record %q: %v", line, err)
		}
		rrs = append(rrs, rr)
	}
	return func(network string, q *dns.Msg) [][]byte {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		answerFrom(rrs, m)
		return fit(network, q, m)
	}
}

func answerFrom(rrs []dns.RR, m *dns.Msg) {
	q := m.Question[0]
	name, exists := strings.ToLower(q.Name), false
	for range maxAliases {
		alias := ""
		for _, rr := range rrs {
			h := rr.Header()
			if strings.ToLower(h.Name) != name {
				continue
			}
			exists = true
			if c, ok := rr.(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
				m.Answer = append(m.Answer, rr)
				alias = strings.ToLower(c.Target)
			} else if h.Rrtype == q.Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	data := false
	for _, rr := range m.Answer {
		data = data || rr.Header().Rrtype == q.Qtype
		s, ok := rr.(*dns.SRV)
		if !ok {
			continue
		}
		for _, g := range rrs {
			t := g.Header().Rrtype
			if g.Header().Name == s.Target && (t == dns.TypeA || t == dns.TypeAAAA) && !slices.Contains(m.Extra, g) {
				m.Extra = append(m.Extra, g)
			}
		}
	}
	if data {
		return
	}
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	for _, rr := range rrs {
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		}
	}
}

// fit packs a message for a client, dropping glue and then setting TC.
func fit(network string, q, m *dns.Msg) [][]byte {
	size := 512
	if opt := q.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
		m.SetEdns0(1232, false)
	}
	if network == "tcp" {
		size = 65535
	}
	m.Compress = true
	m.Truncate(size)
	return pack(m)
}

func pack(m *dns.Msg) [][]byte {
	packet, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return [][]byte{packet}
}

// withoutGlue leaves the additional records out of what another says.
func withoutGlue(t testing.TB, h handler) handler {
	return func(network string, q *dns.Msg) [][]byte {
		m := new(dns.Msg)
		if err := m.Unpack(h(network, q)[0]); err != nil {
			t.Error(err)
		}
		m.Extra = nil
		return pack(m)
	}
}

// rcode is a handler that fails in one way.
func rcode(code int) handler {
	return func(_ string, q *dns.Msg) [][]byte { return pack(new(dns.Msg).SetRcode(q, code)) }
}

func silence(string, *dns.Msg) [][]byte { return nil }

// client gives a Resolver on the network that asks these servers.
func (n fakeNet) client(servers ...string) *Resolver {
	return &Resolver{Servers: servers, Dial: n.dial, source: func(a netip.Addr) netip.Addr { return a }}
}

// one gives a network of one server, and its client.
func one(h handler) (*fakeServer, *Resolver) {
	s := newServer(h)
	return s, fakeNet{"ns1:53": s}.client("ns1")
}

// addrs is a State as the words of a test.
func addrs(s State) string {
	var out []string
	for _, ep := range s.Endpoints {
		out = append(out, strings.Join(append([]string{ep.Addr}, ep.Alt...), "|"))
	}
	return strings.Join(out, " ")
}

// watcher collects what a Watch yields.
type watcher struct {
	mu     sync.Mutex
	states []State
	times  []time.Time
	stop   context.CancelFunc
	done   chan struct{}
}

func watch(t testing.TB, r *Resolver, name string) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for s := range r.Watch(ctx, name) {
			w.mu.Lock()
			w.states, w.times = append(w.states, s), append(w.times, time.Now())
			w.mu.Unlock()
		}
	}()
	return w
}

// close ends the Watch and waits for that.
func (w *watcher) close() {
	w.stop()
	<-w.done
}

func (w *watcher) seen() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.states)
}

func (w *watcher) last() State {
	all := w.seen()
	if len(all) == 0 {
		return State{}
	}
	return all[len(all)-1]
}
