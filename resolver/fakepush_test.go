package resolver

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// fakePush is what a server of the test's network does with sessions of DSO. It tells each
// of them about the set of each name that is followed in it.
type fakePush struct {
	mu       sync.Mutex
	revision uint64
	records  map[string][]dns.RR // of each name
	stale    bool
	mute     bool                                  // it answers, and tells about no change
	refuse   func(name string) (int, []dso.TLV)    // RCODE and TLVs for a FOLLOW; nil: NOERROR
	hello    func(id uint16) [][]byte              // frames for a KeepAlive; nil: those of a good server
	greet    func(id uint16, name string) [][]byte // frames after the response to a FOLLOW; nil: the whole set
	shut     bool                                  // it closes each connection that begins a session
	interval time.Duration                         // of keepalives; 0: an hour
	sessions map[*fakeSession]bool
	begun    []time.Time // of each session
	log      []string    // what came, in words
}

type fakeSession struct {
	p    *fakePush
	conn net.Conn
	ids  map[uint16]string

	mu sync.Mutex // guards writing
}

func newPush() *fakePush {
	return &fakePush{revision: 1, records: map[string][]dns.RR{}, sessions: map[*fakeSession]bool{}}
}

// rrs reads records in zone file syntax.
func rrs(t testing.TB, records ...string) []dns.RR {
	t.Helper()
	var out []dns.RR
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("record %q: %v", line, err)
		}
		out = append(out, rr)
	}
	return out
}

func (p *fakePush) serve(conn net.Conn, first []byte) {
	s := &fakeSession{p: p, conn: conn, ids: map[uint16]string{}}
	p.mu.Lock()
	p.sessions[s] = true
	p.begun = append(p.begun, time.Now())
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.sessions, s)
		p.mu.Unlock()
	}()
	p.mu.Lock()
	shut := p.shut
	p.mu.Unlock()
	for packet := first; !shut; {
		if !s.take(packet) {
			return
		}
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		packet = make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, packet); err != nil {
			return
		}
	}
}

// take answers a message. It is false if the connection ends.
func (s *fakeSession) take(packet []byte) bool {
	m, err := dso.Read(packet, dso.FromClient)
	if err != nil {
		s.p.note("broken: " + err.Error())
		return false
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	p := s.p
	switch m.Primary.Type {
	case dso.TypeKeepAlive:
		p.log = append(p.log, "keepalive")
		if p.hello != nil {
			return s.write(p.hello(m.ID)...)
		}
		k := dso.KeepAlive{Inactivity: dso.DefaultTimeout, Interval: max(p.interval, 10*time.Second)}
		if p.interval == 0 {
			k.Interval = time.Hour
		}
		return s.write(dso.AppendResponse(nil, m.ID, dns.RcodeSuccess, k.TLV()))
	case dso.TypeFollow:
		name, err := m.Follow()
		if err != nil {
			p.log = append(p.log, "broken: "+err.Error())
			return false
		}
		p.log = append(p.log, "follow "+name)
		if p.refuse != nil {
			if rcode, tlvs := p.refuse(name); rcode != dns.RcodeSuccess {
				return s.write(dso.AppendResponse(nil, m.ID, rcode, tlvs...))
			}
		}
		s.ids[m.ID] = name
		frames := [][]byte{dso.AppendResponse(nil, m.ID, dns.RcodeSuccess, dso.Following())}
		if p.greet != nil {
			frames = append(frames, p.greet(m.ID, name)...)
		} else {
			frames = append(frames, setFrames(m.ID, dso.Whole|p.flags(), p.revision, p.records[name], nil)...)
		}
		return s.write(frames...)
	case dso.TypeUnfollow:
		id, err := m.Unfollow()
		if err != nil {
			p.log = append(p.log, "broken: "+err.Error())
			return false
		}
		p.log = append(p.log, "unfollow "+s.ids[id])
		delete(s.ids, id)
		return true
	}
	p.log = append(p.log, "unexpected "+m.Primary.Type.String())
	return false
}

func (p *fakePush) flags() dso.Flags {
	if p.stale {
		return dso.Stale
	}
	return 0
}

func (s *fakeSession) write(frames ...[]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range frames {
		if _, err := s.conn.Write(f); err != nil {
			return false
		}
	}
	return true
}

// setFrames is the SETs of a change.
func setFrames(id uint16, flags dso.Flags, revision uint64, added, removed []dns.RR) [][]byte {
	bodies, err := dso.Sets(flags, revision, added, removed)
	if err != nil {
		panic(err)
	}
	var out [][]byte
	for _, body := range bodies {
		prefix := body.Prefix(id)
		out = append(out, append(prefix[:], body...))
	}
	return out
}

// become changes the set of a name, and tells all sessions.
func (p *fakePush) become(name string, records ...dns.RR) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revision++
	p.setLocked(name, records)
}

// setLocked tells the difference of a set to what it was.
func (p *fakePush) setLocked(name string, records []dns.RR) {
	was := p.records[name]
	p.records[name] = records
	added, removed := without(records, was), without(was, records)
	if p.mute {
		return
	}
	for s := range p.sessions {
		for id, followed := range s.ids {
			if followed == name {
				s.write(setFrames(id, p.flags(), p.revision, added, removed)...)
			}
		}
	}
}

// without gives the records that others does not have.
func without(records, others []dns.RR) []dns.RR {
	has := map[string]bool{}
	for _, rr := range others {
		has[rr.String()] = true
	}
	var out []dns.RR
	for _, rr := range records {
		if !has[rr.String()] {
			out = append(out, rr)
		}
	}
	return out
}

// cut ends all sessions as a server does that is killed.
func (p *fakePush) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		s.conn.Close()
	}
}

// send sends frames in all sessions.
func (p *fakePush) send(frames ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.sessions {
		s.write(frames...)
	}
}

func (p *fakePush) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, what)
}

// notes gives what came, and forgets it.
func (p *fakePush) notes() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := strings.Join(p.log, ", ")
	p.log = nil
	return out
}

// sessionsBegun is how many sessions there were.
func (p *fakePush) sessionsBegun() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.begun)
}

// open is how many sessions there are.
func (p *fakePush) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sessions)
}

// handler answers by DNS with what the sessions tell.
func (p *fakePush) handler(t testing.TB) handler {
	nothing := rrs(t, soa)
	return func(network string, q *dns.Msg) [][]byte {
		p.mu.Lock()
		all := nothing
		for _, records := range p.records {
			all = append(all[:len(all):len(all)], records...)
		}
		p.mu.Unlock()
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		answerFrom(all, m)
		return fit(network, q, m)
	}
}

// instances is the set of n instances, with addresses.
func instances(t testing.TB, n int) []dns.RR {
	t.Helper()
	var out []dns.RR
	for i := range n {
		out = append(out, rrs(t,
			fmt.Sprintf("%s 5 IN SRV 10 100 8080 i%d.math.tcp.svc.", mathTCP, i),
			fmt.Sprintf("i%d.math.tcp.svc. 5 IN A 10.0.%d.%d", i, i/250, i%250+1))...)
	}
	return out
}

// following gives a network of one server that tells about n instances, and its client.
func following(t testing.TB, n int) (*fakePush, *fakeServer, *Resolver) {
	t.Helper()
	p := newPush()
	p.records[mathTCP] = instances(t, n)
	s, r := one(p.handler(t))
	s.push = p
	return p, s, r
}
