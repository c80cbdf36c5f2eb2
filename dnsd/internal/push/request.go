package push

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

const (
	// paddedBlock is the block size of padded responses: RFC 8467 section 4.1.
	paddedBlock = 468
	// notReadyDelay is when a FOLLOW of a zone without content may be tried again. A dnsd
	// has its content some seconds after its start.
	notReadyDelay = time.Second
)

// message handles one message of the client. false means that the session is over. A panic
// costs the session.
func (s *session) message(msg []byte) (on bool) {
	defer func() {
		if p := recover(); p != nil {
			s.srv.panicked(p, "client", s.from, "message", fmt.Sprintf("%x", msg))
			s.abort("a panic")
			on = false
		}
	}()
	now := time.Now()
	s.mu.Lock()
	at := s.state
	if at < leaving {
		s.last = now
	}
	s.mu.Unlock()
	switch {
	case at >= leaving:
		return at == leaving // what it has sent before it read the RetryDelay has no answer
	case !dso.Is(msg):
		s.active = now
		return s.query(msg, at)
	}
	if at == fresh {
		if s.told++; s.told > mostFresh {
			s.abort("many messages and no session")
			return false
		}
	}
	m, err := dso.Read(msg, dso.FromClient)
	if m.Primary.Type != dso.TypeKeepAlive {
		s.active = now
	}
	if err == nil {
		err = s.serve(m, at)
	}
	switch {
	case err == nil:
		return true
	case errors.As(err, new(fatalError)) || dso.Fatal(err) || !m.Request():
		s.srv.tell("push: a client broke the protocol", "client", s.from, "error", err)
		s.abort(err.Error())
		return false
	}
	return s.refuse(m, dso.Rcode(err), 0)
}

// fatalf returns an error for which the session is aborted.
func fatalf(format string, args ...any) error { return fatalError{fmt.Errorf(format, args...)} }

// fatalError is what only the state of a session shows.
type fatalError struct{ error }

// query answers a message that is not of DNS Stateful Operations. What a session forbids
// is allowed until there is one.
func (s *session) query(msg []byte, at state) bool {
	answer := s.srv.config.Load().Answer
	if answer == nil {
		return true
	}
	out, fatal := answer(nil, msg, s.from, s.tls)
	if fatal && at > fresh {
		s.abort("a query that a session must not have")
		return false
	}
	return len(out) == 0 || s.reply(out)
}

// serve does what a well-formed message says. An error is one of package dso.
func (s *session) serve(m dso.Message, at state) error {
	if m.Request() && s.uses(m.ID) {
		// RFC 8765 section 6.2.1: the id of a subscription is taken until its end.
		return fatalf("the id %d is that of an active subscription", m.ID)
	}
	if !m.Request() && at == fresh {
		return fatalf("%s before a request has succeeded", m.Primary.Type) // RFC 8490 section 5.1
	}
	if m.Primary.Type.NeedsTLS() && !s.tls {
		return m.Unimplemented() // RFC 8765 section 5
	}
	switch m.Primary.Type {
	case dso.TypeKeepAlive:
		return s.keepAlive(m)
	case dso.TypeSubscribe:
		q, err := m.Subscribe()
		if err != nil {
			return err
		}
		return s.subscribe(m, topicKey{name: q.Name, qtype: q.Type}, q.Class)
	case dso.TypeFollow:
		name, err := m.Follow()
		if err != nil {
			return err
		}
		return s.subscribe(m, topicKey{follow: true, name: name, qtype: dns.TypeSRV}, dns.ClassINET)
	case dso.TypeUnsubscribe:
		id, err := m.Unsubscribe()
		if err == nil {
			s.unsubscribe(id, false)
		}
		return err
	case dso.TypeUnfollow:
		id, err := m.Unfollow()
		if err == nil {
			s.unsubscribe(id, true)
		}
		return err
	case dso.TypeReconfirm:
		rr, err := m.Reconfirm()
		if err == nil {
			s.srv.doubt(rr, s.holder)
		}
		return err
	}
	return m.Unimplemented()
}

// keepAlive answers with the server's times, whatever the client wants (RFC 8490 section
// 7.1).
func (s *session) keepAlive(m dso.Message) error {
	if _, err := m.KeepAlive(); err != nil {
		return err
	}
	if s.interval == dso.DefaultTimeout {
		s.interval = newInterval()
	}
	s.respond(m, dns.RcodeSuccess, dso.KeepAlive{Inactivity: inactivity, Interval: s.interval}.TLV())
	return nil
}

// subscribe begins a subscription, or refuses it with the time after which it may be tried
// again (RFC 8765 section 6.2.2).
func (s *session) subscribe(m dso.Message, key topicKey, class uint16) error {
	if class != dns.ClassINET && class != dns.ClassANY {
		// The zones have no records of other classes, and no such class is theirs.
		s.refuse(m, dns.RcodeNotAuth, dso.DefaultRetryDelay(dns.RcodeNotAuth))
		return nil
	}
	for _, sub := range s.subs { // only the reader changes it
		if sub.topic.key == key && sub.class == class {
			return fatalf("a second subscription to %s %d", key.name, key.qtype) // RFC 8765 section 6.2.1
		}
	}
	rcode, delay := s.srv.begin(s, m, key, class)
	if rcode == dns.RcodeSuccess {
		return nil
	}
	if rcode == dns.RcodeRefused {
		s.srv.stats.refused.Add(1)
	}
	s.refuse(m, rcode, delay)
	return nil
}

// begin begins a subscription and answers its request, or returns an RCODE and the time
// after which the same may be tried again.
func (s *Server) begin(ses *session, m dso.Message, key topicKey, class uint16) (rcode int, delay time.Duration) {
	h := s.find(key.name)
	switch {
	case h == nil:
		return dns.RcodeNotAuth, dso.DefaultRetryDelay(dns.RcodeNotAuth)
	case h.current().Absent() && key.follow:
		return dns.RcodeServerFailure, notReadyDelay
	case h.current().Absent():
		return dns.RcodeServerFailure, dso.DefaultRetryDelay(dns.RcodeServerFailure)
	case len(ses.subs) >= mostPerSession: // only the client can make room
		return dns.RcodeRefused, dso.DefaultRetryDelay(dns.RcodeRefused)
	}
	if delay, ok := s.admit(ses); !ok {
		return dns.RcodeRefused, delay
	}
	sub := &subscription{session: ses, id: m.ID, class: class}
	defer func() { // also after a panic, which costs the session its connection
		if !slices.Contains(ses.subs, sub) { // only the reader changes it
			s.dismiss(ses)
		}
	}()
	var accept []dso.TLV
	if key.follow {
		accept = append(accept, dso.Following())
	}
	if !h.add(sub, key, response(m, dns.RcodeSuccess, accept...)) {
		return dns.RcodeNotAuth, dso.DefaultRetryDelay(dns.RcodeNotAuth) // the zone has just gone
	}
	ses.awaitRoom()
	return dns.RcodeSuccess, 0
}

// unsubscribe ends the subscription with an id. One that is not known is ignored: RFC 8765
// section 6.4.1.
func (s *session) unsubscribe(id uint16, follow bool) {
	i := slices.IndexFunc(s.subs, func(sub *subscription) bool { return sub.id == id && sub.topic.key.follow == follow })
	if i >= 0 {
		s.subs[i].topic.hub.remove(s.subs[i])
	}
}

// uses tells whether an id is that of a subscription.
func (s *session) uses(id uint16) bool {
	return slices.ContainsFunc(s.subs, func(sub *subscription) bool { return sub.id == id })
}

// refuse answers a request with an RCODE and, unless it is 0, the time after which the same
// may be asked again (RFC 8490 section 7.2.2).
func (s *session) refuse(m dso.Message, rcode int, delay time.Duration) bool {
	if delay > 0 {
		return s.reply(response(m, rcode, dso.RetryDelay(delay)))
	}
	return s.reply(response(m, rcode))
}

// respond answers a request that has succeeded.
func (s *session) respond(m dso.Message, rcode int, tlvs ...dso.TLV) {
	s.mu.Lock()
	s.state = max(s.state, established)
	s.mu.Unlock()
	s.reply(response(m, rcode, tlvs...))
}

// response makes the frame of a response, padded if its request is (RFC 8490 section 7.3).
func response(m dso.Message, rcode int, tlvs ...dso.TLV) []byte {
	b := dso.AppendResponse(nil, m.ID, rcode, tlvs...)
	if m.Padded() {
		b = dso.Pad(b, 0, paddedBlock)
	}
	return b
}

// Tests: protocol_test.go, session_test.go.
