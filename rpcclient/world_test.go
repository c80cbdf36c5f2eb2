package rpcclient

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/resolver"
)

// world has many clients, a DNS server and instances, in fake time. It notes each dial, and
// each query that reaches the DNS server or would reach it.
type world struct {
	mu      sync.Mutex // guards what follows
	dnsd    bool       // the DNS server works
	up      map[string]bool
	conns   map[string]map[net.Conn]bool // the servers' ends
	queries []time.Time
	dials   []time.Time
	answer  []byte              // to a query for SRV, without its id and name
	odd     func(q, m *dns.Msg) // answers instead, if not nil
	seed    uint64              // of the resolvers
}

const stormTTL = 5 // seconds, the default of a registration

// newWorld makes a world with this number of instances, of priority 10 or the given ones.
func newWorld(t *testing.T, instances int, priorities ...uint16) *world {
	s := &world{dnsd: true, up: map[string]bool{}, conns: map[string]map[net.Conn]bool{}}
	m := new(dns.Msg)
	m.SetQuestion("_math._tcp.svc.", dns.TypeSRV)
	m.Response, m.Authoritative, m.Compress = true, true, true
	for i := range instances {
		priority := uint16(10)
		if i < len(priorities) {
			priority = priorities[i]
		}
		target, addr := fmt.Sprintf("a%d.math.tcp.svc.", i), fmt.Sprintf("10.0.0.%d", i+1)
		m.Answer = append(m.Answer, &dns.SRV{Hdr: dns.RR_Header{Name: "_math._tcp.svc.", Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: stormTTL}, Priority: priority, Weight: 100, Port: 80, Target: target})
		m.Extra = append(m.Extra, &dns.A{Hdr: dns.RR_Header{Name: target, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: stormTTL}, A: net.ParseIP(addr)})
		s.up[addr+":80"] = true
		s.conns[addr+":80"] = map[net.Conn]bool{}
	}
	var err error
	if s.answer, err = m.Pack(); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask is the network of the resolvers: a query is answered at once, or refused.
func (s *world) ask(_ context.Context, network, _ string) (net.Conn, error) {
	if network == "tcp" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queries = append(s.queries, time.Now())
		return nil, syscall.ECONNREFUSED // answers larger than a datagram are not simulated
	}
	return &worldConn{world: s, come: make(chan []byte, 1), closed: make(chan struct{})}, nil
}

// worldConn is a UDP socket connected to the DNS server.
type worldConn struct {
	net.Conn // nil: the resolver calls no other method
	world    *world
	come     chan []byte
	closed   chan struct{}
	once     sync.Once
}

func (c *worldConn) Write(p []byte) (int, error) {
	s := c.world
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, time.Now())
	if !s.dnsd {
		c.come <- nil
		return len(p), nil
	}
	if s.odd != nil {
		q, m := new(dns.Msg), new(dns.Msg)
		if err := q.Unpack(p); err != nil {
			return 0, err
		}
		m.SetReply(q)
		s.odd(q, m)
		out, err := m.Pack()
		if err != nil {
			return 0, err
		}
		c.come <- out
		return len(p), nil
	}
	out := bytes.Clone(s.answer)
	copy(out, p[:2])                                           // the id
	copy(out[12:12+len("\x05_math\x04_tcp\x03svc")+1], p[12:]) // and the name in the case of the query
	c.come <- out
	return len(p), nil
}

func (c *worldConn) Read(p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case out := <-c.come:
		if out == nil {
			return 0, syscall.ECONNREFUSED
		}
		return copy(p, out), nil
	}
}

func (c *worldConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
func (c *worldConn) SetDeadline(time.Time) error      { return nil }
func (c *worldConn) SetReadDeadline(time.Time) error  { return nil }
func (c *worldConn) SetWriteDeadline(time.Time) error { return nil }
func (c *worldConn) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (c *worldConn) RemoteAddr() net.Addr             { return &net.UDPAddr{} }

// dial is the network of the clients.
func (s *world) dial(_ context.Context, ep resolver.Endpoint) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	if !s.up[ep.Addr] {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	s.conns[ep.Addr][theirs] = true
	go func() {
		silentWith(newPeer(theirs)) // answers pings
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns[ep.Addr], theirs)
	}()
	return ours, nil
}

// kill ends an instance as SIGKILL does.
func (s *world) kill(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up[addr] = false
	for nc := range s.conns[addr] {
		nc.Close()
	}
}

func (s *world) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// join starts clients within one TTL, as a deployment does. While a client has no usable
// node, a call of it waits most of the time.
func (s *world) join(t *testing.T, clients int) (leave func()) {
	var all []*Client
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for i := range clients {
		time.Sleep(stormTTL * time.Second / time.Duration(clients))
		c, err := New("_math._tcp.svc", &Config{
			Conn: ConnConfig{Dial: s.dial, PingInterval: 2 * time.Hour}, // pings are of no interest here, and slow
			Source: &resolver.Resolver{
				Servers: []string{"10.0.0.53"}, Dial: s.ask, Rand: rand.New(rand.NewPCG(uint64(i), s.seed)),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		calls.Go(func() {
			for ctx.Err() == nil {
				if !anyUp(c) { // else the call would go to a node, and these do not answer
					c.Call(ctx, "Arith.Multiply", &Args{6, 7}, new(int))
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	return func() {
		cancel()
		calls.Wait()
		for _, c := range all {
			c.Close()
		}
	}
}

// anyUp asks the nodes themselves: Stats takes much longer, and each client asks every second.
func anyUp(c *Client) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.nodes {
		if n.up() {
			return true
		}
	}
	return false
}
