package pushjudge

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Server is the server of a session. It judges the client. It answers nothing by itself:
// the test says what it sends.
type Server struct {
	Compress bool // names in PUSH and SET
	// Queries are the messages that were no DSO messages: a session may have some.
	Queries []*dns.Msg

	conn        net.Conn
	established bool
	asked       map[uint16]uint16       // requests without a response: the type
	subs        map[uint16]dns.Question // active ones and those without a response
	follows     map[uint16]bool
	leaving     bool // RetryDelay was sent
}

// NewServer takes a connection over.
func NewServer(conn net.Conn) *Server {
	return &Server{conn: conn, asked: make(map[uint16]uint16), subs: make(map[uint16]dns.Question), follows: make(map[uint16]bool)}
}

// Asked is what a client sent.
type Asked struct {
	Message
	Type     uint16       // of the primary TLV
	Question dns.Question // of SUBSCRIBE and FOLLOW, in lower case
	Target   uint16       // the id that UNSUBSCRIBE or UNFOLLOW ends
	RR       dns.RR       // of RECONFIRM
}

// Read reads a DSO message. An error is what the client may not do, or that of the
// connection.
func (s *Server) Read() (a Asked, err error) {
	for {
		b, err := ReadFrame(s.conn)
		if err != nil {
			return a, err
		}
		if len(b) >= 12 && b[2]>>3&15 == 6 {
			if a.Message, err = Parse(b); err != nil {
				return a, err
			}
			return a, s.judge(&a)
		}
		q := new(dns.Msg)
		if err := q.Unpack(b); err != nil {
			return a, fmt.Errorf("not a DNS message: %x: %w", b, err)
		}
		if opt := q.IsEdns0(); opt != nil && s.established {
			for _, o := range opt.Option {
				if o.Option() == dns.EDNS0TCPKEEPALIVE {
					return a, fmt.Errorf("RFC 8490 section 7.1.2: edns-tcp-keepalive in a session")
				}
			}
		}
		s.Queries = append(s.Queries, q)
	}
}

// judge checks a message of a client.
func (s *Server) judge(a *Asked) (err error) {
	if a.QR {
		return fmt.Errorf("RFC 8490 section 5.5.2: a response to no request: %x", a.raw)
	}
	a.Type = a.TLVs[0].Type
	data := a.TLVs[0].Data
	request := map[uint16]bool{KeepAlive: true, Subscribe: true, Follow: true, Unsubscribe: false, Unfollow: false, Reconfirm: false}
	must, known := request[a.Type]
	switch {
	case !known:
		return fmt.Errorf("RFC 8490 section 8.2: a client sends type %x", a.Type)
	case must != (a.ID != 0):
		return fmt.Errorf("RFC 8490 section 5.4.1: type %x with id %d", a.Type, a.ID)
	case a.ID == 0 && !s.established:
		return fmt.Errorf("RFC 8490 section 5.1: type %x before the session is established", a.Type)
	case s.leaving:
		return fmt.Errorf("RFC 8490 section 6.6.1: type %x after RetryDelay", a.Type)
	case a.Rcode != 0:
		return fmt.Errorf("RFC 8490 section 5.4.1: rcode %d in type %x", a.Rcode, a.Type)
	}
	if a.ID != 0 {
		if _, waiting := s.asked[a.ID]; waiting || s.subs[a.ID].Name != "" {
			return fmt.Errorf("RFC 8490 section 5.4.1: the id %d is in use", a.ID)
		}
		s.asked[a.ID] = a.Type
	}
	switch a.Type {
	case KeepAlive:
		if len(data) != 8 {
			return fmt.Errorf("RFC 8490 section 7.1: %d octets of data", len(data))
		}
	case Subscribe, Follow:
		if a.Question, err = a.question(); err != nil {
			return err
		}
		for id, q := range s.subs {
			if q == a.Question && s.follows[id] == (a.Type == Follow) {
				return fmt.Errorf("RFC 8765 section 6.2.1: %s %d %d has the subscription %d", q.Name, q.Qtype, q.Qclass, id)
			}
		}
		if a.Type == Follow && (a.Question.Qtype != dns.TypeSRV || a.Question.Qclass != dns.ClassINET) {
			return fmt.Errorf("docs/dns-names.md: FOLLOW of type %d, class %d", a.Question.Qtype, a.Question.Qclass)
		}
		s.subs[a.ID], s.follows[a.ID] = a.Question, a.Type == Follow
	case Unsubscribe, Unfollow:
		if len(data) != 2 {
			return fmt.Errorf("RFC 8765 section 6.4.1: %d octets of data", len(data))
		}
		a.Target = uint16(data[0])<<8 | uint16(data[1])
		if q := s.subs[a.Target]; q.Name != "" && s.follows[a.Target] != (a.Type == Unfollow) {
			return fmt.Errorf("type %x ends the other kind of subscription: %d", a.Type, a.Target)
		}
		delete(s.subs, a.Target)
		delete(s.follows, a.Target)
	case Reconfirm:
		return a.reconfirm()
	}
	return nil
}

// reconfirm reads NAME TYPE CLASS RDATA: RFC 8765 section 6.5.1.
func (a *Asked) reconfirm() error {
	data := a.TLVs[0].Data
	name, off, err := dns.UnpackDomainName(data, 0)
	if err != nil || off+4 > len(data) {
		return fmt.Errorf("RFC 8765 section 6.5.1: %x", data)
	}
	h := dns.RR_Header{
		Name: strings.ToLower(name), Rrtype: uint16(data[off])<<8 | uint16(data[off+1]), Class: uint16(data[off+2])<<8 | uint16(data[off+3]),
		Rdlength: uint16(len(data) - off - 4),
	}
	if h.Rrtype == dns.TypeANY || h.Class == dns.ClassANY {
		return fmt.Errorf("RFC 8765 section 6.5.1: type %d, class %d", h.Rrtype, h.Class)
	}
	if a.RR, _, err = dns.UnpackRRWithHeader(h, data, off+4); err != nil {
		return fmt.Errorf("RFC 8765 section 6.5.1: %x: %w", data, err)
	}
	return nil
}

// Expect reads a message of a type.
func (s *Server) Expect(t uint16) (Asked, error) {
	a, err := s.Read()
	if err == nil && a.Type != t {
		err = fmt.Errorf("the client sent type %x, expected %x: %x", a.Type, t, a.raw)
	}
	return a, err
}

// Respond answers a request as its type wants: with the TLV of FOLLOW, with the times of
// KeepAlive in place of tlvs.
func (s *Server) Respond(a Asked, rcode int, tlvs ...TLV) error {
	delete(s.asked, a.ID)
	if rcode == 0 {
		s.established = true
		if a.Type == Follow {
			tlvs = append([]TLV{{Follow, nil}}, tlvs...)
		}
	} else {
		delete(s.subs, a.ID)
		delete(s.follows, a.ID)
	}
	if a.Has(Padding) {
		tlvs = append(tlvs, TLV{Padding, make([]byte, 8)})
	}
	return s.Send(Message{ID: a.ID, QR: true, Rcode: rcode, TLVs: tlvs})
}

// Send writes a message.
func (s *Server) Send(m Message) error {
	_, err := s.conn.Write(m.Frame())
	return err
}

// Push sends a PUSH. The TTL of a record says what it does.
func (s *Server) Push(rrs ...dns.RR) error {
	return s.Send(Message{TLVs: []TLV{{Push, Changes(nil, s.Compress, rrs...)}}})
}

// Set sends a SET.
func (s *Server) Set(id uint16, flags byte, revision uint64, rrs ...dns.RR) error {
	return s.Send(Message{TLVs: []TLV{{Set, Changes(SetHead(id, flags, revision), s.Compress, rrs...)}}})
}

// Retry ends the session. The client must close, and may send nothing more.
func (s *Server) Retry(rcode int, d time.Duration) error {
	s.leaving = true
	return s.Send(Message{Rcode: rcode, TLVs: []TLV{{RetryDelay, Times(d)}}})
}

// Tests: session_test.go.
