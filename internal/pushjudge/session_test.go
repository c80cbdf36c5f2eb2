package pushjudge

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const service = "_math._tcp.svc."

var (
	srv1  = rr("_math._tcp.svc. 5 IN SRV 10 100 9001 a1.math.tcp.svc.")
	srv2  = rr("_math._tcp.svc. 5 IN SRV 10 100 9001 a2.math.tcp.svc.")
	addr1 = rr("a1.math.tcp.svc. 5 IN A 10.0.0.1")
	addr2 = rr("a2.math.tcp.svc. 5 IN AAAA 2001:db8::2")
	txt   = rr("a1._math._tcp.svc. 5 IN TXT \"a=b\"")
)

// with returns a record with another TTL.
func with(rr dns.RR, ttl uint32) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Ttl = ttl
	return rr
}

// session connects a client and a server, which runs beside the test.
func session(t *testing.T, serve func(s *Server) error) (*Client, func()) {
	t.Helper()
	ours, theirs := net.Pipe()
	deadline := time.Now().Add(20 * time.Second)
	ours.SetDeadline(deadline)
	theirs.SetDeadline(deadline)
	s := NewServer(theirs)
	s.Compress = true
	done := make(chan error, 1)
	go func() { done <- serve(s) }()
	return NewClient(ours), func() {
		t.Helper()
		ours.Close()
		if err := <-done; err != nil {
			t.Errorf("the server: %v", err)
		}
		theirs.Close()
	}
}

// TestAClientLearnsWhatTheServerSays: both judges, in a session of everything.
func TestAClientLearnsWhatTheServerSays(t *testing.T) {
	c, end := session(t, func(s *Server) error {
		a, err := s.Expect(KeepAlive)
		if err != nil {
			return err
		}
		if err := s.Respond(a, 0, TLV{KeepAlive, Times(15*time.Second, time.Hour)}); err != nil {
			return err
		}
		if a, err = s.Expect(Subscribe); err != nil {
			return err
		}
		for _, err := range []error{
			s.Respond(a, 0), s.Push(srv1, srv2, txt), s.Push(with(srv2, Remove), with(srv1, 4)),
		} {
			if err != nil {
				return err
			}
		}
		if a, err = s.Expect(Follow); err != nil {
			return err
		}
		for _, err := range []error{
			s.Respond(a, 0), s.Set(a.ID, Whole|More, 7, srv1, addr1), s.Set(a.ID, 0, 7, srv2, addr2),
			s.Set(a.ID, Stale, 7), s.Set(a.ID, 0, 9, with(srv2, 4), with(srv1, Remove), with(addr1, Remove)),
		} {
			if err != nil {
				return err
			}
		}
		for _, want := range []uint16{Unfollow, Unsubscribe, Reconfirm} {
			if a, err = s.Expect(want); err != nil {
				return err
			}
		}
		if a.RR.String() != with(srv1, 0).String() {
			t.Errorf("RECONFIRM of %s", a.RR)
		}
		if a, err = s.Expect(Follow); err != nil {
			return err
		}
		if err := s.Respond(a, dns.RcodeRefused, TLV{RetryDelay, Times(time.Minute)}); err != nil {
			return err
		}
		return s.Retry(0, time.Second)
	})
	defer end()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rcode, err := c.KeepAlive(0, 0)
	check(err)
	if rcode != 0 || c.Interval != time.Hour {
		t.Errorf("rcode %d, interval %v", rcode, c.Interval)
	}
	sub, _, err := c.Subscribe(strings.ToUpper(service), dns.TypeSRV, dns.ClassINET)
	check(err)
	check(c.Until(func() bool { return slices.Equal(c.Records(sub), []string{with(srv1, 4).String()}) }))
	if c.Ignored != 1 {
		t.Errorf("%d changes match nothing, want that of TXT", c.Ignored)
	}
	id, _, err := c.Follow(service)
	check(err)
	check(c.Until(func() bool { _, whole, _ := c.Revision(id); return whole }))
	if got := c.Records(id); len(got) != 4 {
		t.Errorf("the whole set: %q", got)
	}
	check(c.Until(func() bool { _, _, stale := c.Revision(id); return stale }))
	check(c.Until(func() bool { revision, _, _ := c.Revision(id); return revision == 9 }))
	if got, want := c.Records(id), []string{with(srv2, 4).String(), addr2.String()}; !slices.Equal(got, want) {
		t.Errorf("after the change: %q, want %q", got, want)
	}
	check(c.Leave(id))
	check(c.Leave(sub))
	data := Question(service, dns.TypeSRV, dns.ClassINET)
	data = append(data, 0, 10, 0, 100, 0x23, 0x29)
	data = append(data, Question("a1.math.tcp.svc.", 0, 0)...)
	_, err = c.Send(false, TLV{Reconfirm, data[:len(data)-4]})
	check(err)
	_, m, err := c.Follow(service)
	check(err)
	if m.Rcode != dns.RcodeRefused || m.Retry() != time.Minute {
		t.Errorf("refused: %+v", m)
	}
	check(c.Until(func() bool { return c.Retry == time.Second }))
}

// TestClientJudgesAServer: each row is what a server may not do after a FOLLOW and a
// SUBSCRIBE that it has accepted.
func TestClientJudgesAServer(t *testing.T) {
	set := func(flags byte, revision uint64, rrs ...dns.RR) Message {
		return Message{TLVs: []TLV{{Set, Changes(SetHead(1, flags, revision), false, rrs...)}}}
	}
	push := func(rrs ...dns.RR) Message { return Message{TLVs: []TLV{{Push, Changes(nil, false, rrs...)}}} }
	first := set(Whole, 5, srv1, addr1)
	for _, tc := range []struct {
		name string
		sent []Message
		want string // in the error of the last
	}{
		{"no WHOLE", []Message{set(0, 5, srv1)}, "not WHOLE"},
		{"WHOLE within", []Message{set(Whole|More, 5), set(Whole, 5)}, "WHOLE within"},
		{"another revision after MORE", []Message{set(Whole|More, 5), set(0, 6)}, "after MORE"},
		{"an older revision", []Message{first, set(0, 4)}, "revision 4 after 5"},
		{"a revision twice", []Message{first, set(0, 5, srv2)}, "changes twice"},
		{"adds what is there", []Message{first, set(0, 6, srv1)}, "adds what is there"},
		{"removes what is not there", []Message{first, set(0, 6, with(srv2, Remove))}, "not there"},
		{"adds after it removed", []Message{first, set(0, 6, with(srv1, Remove), srv2)}, "after it has removed"},
		{"a whole set that removes", []Message{set(Whole, 5, srv1, with(srv1, Remove))}, "whole set removes"},
		{"an address of no target", []Message{set(Whole, 5, srv1, addr2)}, "of no target"},
		{"an address that stays", []Message{first, set(0, 6, with(srv1, Remove))}, "of no target"},
		{"another name", []Message{set(Whole, 5, rr("_other._tcp.svc. 5 IN SRV 1 2 3 a.svc."))}, "of _math._tcp.svc. has"},
		{"another type", []Message{set(Whole, 5, txt)}, "SET: has"},
		{"two TTLs", []Message{set(Whole, 5, srv1, with(srv2, 4))}, "RFC 2181"},
		{"unknown flags", []Message{set(Whole|8, 5)}, "unknown flags"},
		{"SET for a SUBSCRIBE", []Message{{TLVs: []TLV{{Set, SetHead(2, Whole, 5)}}}}, "not followed"},
		{"PUSH without a change", []Message{push()}, "without a change"},
		{"PUSH of class ANY", []Message{{TLVs: []TLV{{Push, append(Question(service, 33, 255), 0, 0, 0, 5, 0, 0)}}}}, "ANY"},
		{"a set is removed with RDATA", []Message{push(srv1, with(srv1, RemoveSet))}, "with RDATA"},
		{"a response to nothing", []Message{{ID: 77, QR: true}}, "5.5.2"},
		{"a request", []Message{{ID: 77, TLVs: first.TLVs}}, "no requests"},
		{"a type of clients", []Message{{TLVs: []TLV{{Unfollow, Number(1)}}}}, "section 6.6"},
		{"an interval of 9 s", []Message{{TLVs: []TLV{{KeepAlive, Times(0, 9*time.Second)}}}}, "6.5.2"},
		{"a message after RetryDelay", []Message{{TLVs: []TLV{{RetryDelay, Times(0)}}}, first}, "6.6.1"},
	} {
		c, end := session(t, func(s *Server) error {
			for range 2 {
				a, err := s.Read()
				if err != nil {
					return err
				}
				if err := s.Respond(a, 0); err != nil {
					return err
				}
			}
			for _, m := range tc.sent {
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return nil
		})
		if _, _, err := c.Follow(service); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Subscribe(service, dns.TypeSRV, dns.ClassINET); err != nil {
			t.Fatal(err)
		}
		for i := range tc.sent {
			_, err := c.Read()
			if last := i == len(tc.sent)-1; last == (err == nil) || last && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: message %d: %v, want %q", tc.name, i, err, tc.want)
			}
		}
		end()
	}
}

// TestClientJudgesAResponse: of a FOLLOW whose request is padded.
func TestClientJudgesAResponse(t *testing.T) {
	follow, padding := TLV{Follow, nil}, TLV{Padding, nil}
	for want, m := range map[string]Message{
		"section 7.3":   {TLVs: []TLV{follow}},
		"5.4.2: 0 TLVs": {TLVs: []TLV{padding}},
		"5.4.2: 2 TLVs": {TLVs: []TLV{follow, padding, follow}},
		"has data":      {TLVs: []TLV{{Follow, []byte{1}}, padding}},
		"NXDOMAIN":      {Rcode: dns.RcodeNameError, TLVs: []TLV{padding}},
		"7.2.2":         {TLVs: []TLV{follow, padding, {RetryDelay, Times(0)}}},
		"not the first": {TLVs: []TLV{padding, follow}},
	} {
		c, end := session(t, func(s *Server) error {
			a, err := s.Read()
			if err != nil {
				return err
			}
			m.ID, m.QR = a.ID, true
			return s.Send(m)
		})
		_, err := c.Ask(TLV{Follow, Question(service, dns.TypeSRV, dns.ClassINET)}, padding)
		want, _, _ = strings.Cut(want, ": 2")
		if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(want, " TLVs")) {
			t.Errorf("%+v: %v, want %q", m.TLVs, err, want)
		}
		end()
	}
}

// TestServerJudgesAClient: each row is what a client may not do; ok messages before it are
// accepted.
func TestServerJudgesAClient(t *testing.T) {
	follow := Message{ID: 1, TLVs: []TLV{{Follow, Question(service, dns.TypeSRV, dns.ClassINET)}}}
	for _, tc := range []struct {
		name string
		sent []Message
		want string
	}{
		{"a response", []Message{{ID: 1, QR: true}}, "5.5.2"},
		{"before the session", []Message{{TLVs: []TLV{{Unfollow, Number(1)}}}}, "section 5.1"},
		{"a type of servers", []Message{follow, {TLVs: []TLV{{Set, SetHead(1, 1, 1)}}}}, "8.2"},
		{"a request without id", []Message{{TLVs: follow.TLVs}}, "5.4.1"},
		{"an id for UNFOLLOW", []Message{follow, {ID: 2, TLVs: []TLV{{Unfollow, Number(1)}}}}, "5.4.1"},
		{"an id in use", []Message{follow, {ID: 1, TLVs: []TLV{{KeepAlive, Times(0, 0)}}}}, "in use"},
		{"a name twice", []Message{follow, {ID: 2, TLVs: []TLV{{Follow, Question(strings.ToUpper(service), 33, 1)}}}}, "6.2.1"},
		{"FOLLOW of a type", []Message{{ID: 1, TLVs: []TLV{{Follow, Question(service, 1, 1)}}}}, "FOLLOW of type 1"},
		{"half a question", []Message{{ID: 1, TLVs: []TLV{{Subscribe, []byte{0, 0, 33}}}}}, "6.2.1"},
		{"half a KeepAlive", []Message{{ID: 1, TLVs: []TLV{{KeepAlive, Times(0)}}}}, "7.1"},
		{"half an UNSUBSCRIBE", []Message{follow, {TLVs: []TLV{{Unsubscribe, []byte{1}}}}}, "6.4.1"},
		{"UNSUBSCRIBE of a FOLLOW", []Message{follow, {TLVs: []TLV{{Unsubscribe, Number(1)}}}}, "other kind"},
		{"RECONFIRM of ANY", []Message{follow, {TLVs: []TLV{{Reconfirm, Question(service, 255, 1)}}}}, "6.5.1"},
		{"an rcode", []Message{{ID: 1, Rcode: 1, TLVs: follow.TLVs}}, "rcode 1"},
	} {
		ours, theirs := net.Pipe()
		ours.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			for _, m := range tc.sent {
				ours.Write(m.Frame())
				if m.ID != 0 && m.Rcode == 0 {
					ReadFrame(ours)
				}
			}
		}()
		s := NewServer(theirs)
		for i := range tc.sent {
			a, err := s.Read()
			if last := i == len(tc.sent)-1; last == (err == nil) || last && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: message %d: %v, want %q", tc.name, i, err, tc.want)
			}
			if err == nil && a.ID != 0 {
				if err := s.Respond(a, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		ours.Close()
		theirs.Close()
	}
}
