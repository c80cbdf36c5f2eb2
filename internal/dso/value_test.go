package dso

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

const counts = "0000 0000 0000 0000"

// read reads a message that Read accepts.
func read(t testing.TB, from End, hex string) Message {
	t.Helper()
	m, err := Read(octets(t, hex), from)
	if err != nil {
		t.Fatalf("%s: %v", hex, err)
	}
	return m
}

// TestValuesByTheRFC has a row for each rule that the data of a TLV can break.
func TestValuesByTheRFC(t *testing.T) {
	keepAlive := func(m Message) error { return second(m.KeepAlive()) }
	subscribe := func(m Message) error { return second(m.Subscribe()) }
	follow := func(m Message) error { return second(m.Follow()) }
	unsubscribe := func(m Message) error { return second(m.Unsubscribe()) }
	unfollow := func(m Message) error { return second(m.Unfollow()) }
	retry := func(m Message) error { _, _, err := m.RetryDelay(); return err }
	long := strings.Repeat("3f"+strings.Repeat("61", 63), 4)
	for _, tc := range []struct {
		rule  string
		from  End
		msg   string
		value func(Message) error
		rcode int
		octet int
	}{
		{"8490 7.1: KeepAlive of 7 octets", FromClient, "0001 3000" + counts + "0001 0007 00003a98 000001", keepAlive, dns.RcodeFormatError, 16},
		{"8490 7.1: KeepAlive of 9 octets", FromClient, "0001 3000" + counts + "0001 0009 00003a98 00000001 00", keepAlive, dns.RcodeFormatError, 16},
		{"8490 7.1: any times of a client", FromClient, "0001 3000" + counts + "0001 0008 00000000 00000000", keepAlive, 0, noOctet},
		{"8490 7.1: KeepAlive of a server of 7 octets", FromServer, "0000 3000" + counts + "0001 0007 00003a98 000001", keepAlive, fatal, 16},
		{"8490 6.5.2: an interval of a server below 10 s", FromServer, "0000 3000" + counts + "0001 0008 00000000 0000270f", keepAlive, fatal, 20},
		{"8490 6.5.2: the same in a response", FromServer, "0001 b000" + counts + "0001 0008 00000000 0000270f", keepAlive, fatal, 20},
		{"8490 6.5.2: an interval of 10 s", FromServer, "0001 b000" + counts + "0001 0008 00000000 00002710", keepAlive, 0, noOctet},
		{"8490 7.1: a response without KeepAlive", FromServer, "0001 b000" + counts, keepAlive, fatal, 12},
		{"8490 7.1: a response with two", FromServer, "0001 b000" + counts + "0001 0008 00000000 00002710 0001 0008 00000000 00002710", keepAlive, fatal, 28},
		{"8490 7.1: a request may have two", FromClient, "0001 3000" + counts + "0001 0008 00000000 00002710 0001 0008 00000000 00002710", keepAlive, 0, noOctet},
		{"8490 7.2: RetryDelay of 3 octets", FromServer, "0000 3000" + counts + "0002 0003 000000", retry, fatal, 16},
		{"8490 7.2.2: RetryDelay of 5 octets in a response", FromServer, "0001 b005" + counts + "0003 0001 00 0002 0005 0000000000", retry, fatal, 21},
		{"8490 7.2.2: no RetryDelay in a response", FromServer, "0001 b005" + counts, retry, 0, noOctet},
		{"8765 6.2.1: SUBSCRIBE", FromClient, "0001 3000" + counts + "0040 0007 01 61 00 00ff 00ff", subscribe, 0, noOctet},
		{"8765 6.2.1: of the root", FromClient, "0001 3000" + counts + "0040 0005 00 0021 0001", subscribe, 0, noOctet},
		{"8765 6.2.1: no data", FromClient, "0001 3000" + counts + "0040 0000", subscribe, dns.RcodeFormatError, 16},
		{"8765 6.2.1: in the name", FromClient, "0001 3000" + counts + "0040 0002 02 61", subscribe, dns.RcodeFormatError, 19},
		{"8765 6.2.1: a name that goes on after the TLV", FromClient, "0001 3000" + counts + "0040 0002 01 61 0003 0000", subscribe, dns.RcodeFormatError, 18},
		{"8765 6.2.1: no class", FromClient, "0001 3000" + counts + "0040 0005 01 61 00 0021", subscribe, dns.RcodeFormatError, 19},
		{"8765 6.2.1: two questions", FromClient, "0001 3000" + counts + "0040 000e 01 61 00 0021 0001 01 62 00 0021 0001", subscribe, dns.RcodeFormatError, 19},
		{"8765 6.2.1: a pointer", FromClient, "0001 3000" + counts + "0040 0008 01 61 c010 0021 0001", subscribe, dns.RcodeFormatError, 18},
		{"1035 2.3.4: a label of 64 octets", FromClient, "0001 3000" + counts + "0040 0008 40 61 00 00 0021 0001", subscribe, dns.RcodeFormatError, 16},
		{"1035 2.3.4: a name of 257 octets", FromClient, "0001 3000" + counts + "0040 0105" + long + "00 0021 0001", subscribe, dns.RcodeFormatError, 16},
		{"8765 6.4.1: UNSUBSCRIBE of 1 octet", FromClient, "0000 3000" + counts + "0042 0001 00", unsubscribe, fatal, 16},
		{"8765 6.4.1: UNSUBSCRIBE of 3 octets", FromClient, "0000 3000" + counts + "0042 0003 000000", unsubscribe, fatal, 16},
		{"private: FOLLOW of another type", FromClient, "0001 3000" + counts + "f800 0007 01 61 00 00ff 0001", follow, dns.RcodeFormatError, 19},
		{"private: FOLLOW of another class", FromClient, "0001 3000" + counts + "f800 0007 01 61 00 0021 00ff", follow, dns.RcodeFormatError, 21},
		{"private: FOLLOW of two names", FromClient, "0001 3000" + counts + "f800 000a 01 61 00 01 61 00 0021 0001", follow, dns.RcodeFormatError, 19},
		{"private: UNFOLLOW of 4 octets", FromClient, "0000 3000" + counts + "f802 0004 00000000", unfollow, fatal, 16},
		{"private: FOLLOW response", FromServer, "0001 b000" + counts + "f800 0000", Message.Followed, 0, noOctet},
		{"8490 5.4.2: FOLLOW response without the TLV", FromServer, "0001 b000" + counts, Message.Followed, fatal, 12},
		{"private: FOLLOW response with data", FromServer, "0001 b000" + counts + "f800 0001 00", Message.Followed, fatal, 16},
		{"8490 5.4.2: FOLLOW response with two", FromServer, "0001 b000" + counts + "f800 0000 f800 0000", Message.Followed, fatal, 20},
		{"another value is asked for", FromClient, "0001 3000" + counts + "f800 0007 01 61 00 0021 0001", subscribe, dns.RcodeFormatError, 12},
	} {
		checkError(t, tc.rule, tc.value(read(t, tc.from, tc.msg)), tc.rcode, tc.octet)
	}
}

// TestValuesAreReadAsTheyWereWritten: for all values.
func TestValuesAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := uint16(rapid.IntRange(1, 65535).Draw(t, "id"))
		frame := func(b []byte, err error) []byte {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			if int(b[0])<<8|int(b[1]) != len(b)-2 {
				t.Fatalf("a frame of %d octets says that its message has %d", len(b), int(b[0])<<8|int(b[1]))
			}
			return b[2:]
		}
		back := func(from End, msg []byte) Message {
			t.Helper()
			if rapid.Bool().Draw(t, "padded") {
				block := rapid.SampledFrom([]int{1, 128, 468}).Draw(t, "block")
				padded := Pad(append([]byte{0, 0}, msg...), 0, block)[2:]
				if len(padded)%block != 0 || len(padded) >= len(msg)+tlvSize+block {
					t.Fatalf("%d octets padded to %d in blocks of %d", len(msg), len(padded), block)
				}
				msg = padded
			}
			m, err := Read(msg, from)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		name := drawName(t)
		q := Question{name, uint16(rapid.IntRange(0, 65535).Draw(t, "type")), uint16(rapid.IntRange(0, 65535).Draw(t, "class"))}
		asked := q
		asked.Name = scramble(t, name)
		if got, err := back(FromClient, frame(AppendSubscribe(nil, id, asked))).Subscribe(); err != nil || got != q {
			t.Fatalf("SUBSCRIBE %+v became %+v, %v", q, got, err)
		}
		if m := back(FromClient, frame(AppendFollow(nil, id, asked.Name))); m.ID != id {
			t.Fatalf("id %d became %d", id, m.ID)
		} else if got, err := m.Follow(); err != nil || got != name {
			t.Fatalf("FOLLOW %q became %q, %v", name, got, err)
		}
		if got, err := back(FromClient, AppendUnsubscribe(nil, id)[2:]).Unsubscribe(); err != nil || got != id {
			t.Fatalf("UNSUBSCRIBE %d became %d, %v", id, got, err)
		}
		if got, err := back(FromClient, AppendUnfollow(nil, id)[2:]).Unfollow(); err != nil || got != id {
			t.Fatalf("UNFOLLOW %d became %d, %v", id, got, err)
		}
		k := KeepAlive{drawTime(t, "inactivity"), max(drawTime(t, "interval"), MinInterval)}
		for _, m := range []Message{
			back(FromClient, AppendKeepAlive(nil, id, k)[2:]), back(FromServer, AppendKeepAlive(nil, 0, k)[2:]),
			back(FromServer, AppendResponse(nil, id, 0, k.TLV())[2:]),
		} {
			if got, err := m.KeepAlive(); err != nil || got != k {
				t.Fatalf("%+v became %+v, %v", k, got, err)
			}
		}
		rcode, delay := rapid.IntRange(0, 15).Draw(t, "rcode"), drawTime(t, "delay")
		for _, m := range []Message{
			back(FromServer, AppendRetryDelay(nil, rcode, delay)[2:]),
			back(FromServer, AppendResponse(nil, id, rcode, Following(), RetryDelay(delay))[2:]),
		} {
			if got, ok, err := m.RetryDelay(); err != nil || !ok || got != delay || m.Rcode != rcode {
				t.Fatalf("RetryDelay %v, rcode %d became %v, %t, %v, rcode %d", delay, rcode, got, ok, err, m.Rcode)
			}
		}
	})
}

// drawName makes a name in lower case, with labels of any octets.
func drawName(t *rapid.T) string {
	octet := rapid.SampledFrom(slices.Concat([]byte("abz_-09"), []byte{0, '.', '\\', '"', ' ', '@', 0x7f, 0xff}))
	labels := rapid.SliceOfN(rapid.SliceOfN(octet, 1, 20), 0, 8).Draw(t, "labels")
	var wire []byte
	for _, l := range labels {
		wire = append(append(wire, byte(len(l))), l...)
	}
	text, _, err := dns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// scramble changes the case of a name.
func scramble(t *rapid.T, name string) string {
	if rapid.Bool().Draw(t, "upper") {
		return strings.ToUpper(name)
	}
	return name
}

func drawTime(t *rapid.T, what string) time.Duration {
	return time.Duration(rapid.Uint32().Draw(t, what)) * time.Millisecond
}

func TestDefaultRetryDelayByTheRFC(t *testing.T) {
	for rcode, want := range map[int]time.Duration{
		dns.RcodeFormatError: 5 * time.Minute, dns.RcodeServerFailure: time.Minute, dns.RcodeNotImplemented: time.Hour,
		dns.RcodeRefused: 5 * time.Minute, dns.RcodeNotAuth: 5 * time.Minute,
		dns.RcodeStatefulTypeNotImplemented: time.Hour, 15: 5 * time.Minute,
	} {
		if got := DefaultRetryDelay(rcode); got != want {
			t.Errorf("%s: %v, want %v", dns.RcodeToString[rcode], got, want)
		}
	}
}
