package dso

import (
	"errors"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const noOctet = -1 // the octet of an error that must not be there

// TestReadByTheRFC has a row for each rule that a message can break.
func TestReadByTheRFC(t *testing.T) {
	const zero = "0000 0000 0000 0000"
	keepAlive, padding := "0001 0008 00003a98 0036ee80", "0003 0002 0102"
	name := "01 61 00"
	for _, tc := range []struct {
		rule  string
		from  End
		msg   string
		rcode int // of the error; fatal; 0: there is none
		octet int
	}{
		{"RFC 1035 4.1.1: empty", FromClient, "", fatal, 0},
		{"RFC 1035 4.1.1: in the header", FromClient, "0001 3000 0000 0000 0000 00", fatal, 11},
		{"8490 5.4: opcode", FromClient, "0001 0000" + zero + keepAlive, fatal, 2},
		{"8490 5.4: QDCOUNT", FromClient, "0001 3000 0001 0000 0000 0000" + keepAlive, dns.RcodeFormatError, 4},
		{"8490 5.4: ANCOUNT", FromClient, "0001 3000 0000 0001 0000 0000" + keepAlive, dns.RcodeFormatError, 6},
		{"8490 5.4: NSCOUNT", FromClient, "0001 3000 0000 0000 0001 0000" + keepAlive, dns.RcodeFormatError, 8},
		{"8490 5.4.6: ARCOUNT", FromClient, "0001 3000 0000 0000 0000 0001" + keepAlive, dns.RcodeFormatError, 10},
		{"8490 5.4.3: a count in a unidirectional message", FromServer, "0000 3000 0000 0000 0000 0001" + keepAlive, fatal, 10},
		{"8490 5.4.3: a count in a response", FromServer, "0001 b000 0000 0000 0000 0001" + keepAlive, fatal, 10},
		{"8490 5.4.1: a response of id 0", FromServer, "0000 b000" + zero, fatal, 0},
		{"8490 5.4.1: Z bits are ignored", FromClient, "0001 37f0" + zero + keepAlive, 0, noOctet},
		{"8490 5.5.2: a response to a server", FromClient, "0001 b000" + zero, fatal, 2},
		{"8490 5.4.2: a request without TLV", FromClient, "0001 3000" + zero, dns.RcodeFormatError, 12},
		{"8490 5.4.2: a unidirectional message without TLV", FromClient, "0000 3000" + zero, fatal, 12},
		{"8490 5.4.2: a response without TLV", FromServer, "0001 b000" + zero, 0, noOctet},
		{"8490 5.4.4: half of the head of a TLV", FromClient, "0001 3000" + zero + "0001 00", dns.RcodeFormatError, 12},
		{"8490 5.4.4: a TLV beyond the end", FromClient, "0001 3000" + zero + "0001 0009 00003a98 0036ee80", dns.RcodeFormatError, 12},
		{"8490 5.4.4: an additional TLV beyond the end", FromClient, "0001 3000" + zero + keepAlive + "0003 0001", dns.RcodeFormatError, 24},
		{"8490 5.4.4: the same, unidirectional", FromServer, "0000 3000" + zero + keepAlive + "0003 0001", fatal, 24},
		{"8490 5.4.4: the same, a response", FromServer, "0001 b000" + zero + keepAlive + "0003 0001", fatal, 24},
		{"8490 5.4.5: unknown in a request", FromClient, "0001 3000" + zero + "fbff 0000", dns.RcodeStatefulTypeNotImplemented, 12},
		{"8490 5.4.5: unknown in a request of a server", FromServer, "0001 3000" + zero + "fbff 0000", dns.RcodeStatefulTypeNotImplemented, 12},
		{"8490 5.4.5: unknown in a unidirectional message", FromClient, "0000 3000" + zero + "fbff 0000", fatal, 12},
		{"8490 5.4.5: unknown in a unidirectional message of a server", FromServer, "0000 3000" + zero + "fbff 0000", fatal, 12},
		{"8490 5.4.5: unknown and additional", FromClient, "0001 3000" + zero + keepAlive + "fbff 0001 00", 0, noOctet},
		{"8490 5.4.5: unknown in a response", FromServer, "0001 b000" + zero + "fbff 0001 00", 0, noOctet},
		{"8490 10.3: type 0 is reserved", FromClient, "0001 3000" + zero + "0000 0000", dns.RcodeStatefulTypeNotImplemented, 12},
		{"8490 7.1: KeepAlive request", FromClient, "0001 3000" + zero + keepAlive, 0, noOctet},
		{"8490 7.1: KeepAlive of a client without id", FromClient, "0000 3000" + zero + keepAlive, fatal, 12},
		{"8490 7.1: KeepAlive of a server", FromServer, "0000 3000" + zero + keepAlive, 0, noOctet},
		{"8490 7.1: KeepAlive of a server with id", FromServer, "0001 3000" + zero + keepAlive, fatal, 12},
		{"8490 7.2.1: RetryDelay of a server", FromServer, "0000 3005" + zero + "0002 0004 00000001", 0, noOctet},
		{"8490 7.2.1: RetryDelay of a server with id", FromServer, "0001 3005" + zero + "0002 0004 00000001", fatal, 12},
		{"8490 7.2.1: RetryDelay of a client", FromClient, "0000 3000" + zero + "0002 0004 00000001", fatal, 12},
		{"8490 7.2.1: RetryDelay of a client with id", FromClient, "0001 3000" + zero + "0002 0004 00000001", fatal, 12},
		{"8490 7.3: padding", FromClient, "0001 3000" + zero + keepAlive + padding, 0, noOctet},
		{"8490 7.3: padding as the primary TLV", FromClient, "0001 3000" + zero + padding, dns.RcodeStatefulTypeNotImplemented, 12},
		{"8490 7.3: the same, unidirectional", FromServer, "0000 3000" + zero + padding, fatal, 12},
		{"8490 7.3: padding alone in a response", FromServer, "0001 b000" + zero + padding, 0, noOctet},
		{"8765 6.2.1: SUBSCRIBE without id", FromClient, "0000 3000" + zero + "0040 0007" + name + "0021 0001", fatal, 12},
		{"8765 6.6: SUBSCRIBE of a server", FromServer, "0001 3000" + zero + "0040 0007" + name + "0021 0001", fatal, 12},
		{"8765 6.2.2: SUBSCRIBE in a response is ignored", FromServer, "0001 b000" + zero + "0040 0000", 0, noOctet},
		{"8765 6.3: PUSH of a client", FromClient, "0000 3000" + zero + "0041 0001 00", fatal, 12},
		{"8765 6.3: PUSH of a client with id", FromClient, "0001 3000" + zero + "0041 0001 00", fatal, 12},
		{"8765 6.3: PUSH as a response", FromServer, "0001 b000" + zero + "0041 0001 00", fatal, 12},
		{"8490 5.4.1: PUSH with id", FromServer, "0001 3000" + zero + "0041 0001 00", fatal, 12},
		{"8765 6.4: UNSUBSCRIBE of a server", FromServer, "0000 3000" + zero + "0042 0002 0001", fatal, 12},
		{"8765 6.4: UNSUBSCRIBE as a response", FromServer, "0001 b000" + zero + "0042 0002 0001", fatal, 12},
		{"8490 5.4.1: UNSUBSCRIBE with id", FromClient, "0001 3000" + zero + "0042 0002 0001", fatal, 12},
		{"8765 6.5: RECONFIRM of a server", FromServer, "0000 3000" + zero + "0043 0002 0001", fatal, 12},
		{"8765 6.5: RECONFIRM as a response", FromServer, "0001 b000" + zero + "0043 0002 0001", fatal, 12},
		{"8490 5.4.1: RECONFIRM with id", FromClient, "0001 3000" + zero + "0043 0002 0001", fatal, 12},
		{"private: FOLLOW without id", FromClient, "0000 3000" + zero + "f800 0007" + name + "0021 0001", fatal, 12},
		{"private: FOLLOW of a server", FromServer, "0001 3000" + zero + "f800 0007" + name + "0021 0001", fatal, 12},
		{"private: SET of a client", FromClient, "0000 3000" + zero + "f801 000b 0001 01 0000000000000001", fatal, 12},
		{"private: SET with id", FromServer, "0001 3000" + zero + "f801 000b 0001 01 0000000000000001", fatal, 12},
		{"private: SET as a response", FromServer, "0001 b000" + zero + "f801 000b 0001 01 0000000000000001", fatal, 12},
		{"private: UNFOLLOW of a server", FromServer, "0000 3000" + zero + "f802 0002 0001", fatal, 12},
		{"private: UNFOLLOW with id", FromClient, "0001 3000" + zero + "f802 0002 0001", fatal, 12},
	} {
		_, err := Read(octets(t, tc.msg), tc.from)
		checkError(t, tc.rule, err, tc.rcode, tc.octet)
	}
}

// checkError checks that an error has an RCODE and names an octet; noOctet: that there is
// none.
func checkError(t *testing.T, what string, err error, rcode, octet int) {
	t.Helper()
	if octet == noOctet {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s: error %v, want one at octet %d", what, err, octet)
		return
	}
	if e.Rcode != rcode || e.Octet != octet {
		t.Errorf("%s: %v; want rcode %d at octet %d", what, err, rcode, octet)
	}
	if Fatal(err) != (rcode == fatal) || rcode != fatal && Rcode(err) != rcode {
		t.Errorf("%s: fatal %t, rcode %d", what, Fatal(err), Rcode(err))
	}
}

func TestErrorSaysWhatTheOtherEndMustSee(t *testing.T) {
	if got := (&Error{dns.RcodeFormatError, 12, "it is bad"}).Error(); got != "dso: read message: octet 12: it is bad (FORMERR)" {
		t.Error(got)
	}
	if got := (&Error{fatal, 12, "it is bad"}).Error(); !strings.HasSuffix(got, "(fatal)") {
		t.Error(got)
	}
	if Fatal(nil) || Fatal(errors.New("other")) || Rcode(nil) != 0 || Rcode(errors.New("other")) != dns.RcodeServerFailure || Rcode(&Error{Rcode: fatal}) != dns.RcodeServerFailure {
		t.Error("an error of another package is taken for one of this")
	}
}

func TestTheHeaderSaysWhatAMessageIs(t *testing.T) {
	for _, tc := range []struct {
		frame   []byte
		from    End
		id      uint16
		request bool
		rcode   int
		primary Type
		padded  bool
	}{
		{AppendKeepAlive(nil, 7, KeepAlive{}), FromClient, 7, true, 0, TypeKeepAlive, false},
		{Pad(AppendKeepAlive(nil, 7, KeepAlive{}), 0, 128), FromClient, 7, true, 0, TypeKeepAlive, true},
		{AppendUnfollow(nil, 7), FromClient, 0, false, 0, TypeUnfollow, false},
		{AppendResponse(nil, 7, dns.RcodeNotAuth), FromServer, 7, false, dns.RcodeNotAuth, 0, false},
		{Pad(AppendResponse(nil, 7, 0), 0, 128), FromServer, 7, false, 0, TypePadding, true},
		{AppendRetryDelay(nil, dns.RcodeServerFailure, 0), FromServer, 0, false, dns.RcodeServerFailure, TypeRetryDelay, false},
	} {
		if !Is(tc.frame[2:]) {
			t.Errorf("%x is not taken for DSO", tc.frame)
		}
		m, err := Read(tc.frame[2:], tc.from)
		if err != nil {
			t.Errorf("%x: %v", tc.frame, err)
		}
		if m.ID != tc.id || m.Request() != tc.request || m.Rcode != tc.rcode || m.Primary.Type != tc.primary || m.Padded() != tc.padded {
			t.Errorf("%x: %+v", tc.frame, m)
		}
	}
	query := new(dns.Msg)
	query.SetQuestion("_math._tcp.svc.", dns.TypeSRV)
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if Is(packed) || Is(nil) || Is(make([]byte, headerSize)) {
		t.Error("a query is taken for DSO")
	}
}

// TestUnimplementedIsByTheKindOfMessage: RFC 8765 is not served on TCP without TLS.
func TestUnimplementedIsByTheKindOfMessage(t *testing.T) {
	for _, tc := range []struct {
		frame []byte
		rcode int
	}{
		{must[[]byte](t)(AppendSubscribe(nil, 1, Question{"svc.", 33, 1})), dns.RcodeStatefulTypeNotImplemented},
		{AppendUnsubscribe(nil, 1), fatal},
	} {
		m, err := Read(tc.frame[2:], FromClient)
		if err != nil || !m.Primary.Type.NeedsTLS() {
			t.Fatalf("%v, needs TLS: %t", err, m.Primary.Type.NeedsTLS())
		}
		checkError(t, m.Primary.Type.String(), m.Unimplemented(), tc.rcode, headerSize)
	}
	for _, typ := range []Type{TypeKeepAlive, TypeRetryDelay, TypePadding, TypeFollow, TypeSet, TypeUnfollow} {
		if typ.NeedsTLS() {
			t.Errorf("%s needs TLS", typ)
		}
	}
	if got := Type(0x44).String(); got != "DSO-TYPE 68" {
		t.Error(got)
	}
}

// FuzzRead reads what may come over a socket. Whatever is accepted keeps the rules, and a
// SET can be written again.
func FuzzRead(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.got[2:], g.from == FromServer)
	}
	f.Fuzz(func(t *testing.T, msg []byte, server bool) {
		from := FromClient
		if server {
			from = FromServer
		}
		m, err := Read(msg, from)
		if err != nil {
			if m.Request() && Fatal(err) && m.Primary.Data == nil && len(msg) >= headerSize && Is(msg) {
				t.Fatalf("a request whose header is good has no answer: %v", err)
			}
			return
		}
		for range m.Additional() {
		}
		m.Padded()
		for _, err := range []error{
			second(m.KeepAlive()), second(m.Subscribe()), second(m.Follow()), second(m.Unsubscribe()), second(m.Unfollow()),
			second(m.Reconfirm()), second(m.Push()), second(m.Set()), m.Followed(),
		} {
			if err != nil && Fatal(err) == m.Request() {
				t.Fatalf("a fault in a %s is fatal: %t: %v", m.Primary.Type, Fatal(err), err)
			}
		}
		if _, _, err := m.RetryDelay(); err != nil && Fatal(err) == m.Request() {
			t.Fatal(err)
		}
		if s, err := m.Set(); err == nil {
			checkSetAgain(t, s)
		}
		if q, err := m.Subscribe(); err == nil {
			frame, err := AppendSubscribe(nil, m.ID, q)
			if err != nil {
				t.Fatalf("%+v was read, but cannot be written: %v", q, err)
			}
			again, err := Read(frame[2:], FromClient)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := again.Subscribe(); err != nil || p != q {
				t.Fatalf("%+v became %+v: %v", q, p, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
