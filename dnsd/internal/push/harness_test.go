package push

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
	"github.com/rollcall-dns/rollcall/dnsd/internal/zone"
	"github.com/rollcall-dns/rollcall/internal/dso"
)

// world is a zone and the registry behind it.
type world struct {
	t    testing.TB
	zone *zone.Zone
	rev  uint64
	all  map[registry.Key]*registry.Instance
}

func newWorld(t testing.TB, origin string) *world {
	t.Helper()
	z, err := zone.New(zone.Config{Origin: origin, NSAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53")}})
	if err != nil {
		t.Fatal(err)
	}
	z.Load(1, func(func(*registry.Instance) bool) {}, nil)
	return &world{t: t, zone: z, rev: 1, all: map[registry.Key]*registry.Instance{}}
}

func instance(service string, n int) *registry.Instance {
	return &registry.Instance{
		Key:  registry.Key{Service: service, ID: fmt.Sprintf("a%d", n)},
		Host: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String(),
		Port: uint16(8000 + n%1000), Priority: 10, Weight: uint16(1 + n%100),
		TTL: 5 * time.Second, Lease: 15 * time.Second,
	}
}

// change makes one change. A nil now removes the instance, if it is there.
func (w *world) change(key registry.Key, now *registry.Instance) {
	if now == nil && w.all[key] == nil {
		return
	}
	w.rev++
	c := registry.Change{Revision: w.rev, Time: time.Now(), Old: w.all[key], New: now}
	if now == nil {
		delete(w.all, key)
	} else {
		w.all[key] = now
	}
	w.zone.Apply([]registry.Change{c})
}

func (w *world) put(service string, n int) { in := instance(service, n); w.change(in.Key, in) }

func (w *world) remove(service string, n int) { w.change(instance(service, n).Key, nil) }

// load replaces the content by n instances of a service.
func (w *world) load(service string, n int) {
	w.rev++
	w.all = map[registry.Key]*registry.Instance{}
	var ins []*registry.Instance
	for i := range n {
		in := instance(service, i)
		w.all[in.Key] = in
		ins = append(ins, in)
	}
	w.zone.Load(w.rev, slices.Values(ins), nil)
}

func (w *world) addrs() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.53")} }

// newServer makes a server that ends with the test.
func newServer(t testing.TB, c Config) *Server {
	t.Helper()
	s := New(c)
	t.Cleanup(func() { s.Close(); s.Wait() })
	return s
}

// client is one that follows, made of package dso.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	sets map[uint16]*followed
	from netip.Addr
}

func newClient(t testing.TB, c net.Conn) *client {
	return &client{t: t, conn: c, in: bufio.NewReader(c), sets: map[uint16]*followed{}}
}

// followed is what a client knows of one subscription.
type followed struct {
	records  map[string]bool
	revision uint64
	stale    bool
	whole    bool // the last message is one that ends a revision
	messages int
}

// connect opens a session by a pipe, on which each write waits for its reader.
func connect(t testing.TB, s *Server, private bool) *client {
	t.Helper()
	ours, theirs := pipe(t)
	if !s.Serve(Conn{Conn: theirs, From: netip.MustParseAddr("192.0.2.1"), TLS: private}) {
		t.Fatal("no room for a session")
	}
	return newClient(t, ours)
}

func pipe(t testing.TB) (ours, theirs net.Conn) {
	ours, theirs = net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// connectTCP opens a session over a socket.
func connectTCP(t testing.TB, s *Server) *client {
	t.Helper()
	ours, theirs := socket(t)
	if !s.Serve(Conn{Conn: theirs, From: netip.MustParseAddr("127.0.0.1")}) {
		t.Fatal("no room for a session")
	}
	return newClient(t, ours)
}

func socket(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if ours, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	if theirs, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

func (c *client) send(frame []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(frame); err != nil {
		c.t.Fatal(err)
	}
}

// frame reads one message, or returns the error of the connection.
func (c *client) frame() ([]byte, error) {
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var size [2]byte
	if _, err := io.ReadFull(c.in, size[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c.in, msg)
	return msg, err
}

// read reads one message of the server, and applies it if it is a SET.
func (c *client) read() dso.Message {
	c.t.Helper()
	msg, err := c.frame()
	if err != nil {
		c.t.Fatal(err)
	}
	m, err := dso.Read(msg, dso.FromServer)
	if err != nil {
		c.t.Fatal(err)
	}
	if m.Primary.Type == dso.TypeSet {
		c.apply(m)
	}
	return m
}

func (c *client) apply(m dso.Message) {
	c.t.Helper()
	set, err := m.Set()
	if err != nil {
		c.t.Fatal(err)
	}
	f := c.sets[set.ID]
	switch {
	case f == nil && set.Flags&dso.Whole == 0:
		c.t.Fatalf("the first SET of %d is not whole", set.ID)
	case set.Flags&dso.Whole != 0:
		f = &followed{records: map[string]bool{}}
		if was := c.sets[set.ID]; was != nil {
			f.revision, f.messages = was.revision, was.messages
		}
		c.sets[set.ID] = f
	}
	if set.Revision < f.revision {
		c.t.Errorf("revision %d after %d", set.Revision, f.revision)
	}
	f.revision, f.stale, f.whole = set.Revision, set.Flags&dso.Stale != 0, set.Flags&dso.More == 0
	f.messages++
	for _, ch := range set.Changes {
		key := identity(ch.RR)
		if ch.Op == dso.Remove {
			if !f.records[key] {
				c.t.Errorf("removed without being there: %s", key)
			}
			delete(f.records, key)
			continue
		}
		f.records[key] = true
	}
}

// identity is a record without its TTL, which a removal does not have.
func identity(rr dns.RR) string {
	rr = dns.Copy(rr)
	rr.Header().Ttl = 0
	return rr.String()
}

// request sends a request and returns its response, reading what comes before.
func (c *client) request(frame []byte) dso.Message {
	c.t.Helper()
	c.send(frame)
	id := binary.BigEndian.Uint16(frame[2:])
	for {
		if m := c.read(); m.Response {
			if m.ID != id {
				c.t.Fatalf("response to %d, expected %d", m.ID, id)
			}
			return m
		}
	}
}

func frameOf(t testing.TB, frame []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// follow begins a subscription and reads its first set.
func (c *client) follow(id uint16, name string) *followed {
	c.t.Helper()
	frame, err := dso.AppendFollow(nil, id, name)
	m := c.request(frameOf(c.t, frame, err))
	if m.Rcode != dns.RcodeSuccess || m.Followed() != nil {
		c.t.Fatalf("FOLLOW %s: %s %v", name, dns.RcodeToString[m.Rcode], m.Followed())
	}
	c.until("the first set", func() bool { return c.sets[id] != nil && c.sets[id].whole })
	return c.sets[id]
}

// until reads until something is true.
func (c *client) until(what string, done func() bool) {
	c.t.Helper()
	for n := 0; !done(); n++ {
		if n == 10_000 {
			c.t.Fatalf("read in vain for %s", what)
		}
		c.read()
	}
}

// knows reads until the client knows the records of a name in the zone.
func (c *client) knows(id uint16, w *world, name string) {
	c.t.Helper()
	c.until("all of "+name, func() bool { f := c.sets[id]; return f.whole && f.revision >= w.rev })
	if got, want := sorted(c.sets[id].records), expected(w, name); !slices.Equal(got, want) {
		c.t.Errorf("%s: the client knows\n%s\nthe zone has\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func sorted(records map[string]bool) []string {
	var out []string
	for r := range records {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

// expected is what a client that follows a name knows at the end.
func expected(w *world, name string) []string {
	set := map[string]bool{}
	for _, rr := range w.zone.View().Followed(name) {
		set[identity(rr)] = true
	}
	return sorted(set)
}

// ready waits a little for the beginning of a message.
func (c *client) ready() bool {
	c.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.in.Peek(1)
	return err == nil
}

// closed reads until the connection is closed by the server.
func (c *client) closed() {
	c.t.Helper()
	for {
		if _, err := c.frame(); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				c.t.Fatal("the connection is still open")
			}
			return
		}
	}
}
