package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/internal/pushjudge"
)

// What a client does about a message that a server should not send.
const (
	aborts = iota // the session ends, and the server is left alone for an hour
	closes        // the session ends, and another one begins after a growing pause
	goesOn        // the session tells the next change
)

// moments are the states of a session in which a message can come.
var moments = []struct {
	name string
	upTo func(t *testing.T, j *judged) error
}{
	{"in place of the answer to KeepAlive", func(t *testing.T, j *judged) (err error) {
		j.ask, err = j.Expect(pushjudge.KeepAlive)
		return err
	}},
	{"in place of the answer to FOLLOW", func(t *testing.T, j *judged) error { return j.asked() }},
	{"in place of the first SET", func(t *testing.T, j *judged) error {
		if err := j.asked(); err != nil {
			return err
		}
		return j.Respond(j.ask, dns.RcodeSuccess)
	}},
	{"in the middle of the first set", func(t *testing.T, j *judged) error {
		if err := j.asked(); err != nil {
			return err
		}
		if err := j.Respond(j.ask, dns.RcodeSuccess); err != nil {
			return err
		}
		return j.Set(j.id, pushjudge.Whole|pushjudge.More, 1, instances(t, 1)...)
	}},
	{"while it is followed", func(t *testing.T, j *judged) error { return j.follow(t) }},
}

const (
	atHello = iota
	atFollow
	atSet
	inSet
	followed
)

func tlv(typ uint16, data ...byte) pushjudge.TLV { return pushjudge.TLV{Type: typ, Data: data} }

// message makes a step that writes a message.
func message(m pushjudge.Message) func(*testing.T, *judged) error {
	return func(t *testing.T, j *judged) error { return j.raw(m.Frame()...) }
}

// set makes a step that writes a SET, which patch changes.
func set(flags byte, revision uint64, records []string, patch func(b []byte) []byte) func(*testing.T, *judged) error {
	return func(t *testing.T, j *judged) error {
		b := pushjudge.Message{TLVs: []pushjudge.TLV{{Type: pushjudge.Set, Data: pushjudge.Changes(pushjudge.SetHead(j.id, flags, revision), j.Compress, rrs(t, records...)...)}}}.Frame()
		if patch != nil {
			b = patch(b)
		}
		return j.raw(b...)
	}
}

// evils are what a server may not send, and what it may but seldom does.
var evils = []struct {
	name string // the rule
	from int    // the first of moments at which it is sent
	want int
	once bool // it is sent at that moment alone
	send func(t *testing.T, j *judged) error
}{
	{"RFC 1035 4.1.1: a frame of no octet", atHello, aborts, false, func(t *testing.T, j *judged) error { return j.raw(0, 0) }},
	{"RFC 1035 4.1.1: half a header", atHello, aborts, false, func(t *testing.T, j *judged) error { return j.raw(0, 6, 0, 0, 0x30, 0, 0, 0) }},
	{"RFC 8490 5.4: a count is not 0", atHello, aborts, false, func(t *testing.T, j *judged) error {
		b := pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, time.Hour)...)}}.Frame()
		b[7] = 1
		return j.raw(b...)
	}},
	{"RFC 8490 5.4: a response of another opcode", atHello, aborts, false, func(t *testing.T, j *judged) error {
		return j.raw(0, 12, 0, 9, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}},
	{"RFC 8490 5.4.1: a response without id", atHello, aborts, false, message(pushjudge.Message{QR: true})},
	{"RFC 8490 5.4.2: no TLV", atHello, aborts, false, message(pushjudge.Message{})},
	{"RFC 8490 5.4.4: a TLV ends after the message", atHello, aborts, false, func(t *testing.T, j *judged) error {
		b := pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.Set, pushjudge.SetHead(2, 1, 1)...)}}.Frame()
		b[17]++
		return j.raw(b...)
	}},
	{"RFC 8490 5.4.4: half a TLV", atHello, aborts, false, func(t *testing.T, j *judged) error {
		return j.raw(0, 14, 0, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	}},
	{"RFC 8490 5.4.5: an unknown type, unidirectional", atHello, aborts, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(0x60)}})},
	{"RFC 8490 5.4.5: an unknown type, a request", atFollow, goesOn, false, func(t *testing.T, j *judged) error {
		return j.refused(pushjudge.Message{ID: 7, TLVs: []pushjudge.TLV{tlv(0x60, 1, 2)}}.Frame(), dns.RcodeStatefulTypeNotImplemented)
	}},
	{"RFC 8490 5.4.3: a malformed request", atFollow, goesOn, false, func(t *testing.T, j *judged) error {
		return j.refused(pushjudge.Message{ID: 7}.Frame(), dns.RcodeFormatError)
	}},
	{"RFC 8490 5.4.5: requests without end", followed, aborts, false, func(t *testing.T, j *judged) error {
		for range 1000 {
			if err := j.refused(pushjudge.Message{ID: 7, TLVs: []pushjudge.TLV{tlv(0x60)}}.Frame(), dns.RcodeStatefulTypeNotImplemented); err != nil {
				return err
			}
		}
		return errors.New("1000 requests are answered")
	}},
	{"RFC 8490 5.4.5: an unknown additional TLV", followed, goesOn, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, time.Hour)...), tlv(0x60, 1),
	}})},
	{"RFC 8490 5.4.2: the second SET of a message is no primary TLV", followed, goesOn, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, time.Hour)...), tlv(pushjudge.Set, pushjudge.SetHead(2, pushjudge.Whole, 9)...),
	}})},
	{"RFC 8490 5.5.2: a response to no request", atHello, aborts, false, message(pushjudge.Message{ID: 999, QR: true})},
	{"RFC 8490 5.5.2: a response twice", followed, aborts, false, func(t *testing.T, j *judged) error {
		return j.raw(pushjudge.Message{ID: j.id, QR: true, TLVs: []pushjudge.TLV{tlv(pushjudge.Follow)}}.Frame()...)
	}},
	{"RFC 8490 6.5.2: a keepalive interval below 10 s", atHello, aborts, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, 10*time.Second-time.Millisecond)...),
	}})},
	{"RFC 8490 6.5.2: a keepalive interval of 10 s", followed, goesOn, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, 10*time.Second)...),
	}})},
	{"RFC 8490 6.4.2: no inactivity is allowed", followed, goesOn, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, pushjudge.Times(0, time.Hour)...),
	}})},
	{"RFC 8490 6.4.2: times without end", followed, goesOn, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, 255, 255, 255, 255, 255, 255, 255, 255),
	}})},
	{"RFC 8490 7.1: a KeepAlive with an id", atFollow, aborts, false, message(pushjudge.Message{ID: 7, TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, time.Hour)...),
	}})},
	{"RFC 8490 7.1: half a KeepAlive", atHello, aborts, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.KeepAlive, 0, 0, 0, 9)}})},
	{"RFC 8490 7.2.1: RetryDelay of a second", atFollow, closes, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.RetryDelay, pushjudge.Times(time.Second)...)}})},
	{"RFC 8490 7.2.1: RetryDelay of nothing", atFollow, closes, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.RetryDelay, pushjudge.Times(0)...)}})},
	{"RFC 8490 7.2.1: RetryDelay of an hour, with a reason", atFollow, aborts, false, message(pushjudge.Message{Rcode: dns.RcodeNotAuth, TLVs: []pushjudge.TLV{tlv(pushjudge.RetryDelay, pushjudge.Times(time.Hour)...)}})},
	{"RFC 8490 7.2.1: half a RetryDelay", atHello, aborts, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.RetryDelay, 0, 0)}})},
	{"RFC 8490 7.2.1: RetryDelay as a request", atHello, aborts, false, message(pushjudge.Message{ID: 7, TLVs: []pushjudge.TLV{tlv(pushjudge.RetryDelay, pushjudge.Times(time.Second)...)}})},
	{"RFC 8490 7.3: padding alone", atHello, aborts, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.Padding, 0, 0)}})},
	{"RFC 8490 7.3: padding that is not 0", followed, goesOn, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{
		tlv(pushjudge.KeepAlive, pushjudge.Times(time.Hour, time.Hour)...), tlv(pushjudge.Padding, 1, 2, 3),
	}})},
	{"RFC 8765 6.2: SUBSCRIBE of a server", atHello, aborts, false, message(pushjudge.Message{ID: 7, TLVs: []pushjudge.TLV{tlv(pushjudge.Subscribe, pushjudge.Question(mathTCP, 33, 1)...)}})},
	{"RFC 8765 6.3: a PUSH to a client without SUBSCRIBE", atHello, aborts, false, func(t *testing.T, j *judged) error { return j.Push(instances(t, 1)...) }},
	{"RFC 8765 6.3.1: a message of more than 16,382 octets", atHello, aborts, false, func(t *testing.T, j *judged) error {
		return j.raw(append(binary.BigEndian.AppendUint16(nil, 16_383), make([]byte, 20_000)...)...)
	}},
	{"RFC 8765 6.4: UNSUBSCRIBE of a server", atHello, aborts, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.Unsubscribe, 0, 2)}})},
	{"a response to FOLLOW without its TLV", atFollow, aborts, false, func(t *testing.T, j *judged) error {
		return j.raw(pushjudge.Message{ID: j.ask.ID, QR: true}.Frame()...)
	}},
	{"RFC 8490 5.4.2: the primary TLV of a response is the second", atFollow, aborts, false, func(t *testing.T, j *judged) error {
		return j.raw(pushjudge.Message{ID: j.ask.ID, QR: true, TLVs: []pushjudge.TLV{tlv(pushjudge.Padding, 0), tlv(pushjudge.Follow)}}.Frame()...)
	}},
	{"RFC 8490 5.4.2: the primary TLV of a response twice", atFollow, aborts, false, func(t *testing.T, j *judged) error {
		return j.raw(pushjudge.Message{ID: j.ask.ID, QR: true, TLVs: []pushjudge.TLV{tlv(pushjudge.Follow), tlv(pushjudge.Follow)}}.Frame()...)
	}},
	{"a SET without a subscription", atSet, goesOn, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.Set, pushjudge.SetHead(999, pushjudge.Whole, 9)...)}})},
	{"a SET of no id", atSet, aborts, false, message(pushjudge.Message{TLVs: []pushjudge.TLV{tlv(pushjudge.Set, pushjudge.SetHead(0, pushjudge.Whole, 9)...)}})},
	{"a change before the whole set", atSet, aborts, true, func(t *testing.T, j *judged) error {
		return j.Set(j.id, 0, 3, rrs(t, mathTCP+" 5 IN SRV 0 0 9 x.math.tcp.svc.")...)
	}},
	{"a chain of two revisions", inSet, aborts, false, func(t *testing.T, j *judged) error {
		if err := j.Set(j.id, pushjudge.More, 3); err != nil {
			return err
		}
		return j.Set(j.id, 0, 4)
	}},
	{"a removal of what is not there", followed, aborts, false, set(0, 2, []string{mathTCP + " 4294967295 IN SRV 0 0 9 x.math.tcp.svc."}, nil)},
	{"a removal twice", followed, aborts, false, set(0, 2, []string{mathTCP + " 4294967295 IN SRV 10 100 8080 i0.math.tcp.svc.", mathTCP + " 4294967295 IN SRV 10 100 8080 i0.math.tcp.svc."}, nil)},
	{"RFC 8765 6.3.1: a removal of a whole record set", followed, aborts, false, set(0, 2, []string{mathTCP + " 4294967294 IN SRV 10 100 8080 i0.math.tcp.svc."}, nil)},
	{"RFC 8765 6.3.1: another TTL with the highest bit", followed, goesOn, false, set(0, 1, []string{mathTCP + " 2147483648 IN SRV 10 100 8080 x.math.tcp.svc."}, nil)},
	{"a record of another name", followed, aborts, false, set(0, 2, []string{"_b._tcp.svc. 5 IN SRV 10 100 8080 i0.math.tcp.svc."}, nil)},
	{"a record of another type", followed, goesOn, false, set(0, 1, []string{mathTCP + " 5 IN TXT x"}, nil)},
	{"flags that are not known", followed, goesOn, false, set(0xf8, 1, nil, nil)},
	{"what is there already", followed, goesOn, false, set(0, 1, []string{mathTCP + " 5 IN SRV 10 100 8080 i0.math.tcp.svc."}, nil)},
	{"RFC 8765 6.3.1: RDLENGTH is too long", followed, aborts, false, set(0, 2, []string{"i0.math.tcp.svc. 5 IN A 10.0.0.9"}, func(b []byte) []byte { b[len(b)-5]++; return b })},
	{"RFC 8765 6.3.1: RDLENGTH is too short", followed, aborts, false, set(0, 2, []string{"i0.math.tcp.svc. 5 IN A 10.0.0.9"}, func(b []byte) []byte { b[len(b)-5]--; return b })},
	{"RFC 1035 4.1.4: a name that points to itself", followed, aborts, false, set(0, 2, nil, func(b []byte) []byte {
		b = append(b, 0xc0, byte(len(b)-2), 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1)
		b[1], b[17] = byte(len(b)-2), byte(len(b)-18)
		return b
	})},
	{"the end of the connection", atHello, closes, false, func(t *testing.T, j *judged) error { return j.conn.Close() }},
	{"the end in a message", atHello, closes, false, func(t *testing.T, j *judged) error {
		j.raw(0, 40, 0, 0, 0x30)
		return j.conn.Close()
	}},
	{"a message without end", atHello, closes, false, func(t *testing.T, j *judged) error {
		if err := j.raw(0, 40, 0, 0, 0x30); err != nil {
			return err
		}
		return errScript
	}},
	{"a message of an octet in a second", atHello, closes, false, func(t *testing.T, j *judged) error {
		for {
			if err := j.raw(0x2f); err != nil { // a length of 12,079 octets
				return err
			}
			time.Sleep(time.Second)
		}
	}},
	{"silence", atHello, closes, false, func(t *testing.T, j *judged) error { return errScript }},
	{"silence, and it does not read", atHello, closes, false, func(t *testing.T, j *judged) error {
		time.Sleep(20 * time.Minute)
		return j.conn.Close()
	}},
}

// refused writes a request of the server, and expects that the client refuses it.
func (j *judged) refused(request []byte, rcode int) error {
	if err := j.raw(request...); err != nil {
		return err
	}
	b, err := pushjudge.ReadFrame(j.conn)
	if err != nil {
		return err
	}
	m, err := pushjudge.Parse(b)
	if err == nil && (!m.QR || m.ID != 7 || m.Rcode != rcode || len(m.TLVs) > 0) {
		err = fmt.Errorf("the request is answered with %x, want rcode %d", b, rcode)
	}
	return err
}

// TestWhateverAServerSendsTheTruthIsSeen: the client does with each message what the RFCs and
// docs/dns-names.md say, in each state of a session. It sees a change of that moment within a
// TTL, or at once if the session goes on; it sees each state once; it neither hangs nor asks
// more often than without sessions; and it does not connect again and again.
func TestWhateverAServerSendsTheTruthIsSeen(t *testing.T) {
	for _, evil := range evils {
		for at := evil.from; at < len(moments); at++ {
			if evil.want == goesOn && at > evil.from && at != followed || evil.once && at > evil.from {
				continue
			}
			t.Run(evil.name+"/"+moments[at].name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { suffer(t, evil.want, at, evil.send) })
			})
		}
	}
}

// within is the time that the test looks at.
const within = 6 * time.Minute

func suffer(t *testing.T, want, at int, send func(*testing.T, *judged) error) {
	var sent time.Time
	var s *fakeServer
	after := newPush()
	after.records[mathTCP] = instances(t, 3)
	var one sync.Once
	r, s, dials := judging(t, func(j *judged) error {
		j.Compress = at%2 == 0
		if err := moments[at].upTo(t, j); err != nil {
			return err
		}
		one.Do(func() {
			time.Sleep(time.Millisecond) // what came before has its effect
			sent = time.Now()
			s.become(after.handler(t))
		})
		switch err := send(t, j); {
		case err != nil:
			return err
		case want != goesOn:
			return errScript
		}
		if at == atFollow {
			if err := j.Respond(j.ask, dns.RcodeSuccess); err != nil {
				return err
			}
		}
		if at < followed {
			if err := j.whole(t); err != nil {
				return err
			}
		}
		if err := j.Set(j.id, 0, 2, instances(t, 3)[4:]...); err != nil {
			return err
		}
		return j.stay()
	})
	w := watch(t, r, mathTCP)
	time.Sleep(time.Second)
	before := len(s.asked("SRV"))
	time.Sleep(within)
	late := 5*time.Second + lostSpread
	switch {
	case want == goesOn:
		late = 0
	case want == closes && at == followed: // it may take a sign of life to find that the server is silent
		late = probeAfter*7/6 + probePatience + lostSpread
	}
	states := w.seen()
	if len(states) != 2 || len(states[0].Endpoints) != 2 || len(states[1].Endpoints) != 3 || w.times[1].Sub(sent) > late {
		t.Errorf("%d states, want 2; the last one after %v, want at most %v", len(states), w.times[len(states)-1].Sub(sent), late)
	}
	connections, questions := len(dials()), len(s.asked("SRV"))-before
	f := r.Freshness(mathTCP)
	switch want {
	case goesOn:
		if connections != 1 || questions != 0 || f.By != "push" || f.Revision != 2 {
			t.Errorf("%d connections, %d questions, %+v", connections, questions, f)
		}
	case aborts:
		if connections != 1 || f.By != "ttl" {
			t.Errorf("%d connections in 6 minutes, %+v", connections, f)
		}
	case closes:
		if connections < 2 || connections > 2*int(within/time.Minute)+10 {
			t.Errorf("%d connections in 6 minutes", connections)
		}
	}
	if most := int(within/(4*time.Second)) + 2*connections; questions > most {
		t.Errorf("%d questions in 6 minutes of TTL 5 s, want at most %d", questions, most)
	}
	begin := time.Now()
	if w.close(); time.Since(begin) > 0 {
		t.Errorf("the end of the Watch took %v", time.Since(begin))
	}
	time.Sleep(20 * time.Minute) // the script ends
}
