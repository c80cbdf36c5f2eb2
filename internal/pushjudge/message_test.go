package pushjudge

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func rr(s string) dns.RR {
	r, err := dns.NewRR(s)
	if err != nil {
		panic(err)
	}
	return r
}

func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const mathName = "055f6d617468 045f746370 03737663 00" // _math._tcp.svc.

// TestMessagesAreTheseOctets: written by hand from the figures of the RFCs.
func TestMessagesAreTheseOctets(t *testing.T) {
	for _, g := range goldens() {
		got, want := g.m.Frame(), octets(t, g.want)
		if string(got) != string(want) {
			t.Errorf("%s:\n%x, want\n%x", g.name, got, want)
		}
		m, err := Parse(want[2:])
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		} else if string(m.Frame()) != string(want) {
			t.Errorf("%s: read and written: %x", g.name, m.Frame())
		}
	}
}

// TestThePageHasTheGoldens: each message in the example of docs/dns-names.md is one of these,
// and all private ones are there.
func TestThePageHasTheGoldens(t *testing.T) {
	page, err := os.ReadFile("../../docs/dns-names.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "```\nFOLLOW ")
	example, _, found := strings.Cut("FOLLOW "+example, "```")
	if !found {
		t.Fatal("there is no example that begins with FOLLOW")
	}
	shown := make(map[string]string)
	name := ""
	for line := range strings.Lines(example) {
		label, rest := strings.TrimSpace(line[:min(17, len(line)-1)]), line[min(17, len(line)-1):]
		if label != "" {
			name = label
		}
		shown[name] += rest
	}
	for _, g := range goldens() {
		if strings.HasPrefix(g.name, "RFC") {
			continue
		}
		if got := octets(t, shown[g.name]); string(got) != string(octets(t, g.want)) {
			t.Errorf("%s: the page has\n%x, want\n%x", g.name, got, octets(t, g.want))
		}
		delete(shown, g.name)
	}
	for name := range shown {
		t.Errorf("%s is no message of the goldens", name)
	}
}

type golden struct {
	name string
	m    Message
	want string
}

func goldens() []golden {
	srv, gone := rr("_math._tcp.svc. 5 IN SRV 10 100 9001 a.svc."), rr("_math._tcp.svc. 5 IN SRV 10 100 9002 a.svc.")
	gone.Header().Ttl = Remove
	return []golden{
		{"RFC 8490 7.1: KeepAlive", Message{ID: 1, TLVs: []TLV{{KeepAlive, Times(15*time.Second, time.Hour)}}}, "0018 0001 3000 0000 0000 0000 0000 0001 0008 00003a98 0036ee80"},
		{"RFC 8490 7.1: its response", Message{ID: 1, QR: true, TLVs: []TLV{{KeepAlive, Times(15*time.Second, time.Hour)}}}, "0018 0001 b000 0000 0000 0000 0000 0001 0008 00003a98 0036ee80"},
		{"RFC 8490 7.2.1: RetryDelay", Message{Rcode: 5, TLVs: []TLV{{RetryDelay, Times(time.Second)}}}, "0014 0000 3005 0000 0000 0000 0000 0002 0004 000003e8"},
		{"RFC 8490 7.2.2: RetryDelay in a response", Message{ID: 1, QR: true, Rcode: 9, TLVs: []TLV{{RetryDelay, Times(5 * time.Minute)}}}, "0014 0001 b009 0000 0000 0000 0000 0002 0004 000493e0"},
		{"RFC 8490 7.3: padding", Message{ID: 1, QR: true, TLVs: []TLV{{Padding, make([]byte, 3)}}}, "0013 0001 b000 0000 0000 0000 0000 0003 0003 000000"},
		{"RFC 8765 6.2.1: SUBSCRIBE", Message{ID: 2, TLVs: []TLV{{Subscribe, Question("_math._tcp.svc.", 33, 1)}}}, "0024 0002 3000 0000 0000 0000 0000 0040 0014" + mathName + "0021 0001"},
		{"RFC 8765 6.3.1: PUSH", Message{TLVs: []TLV{{Push, Changes(nil, true, srv, gone)}}}, "0050 0000 3000 0000 0000 0000 0000 0041 0040" +
			mathName + "0021 0001 00000005 000d 000a 0064 2329 01 61 03737663 00 c010 0021 0001 ffffffff 000d 000a 0064 232a 01 61 03737663 00"},
		{"RFC 8765 6.4.1: UNSUBSCRIBE", Message{TLVs: []TLV{{Unsubscribe, Number(2)}}}, "0012 0000 3000 0000 0000 0000 0000 0042 0002 0002"},
		{"FOLLOW", Message{ID: 3, TLVs: []TLV{{Follow, Question("_math._tcp.svc.", 33, 1)}}}, "0024 0003 3000 0000 0000 0000 0000 f800 0014" + mathName + "0021 0001"},
		{"FOLLOW response", Message{ID: 3, QR: true, TLVs: []TLV{{Follow, nil}}}, "0010 0003 b000 0000 0000 0000 0000 f800 0000"},
		{"SET", Message{TLVs: []TLV{{Set, Changes(SetHead(3, Whole, 9), true, srv)}}}, "0042 0000 3000 0000 0000 0000 0000 f801 0032 0003 01 0000000000000009" +
			mathName + "0021 0001 00000005 000d 000a 0064 2329 01 61 03737663 00"},
		{"UNFOLLOW", Message{TLVs: []TLV{{Unfollow, Number(3)}}}, "0012 0000 3000 0000 0000 0000 0000 f802 0002 0003"},
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for msg, section := range map[string]string{
		"0001 3000 00": "RFC 1035 section 4.1.1",
		"0001 0000 0000 0000 0000 0000 0001 0000":    "RFC 8490 section 5.4:",
		"0001 3100 0000 0000 0000 0000 0001 0000":    "RFC 8490 section 5.4.1",
		"0001 3000 0000 0000 0000 0001 0001 0000":    "RFC 8490 section 5.4:",
		"0001 3000 0000 0000 0000 0000 0001 0001":    "RFC 8490 section 5.4.4",
		"0001 3000 0000 0000 0000 0000 0001 00":      "RFC 8490 section 5.4.4",
		"0001 3000 0000 0000 0000 0000":              "RFC 8490 section 5.4.2",
		"0001 3000 0000 0000 0000 0000 0001 0000 00": "RFC 8490 section 5.4.4",
	} {
		if _, err := Parse(octets(t, msg)); err == nil || !strings.Contains(err.Error(), section) {
			t.Errorf("%s: %v, want %s", msg, err, section)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Message{ID: 3, TLVs: []TLV{{Follow, Question("_math._tcp.svc.", 33, 1)}}}.Frame()[2:])
	f.Add(Message{TLVs: []TLV{{Set, Changes(SetHead(3, Whole, 9), true, rr("a.svc. 5 IN A 10.0.0.7"))}}}.Frame()[2:])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil || len(m.TLVs) == 0 {
			return
		}
		m.Retry()
		_, _ = m.question()
		_, _ = m.records(0)
	})
}
