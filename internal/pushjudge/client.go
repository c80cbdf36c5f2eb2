package pushjudge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Client is the client of a session. It judges the server.
type Client struct {
	Inactivity, Interval time.Duration // as the server said last
	Retry                time.Duration // of a RetryDelay message; -1: there was none
	RetryRcode           int
	Frames               int // that were read
	Ignored              int // changes in PUSH messages that match no subscription

	conn        net.Conn
	id          uint16
	established bool
	waiting     map[uint16]Message // requests without a response
	subs        map[uint16]*subscription
}

// NewClient begins a session. It sends nothing yet.
func NewClient(conn net.Conn) *Client {
	return &Client{
		Retry: -1, Inactivity: 15 * time.Second, Interval: 15 * time.Second, // RFC 8490 section 6.2
		conn: conn, waiting: make(map[uint16]Message), subs: make(map[uint16]*subscription),
	}
}

// Send writes a message. A request gets an id, which it returns.
func (c *Client) Send(request bool, tlvs ...TLV) (id uint16, err error) {
	m := Message{TLVs: tlvs}
	if request {
		for c.id++; c.id == 0 || c.subs[c.id] != nil || c.waiting[c.id].TLVs != nil; c.id++ {
		}
		m.ID = c.id
		c.waiting[m.ID] = m
	}
	_, err = c.conn.Write(m.Frame())
	return m.ID, err
}

// Ask sends a request, and reads up to its response.
func (c *Client) Ask(tlvs ...TLV) (Message, error) {
	id, err := c.Send(true, tlvs...)
	if err != nil {
		return Message{}, err
	}
	return c.response(id)
}

func (c *Client) response(id uint16) (Message, error) {
	for {
		m, err := c.Read()
		if err != nil || m.QR && m.ID == id {
			return m, err
		}
	}
}

// KeepAlive asks for times, and learns those of the server.
func (c *Client) KeepAlive(inactivity, interval time.Duration) (rcode int, err error) {
	m, err := c.Ask(TLV{KeepAlive, Times(inactivity, interval)})
	return m.Rcode, err
}

// Subscribe subscribes. If the RCODE is 0, the id is that of the subscription.
func (c *Client) Subscribe(name string, qtype, class uint16) (id uint16, response Message, err error) {
	return c.subscribe(TLV{Subscribe, Question(name, qtype, class)}, dns.Question{Name: name, Qtype: qtype, Qclass: class})
}

// Follow follows a service.
func (c *Client) Follow(name string) (id uint16, response Message, err error) {
	return c.subscribe(TLV{Follow, Question(name, dns.TypeSRV, dns.ClassINET)}, dns.Question{Name: name, Qtype: dns.TypeSRV, Qclass: dns.ClassINET})
}

func (c *Client) subscribe(t TLV, q dns.Question) (id uint16, m Message, err error) {
	if id, err = c.Send(true, t); err != nil {
		return 0, m, err
	}
	c.subs[id] = &subscription{Question: q, follow: t.Type == Follow, records: make(map[string]uint32)}
	m, err = c.response(id)
	return id, m, err
}

// Leave ends a subscription.
func (c *Client) Leave(id uint16) error {
	t := TLV{Unsubscribe, Number(id)}
	if s := c.subs[id]; s != nil && s.follow {
		t.Type = Unfollow
	}
	delete(c.subs, id)
	_, err := c.Send(false, t)
	return err
}

// Records returns the records of a subscription, sorted.
func (c *Client) Records(id uint16) []string { return c.subs[id].lines() }

// Revision returns that of the last SET of a FOLLOW, whether it is complete, and whether it
// is stale.
func (c *Client) Revision(id uint16) (revision uint64, complete, stale bool) {
	s := c.subs[id]
	return s.revision, s.begun && !s.more, s.stale
}

// Until reads until a condition holds.
func (c *Client) Until(holds func() bool) error {
	for !holds() {
		if _, err := c.Read(); err != nil {
			return err
		}
	}
	return nil
}

// Read reads a message and applies it. An error is what the server may not do, or that of
// the connection.
func (c *Client) Read() (Message, error) {
	b, err := ReadFrame(c.conn)
	if err != nil {
		return Message{}, err
	}
	c.Frames++
	m, err := Parse(b)
	if err != nil {
		return m, err
	}
	switch {
	case c.Retry >= 0:
		err = fmt.Errorf("RFC 8490 section 6.6.1: a message after RetryDelay: %x", b)
	case m.QR:
		err = c.answered(m)
	case m.ID != 0:
		err = fmt.Errorf("RFC 8490 section 5.4.1: a server has no requests: %x", b)
	case !c.established:
		err = fmt.Errorf("RFC 8490 section 5.1: before the session is established the server sends %x", b)
	default:
		err = c.told(m)
	}
	return m, err
}

// answered takes a response: RFC 8490 section 5.5.2.
func (c *Client) answered(m Message) error {
	asked, ok := c.waiting[m.ID]
	if !ok {
		return fmt.Errorf("RFC 8490 section 5.5.2: a response to no request: %x", m.raw)
	}
	delete(c.waiting, m.ID)
	s := c.subs[m.ID]
	if m.Rcode != 0 {
		delete(c.subs, m.ID)
		if m.Rcode == dns.RcodeNameError {
			return errors.New("RFC 8765 section 6.2.2: a response of NXDOMAIN")
		}
	} else {
		c.established = true // RFC 8490 section 5.1
	}
	for _, t := range asked.TLVs[1:] {
		if t.Type == Padding && !m.Has(Padding) {
			return fmt.Errorf("RFC 8490 section 7.3: the response to a padded request has no padding: %x", m.raw)
		}
	}
	if t := m.find(RetryDelay); t != nil && (m.Rcode == 0 || len(t.Data) != 4) {
		return fmt.Errorf("RFC 8490 section 7.2.2: RetryDelay in %x", m.raw)
	}
	primary := asked.TLVs[0].Type
	n := 0
	for i, t := range m.TLVs {
		if t.Type == primary {
			if n++; i != 0 {
				return fmt.Errorf("RFC 8490 section 5.4.2: the primary TLV is not the first: %x", m.raw)
			}
		}
	}
	want := 0
	if m.Rcode == 0 && (primary == KeepAlive || primary == Follow) {
		want = 1
	}
	if n != want { // section 7.1 of RFC 8490, 6.2.2 of RFC 8765, docs/dns-names.md
		return fmt.Errorf("RFC 8490 section 5.4.2: %d TLVs of type %x in the response, want %d: %x", n, primary, want, m.raw)
	}
	if m.Rcode != 0 {
		return nil
	}
	switch primary {
	case KeepAlive:
		return c.times(m.TLVs[0].Data)
	case Follow:
		if len(m.TLVs[0].Data) > 0 {
			return fmt.Errorf("docs/dns-names.md: the TLV of the response has data: %x", m.raw)
		}
	}
	if s != nil {
		s.active = true
	}
	return nil
}

// told takes a unidirectional message.
func (c *Client) told(m Message) error {
	data := m.TLVs[0].Data
	switch m.TLVs[0].Type {
	case KeepAlive:
		return c.times(data)
	case RetryDelay:
		if c.Retry = m.Retry(); c.Retry < 0 {
			return fmt.Errorf("RFC 8490 section 7.2: %x", m.raw)
		}
		c.RetryRcode = m.Rcode
		return nil
	case Push:
		return c.pushed(m)
	case Set:
		if len(m.raw) > 16382 {
			return fmt.Errorf("docs/dns-names.md: a SET of %d octets", len(m.raw))
		}
		if len(data) < 2 {
			return fmt.Errorf("docs/dns-names.md: %x", m.raw)
		}
		s := c.subs[binary.BigEndian.Uint16(data)]
		switch {
		case s == nil:
			c.Ignored++ // sent before the UNFOLLOW came
			return nil
		case !s.follow, !s.active:
			return fmt.Errorf("docs/dns-names.md: a SET for what was not followed: %x", m.raw)
		}
		return s.set(m)
	}
	return fmt.Errorf("RFC 8765 section 6.6: a server sends type %x", m.TLVs[0].Type)
}

func (c *Client) pushed(m Message) error {
	if len(m.raw) > 16382 {
		return fmt.Errorf("RFC 8765 section 6.3.1: a PUSH of %d octets", len(m.raw))
	}
	rrs, err := m.records(0)
	if err != nil {
		return err
	}
	if len(rrs) == 0 {
		return errors.New("RFC 8765 section 6.3.1: a PUSH without a change")
	}
	for _, rr := range rrs {
		if h := rr.Header(); h.Ttl != RemoveSet && (h.Rrtype == dns.TypeANY || h.Class == dns.ClassANY) {
			return fmt.Errorf("RFC 8765 section 6.3.1: type or class ANY in %s", rr)
		}
		matched := false
		for _, s := range c.subs {
			if s.matches(rr.Header()) {
				matched = true
				if err := s.apply(rr); err != nil {
					return err
				}
			}
		}
		if !matched {
			c.Ignored++
		}
	}
	return nil
}

func (c *Client) times(data []byte) error {
	if len(data) != 8 {
		return fmt.Errorf("RFC 8490 section 7.1: %d octets of data", len(data))
	}
	c.Inactivity = time.Duration(binary.BigEndian.Uint32(data)) * time.Millisecond
	c.Interval = time.Duration(binary.BigEndian.Uint32(data[4:])) * time.Millisecond
	if c.Interval < 10*time.Second {
		return fmt.Errorf("RFC 8490 section 6.5.2: a keepalive interval of %v", c.Interval)
	}
	return nil
}

// Aborted tells whether an error of Read says that the server aborted the connection (RFC
// 8490 section 5.3), and did not close it.
func Aborted(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// Tests: session_test.go.
