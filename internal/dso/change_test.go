package dso

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// text gives changes a form to compare.
func text(changes []Change) (lines []string) {
	for _, c := range changes {
		switch c.Op {
		case Add:
			lines = append(lines, "+ "+c.RR.String())
		case Remove:
			lines = append(lines, "- "+c.RR.String())
		default:
			lines = append(lines, fmt.Sprintf("-- %s %d %d", c.Name, c.Type, c.Class))
		}
	}
	return lines
}

// TestChangesByTheRFC reads PUSH messages of one or two records, each row by a rule of
// RFC 8765 section 6.3.1, and the same in a SET.
func TestChangesByTheRFC(t *testing.T) {
	a := "01 61 00 0001 0001 00000005 0004 0a000007"
	for _, tc := range []struct {
		rule    string
		records string
		octet   int    // of the error in a PUSH, counted from the first record
		want    string // the changes, joined
	}{
		{"add", a, noOctet, "+ a.\t5\tIN\tA\t10.0.0.7"},
		{"names in any case", "01 41 00 0001 0001 00000005 0004 0a000007", noOctet, "+ a.\t5\tIN\tA\t10.0.0.7"},
		{"add with TTL 0", "01 61 00 0001 0001 00000000 0004 0a000007", noOctet, "+ a.\t0\tIN\tA\t10.0.0.7"},
		{"add with the highest TTL", "01 61 00 0001 0001 7fffffff 0004 0a000007", noOctet, "+ a.\t2147483647\tIN\tA\t10.0.0.7"},
		{"remove", "01 61 00 0001 0001 ffffffff 0004 0a000007", noOctet, "- a.\t0\tIN\tA\t10.0.0.7"},
		{"other TTLs are ignored", "01 61 00 0001 0001 80000000 0004 0a000007" + a, noOctet, "+ a.\t5\tIN\tA\t10.0.0.7"},
		{"AAAA", "01 61 00 001c 0001 00000005 0010 20010db8000000000000000000000001", noOctet, "+ a.\t5\tIN\tAAAA\t2001:db8::1"},
		{"SRV", "01 61 00 0021 0001 00000005 0009 0001 0002 0003 01 62 00", noOctet, "+ a.\t5\tIN\tSRV\t1 2 3 b."},
		{"SRV with a compressed target", "01 61 00 0021 0001 00000005 000a 0001 0002 0003 01 42 c0XX", noOctet, "+ a.\t5\tIN\tSRV\t1 2 3 b.a."},
		{"SRV that is not offered", "01 61 00 0021 0001 00000005 0007 0001 0002 0003 00", noOctet, "+ a.\t5\tIN\tSRV\t1 2 3 ."},
		{"an owner that is a pointer", a + "c0XX 0001 0001 00000005 0004 0a000008", noOctet, "+ a.\t5\tIN\tA\t10.0.0.7; + a.\t5\tIN\tA\t10.0.0.8"},

		{"in the name", "01 61", 2, ""},
		{"in the header of the record", "01 61 00 0001 0001 00000005 00", 3, ""},
		{"in the data", "01 61 00 0001 0001 00000005 0005 0a000007", 11, ""},
		{"half of a pointer", a + "c0", 17, ""},
		{"a pointer to itself", "c0XX 0001 0001 00000005 0004 0a000007", 0, ""},
		{"a pointer to what follows", "c0YY" + a, 0, ""},
		{"a pointer into the header", "c000 0001 0001 00000005 0004 0a000007", 0, ""},
		{"a pointer from a label to the name itself", "01 61 c0XX 0001 0001 00000005 0004 0a000007", 2, ""},
		{"a label of a kind that is not in use", "80 61 00 0001 0001 00000005 0004 0a000007", 0, ""},
		{"add of type ANY", "01 61 00 00ff 0001 00000005 0000", 3, ""},
		{"add of class ANY", "01 61 00 0001 00ff 00000005 0004 0a000007", 3, ""},
		{"remove of class ANY", "01 61 00 0001 00ff ffffffff 0004 0a000007", 3, ""},
		{"A of 3 octets", "01 61 00 0001 0001 00000005 0003 0a0000", 13, ""},
		{"A without data", "01 61 00 0001 0001 00000005 0000", 13, ""},
		{"AAAA of 4 octets", "01 61 00 001c 0001 00000005 0004 0a000007", 13, ""},
		{"SRV of 6 octets", "01 61 00 0021 0001 00000005 0006 0001 0002 0003", 13, ""},
		{"SRV with a target beyond the data", "01 61 00 0021 0001 00000005 0008 0001 0002 0003 01 62", 21, ""},
		{"SRV with octets after the target", "01 61 00 0021 0001 00000005 000a 0001 0002 0003 01 62 00 00", 22, ""},
	} {
		for _, form := range []struct {
			name, head string
			at         int
			changes    func(Message) ([]Change, error)
		}{
			{"PUSH", "0041 %04x", 16, Message.Push},
			{"SET", "f801 %04x 0001 00 0000000000000001", 27, func(m Message) ([]Change, error) {
				s, err := m.Set()
				return s.Changes, err
			}},
		} {
			records := strings.NewReplacer("XX", fmt.Sprintf("%02x", form.at), "YY", fmt.Sprintf("%02x", form.at+2)).Replace(tc.records)
			size := len(octets(t, records)) + form.at - 16
			m := read(t, FromServer, "0000 3000"+counts+fmt.Sprintf(form.head, size)+records)
			changes, err := form.changes(m)
			octet := tc.octet
			if octet != noOctet {
				octet += form.at
			}
			checkError(t, form.name+": "+tc.rule, err, fatal, octet)
			if got := strings.Join(text(changes), "; "); got != tc.want && tc.octet == noOctet {
				t.Errorf("%s: %s: %q, want %q", form.name, tc.rule, got, tc.want)
			}
		}
	}
}

// TestWhatOnlyAPushHas: collective removals and records of any type.
func TestWhatOnlyAPushHas(t *testing.T) {
	for _, tc := range []struct {
		rule    string
		records string
		octet   int // of the error in a PUSH
		push    string
		inSet   int // octet of the error in a SET
	}{
		{"a record set", "01 61 00 0001 0001 fffffffe 0000", noOctet, "-- a. 1 1", 34},
		{"all types of a class", "01 61 00 00ff 0001 fffffffe 0000", noOctet, "-- a. 255 1", 34},
		{"all classes: the type is ignored", "01 61 00 0000 00ff fffffffe 0000", noOctet, "-- a. 255 255", 34},
		{"a record set with data", "01 61 00 0001 0001 fffffffe 0004 0a000007", 27, "", 34},
		{"another type", "01 61 00 0010 0001 00000005 0003 02 7861", noOctet, "+ a.\t5\tIN\tTXT\t\"xa\"", noOctet},
		{"a type without a name", "01 61 00 fff0 0001 00000005 0002 0102", noOctet, "+ a.\t5\tCLASS1\tTYPE65520\t\\# 2 0102", noOctet},
		{"another class", "01 61 00 0001 0003 00000005 0004 0a000007", noOctet, "+ a.\t5\tCH\tA\t10.0.0.7", noOctet},
		{"no data at all", "01 61 00 002a 0001 00000005 0000", noOctet, "+ a.\t5\tIN\tAPL\t", noOctet},
		{"a type whose data is broken", "01 61 00 0010 0001 00000005 0003 03 7861", 29, "", noOctet},
		{"a type whose data ends early", "01 61 00 000f 0001 00000005 0001 00", 29, "", noOctet},
	} {
		size := len(octets(t, tc.records))
		changes, err := read(t, FromServer, "0000 3000"+counts+fmt.Sprintf("0041 %04x", size)+tc.records).Push()
		checkError(t, "PUSH: "+tc.rule, err, fatal, tc.octet)
		if got := strings.Join(text(changes), "; "); got != tc.push {
			t.Errorf("PUSH: %s: %q, want %q", tc.rule, got, tc.push)
		}
		s, err := read(t, FromServer, "0000 3000"+counts+fmt.Sprintf("f801 %04x 0001 00 0000000000000001", size+11)+tc.records).Set()
		checkError(t, "SET: "+tc.rule, err, fatal, tc.inSet)
		if len(s.Changes) > 0 {
			t.Errorf("SET: %s: %q", tc.rule, text(s.Changes))
		}
	}
}

func TestPushAndSetByTheRFC(t *testing.T) {
	push := func(m Message) error { return second(m.Push()) }
	set := func(m Message) error { return second(m.Set()) }
	big := func(size int) string {
		a := "01 61 00 0010 0001 00000005"
		data := size - 16 - 13
		return "0000 3000" + counts + fmt.Sprintf("0041 %04x", data+13) + a + fmt.Sprintf("%04x", data) + strings.Repeat("00", data)
	}
	for _, tc := range []struct {
		rule  string
		msg   string
		value func(Message) error
		octet int
	}{
		{"8765 6.3.1: PUSH without a change", "0000 3000" + counts + "0041 0000", push, 16},
		{"8765 6.3.1: the largest", big(MaxPush), push, noOctet},
		{"8765 6.3.1: a larger one", big(MaxPush + 1), push, MaxPush},
		{"8490 5.4.5: an unknown TLV after it", "0000 3000" + counts + "0041 0011 01 61 00 0001 0001 00000005 0004 0a000007 fbff 0000", push, noOctet},
		{"private: SET of 10 octets", "0000 3000" + counts + "f801 000a 0001 00 00000000000000", set, 16},
		{"private: SET of id 0", "0000 3000" + counts + "f801 000b 0000 00 0000000000000001", set, 16},
		{"private: unknown flags are ignored", "0000 3000" + counts + "f801 000b 0001 f8 0000000000000001", set, noOctet},
		{"another value is asked for", "0000 3000" + counts + "0041 0001 00", set, 12},
	} {
		checkError(t, tc.rule, tc.value(read(t, FromServer, tc.msg)), fatal, tc.octet)
	}
	s, err := read(t, FromServer, "0000 3000"+counts+"f801 000b abcd 07 1122334455667788").Set()
	if err != nil || s.ID != 0xabcd || s.Flags != Whole|More|Stale || s.Revision != 0x1122334455667788 || s.Changes != nil {
		t.Errorf("SET: %+v, %v", s, err)
	}
}

func TestReconfirmByTheRFC(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		data  string
		octet int
		want  string
	}{
		{"A", "01 61 00 0001 0001 0a000007", noOctet, "a.\t0\tIN\tA\t10.0.0.7"},
		{"SRV", "01 61 00 0021 0001 0001 0002 0003 01 62 00", noOctet, "a.\t0\tIN\tSRV\t1 2 3 b."},
		{"TXT", "01 61 00 0010 0001 01 62", noOctet, "a.\t0\tIN\tTXT\t\"b\""},
		{"no data at all", "01 61 00 002a 0001", noOctet, "a.\t0\tIN\tAPL\t"},
		{"type ANY", "01 61 00 00ff 0001", 19, ""},
		{"class ANY", "01 61 00 0001 00ff 0a000007", 19, ""},
		{"no class", "01 61 00 0001 00", 19, ""},
		{"no name", "", 16, ""},
		{"two records", "01 61 00 0001 0001 0a000007 01 61 00 0001 0001 0a000007", 23, ""},
		{"broken data", "01 61 00 0010 0001 02 62", 23, ""},
	} {
		m := read(t, FromClient, "0000 3000"+counts+fmt.Sprintf("0043 %04x", len(octets(t, tc.data)))+tc.data)
		rr, err := m.Reconfirm()
		checkError(t, tc.rule, err, fatal, tc.octet)
		if err == nil && rr.String() != tc.want {
			t.Errorf("%s: %q, want %q", tc.rule, rr, tc.want)
		}
	}
	for _, s := range []string{
		"_math._tcp.svc. 5 IN SRV 10 100 9001 a1.math.tcp.svc.", "a1.math.tcp.svc. 5 IN A 10.0.0.7",
		"a1._math._tcp.svc. 5 IN TXT \"a=b\" \"c\"", "_math._tcp.svc. 5 IN PTR a1._math._tcp.svc.",
	} {
		doubted := parseRR(t, s)
		doubted.Header().Rdlength = 0
		frame, err := AppendReconfirm(nil, doubted)
		if err != nil {
			t.Fatal(err)
		}
		if doubted.Header().Rdlength != 0 {
			t.Errorf("%s: writing it has changed the record", s)
		}
		m, err := Read(frame[2:], FromClient)
		if err != nil {
			t.Fatal(err)
		}
		rr, err := m.Reconfirm()
		if err != nil || !dns.IsDuplicate(rr, parseRR(t, s)) || rr.Header().Ttl != 0 {
			t.Errorf("%s became %v, %v", s, rr, err)
		}
	}
}
