package dso

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// parseRR reads a record in presentation form.
func parseRR(t testing.TB, s string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return rr
}

// octets reads hex; blanks are ignored.
func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// must takes the value of a function that cannot fail here.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// goldens are all messages that can be written, octet for octet.
func goldens(t testing.TB) []struct {
	name string
	from End
	got  []byte
	want string
} {
	bytes := must[[]byte](t)
	srv := parseRR(t, "_math._tcp.svc. 5 IN SRV 10 100 9001 a1.math.tcp.svc.")
	gone := parseRR(t, "_math._tcp.svc. 5 IN SRV 10 100 9001 a2.math.tcp.svc.")
	addr := parseRR(t, "a1.math.tcp.svc. 5 IN A 10.0.0.7")
	sets, err := Sets(Whole, 0x1122334455667788, []dns.RR{srv, addr}, []dns.RR{gone})
	if err != nil {
		t.Fatal(err)
	}
	prefix := sets[0].Prefix(0xabcd)
	stale, err := Sets(Stale, 7, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	stalePrefix := stale[0].Prefix(1)
	pushes, err := Pushes([]dns.RR{srv}, []dns.RR{gone})
	if err != nil {
		t.Fatal(err)
	}
	return []struct {
		name string
		from End
		got  []byte
		want string
	}{
		{
			"KeepAlive request", FromClient, AppendKeepAlive(nil, 0x1234, KeepAlive{15 * time.Second, time.Hour}),
			"0018 1234 3000 0000 0000 0000 0000 0001 0008 00003a98 0036ee80",
		},
		{
			"KeepAlive response", FromServer, AppendResponse(nil, 0x1234, 0, KeepAlive{Forever, Forever}.TLV()),
			"0018 1234 b000 0000 0000 0000 0000 0001 0008 ffffffff ffffffff",
		},
		{
			"KeepAlive of a server", FromServer, AppendKeepAlive(nil, 0, KeepAlive{0, 10 * time.Second}),
			"0018 0000 3000 0000 0000 0000 0000 0001 0008 00000000 00002710",
		},
		{
			"RetryDelay", FromServer, AppendRetryDelay(nil, dns.RcodeRefused, time.Second),
			"0014 0000 3005 0000 0000 0000 0000 0002 0004 000003e8",
		},
		{
			"response with RetryDelay", FromServer, AppendResponse(nil, 1, dns.RcodeRefused, RetryDelay(5*time.Minute)),
			"0014 0001 b005 0000 0000 0000 0000 0002 0004 000493e0",
		},
		{
			"response without TLV", FromServer, AppendResponse(nil, 1, dns.RcodeStatefulTypeNotImplemented),
			"000c 0001 b00b 0000 0000 0000 0000",
		},
		{
			"padded response", FromServer, Pad(AppendResponse(nil, 1, 0), 0, 24),
			"0018 0001 b000 0000 0000 0000 0000 0003 0008 0000000000000000",
		},
		{
			"padding without data", FromServer, Pad(AppendResponse(nil, 1, 0), 0, 16),
			"0010 0001 b000 0000 0000 0000 0000 0003 0000",
		},
		{
			"SUBSCRIBE", FromClient, bytes(AppendSubscribe(nil, 2, Question{"_math._tcp.svc.", dns.TypeSRV, dns.ClassINET})),
			"0024 0002 3000 0000 0000 0000 0000 0040 0014 055f6d617468 045f746370 03737663 00 0021 0001",
		},
		{
			"UNSUBSCRIBE", FromClient, AppendUnsubscribe(nil, 2),
			"0012 0000 3000 0000 0000 0000 0000 0042 0002 0002",
		},
		{
			"RECONFIRM", FromClient, bytes(AppendReconfirm(nil, srv)),
			"003b 0000 3000 0000 0000 0000 0000 0043 002b 055f6d617468 045f746370 03737663 00 0021 0001" +
				"000a 0064 2329 026131 046d617468 03746370 03737663 00",
		},
		{
			"PUSH", FromServer, pushes[0],
			"0055 0000 3000 0000 0000 0000 0000 0041 0045" +
				"055f6d617468 045f746370 03737663 00 0021 0001 00000005 0014 000a 0064 2329 026131 046d617468 03746370 c01b" +
				"c010 0021 0001 ffffffff 000b 000a 0064 2329 026132 c033",
		},
		{
			"FOLLOW", FromClient, bytes(AppendFollow(nil, 3, "_math._tcp.svc.")),
			"0024 0003 3000 0000 0000 0000 0000 f800 0014 055f6d617468 045f746370 03737663 00 0021 0001",
		},
		{
			"FOLLOW response", FromServer, AppendResponse(nil, 3, 0, Following()),
			"0010 0003 b000 0000 0000 0000 0000 f800 0000",
		},
		{
			"SET", FromServer, append(prefix[:], sets[0]...),
			"0070 0000 3000 0000 0000 0000 0000 f801 0060 abcd 01 1122334455667788" +
				"055f6d617468 045f746370 03737663 00 0021 0001 00000005 0014 000a 0064 2329 026131 046d617468 03746370 c026" +
				"c03b 0001 0001 00000005 0004 0a000007" +
				"c01b 0021 0001 ffffffff 000b 000a 0064 2329 026132 c03e",
		},
		{
			"SET of a flag alone", FromServer, append(stalePrefix[:], stale[0]...),
			"001b 0000 3000 0000 0000 0000 0000 f801 000b 0001 04 0000000000000007",
		},
		{
			"UNFOLLOW", FromClient, AppendUnfollow(nil, 3),
			"0012 0000 3000 0000 0000 0000 0000 f802 0002 0003",
		},
	}
}

func TestMessagesAreTheseOctets(t *testing.T) {
	for _, g := range goldens(t) {
		if want := octets(t, g.want); string(g.got) != string(want) {
			t.Errorf("%s:\n%x, want\n%x", g.name, g.got, want)
		}
		if _, err := Read(g.got[2:], g.from); err != nil {
			t.Errorf("%s: it cannot be read: %v", g.name, err)
		}
	}
}

func TestAppendKeepsWhatWasThere(t *testing.T) {
	before := []byte("before")
	b := AppendUnfollow(append([]byte(nil), before...), 3)
	b = Pad(AppendResponse(b, 3, 0), len(b), 128)
	if string(b[:6]) != "before" || string(b[6:26]) != string(AppendUnfollow(nil, 3)) || len(b) != 6+20+2+128 {
		t.Errorf("appended: %x", b)
	}
}

func TestOnlyNamesAreSubscribedTo(t *testing.T) {
	for _, name := range []string{"a..svc.", strings.Repeat("a", 64) + ".svc.", strings.Repeat("abcdefg.", 33)} {
		if b, err := AppendFollow([]byte("x"), 1, name); err == nil || string(b) != "x" {
			t.Errorf("FOLLOW of %q: %x, %v", name, b, err)
		}
		if b, err := AppendSubscribe([]byte("x"), 1, Question{Name: name}); err == nil || string(b) != "x" {
			t.Errorf("SUBSCRIBE to %q: %x, %v", name, b, err)
		}
		rr := &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{1, 2, 3, 4}}
		if b, err := AppendReconfirm([]byte("x"), rr); err == nil || string(b) != "x" {
			t.Errorf("RECONFIRM of %q: %x, %v", name, b, err)
		}
	}
}

func TestTimesAreRoundedUpAndBounded(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-1: 0, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2,
		Forever: 0xffffffff, Forever + 1: 0xffffffff, 1<<63 - 1: 0xffffffff,
	} {
		if got := toMillis(d); got != want {
			t.Errorf("%v: %d ms, want %d", d, got, want)
		}
	}
}
