package dso

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// readSets reads the bodies as the subscription with an id sees them, and returns the
// changes in them.
func readSets(t rapid.TB, bodies []Body, id uint16) (sets []Set) {
	t.Helper()
	for _, body := range bodies {
		prefix := body.Prefix(id)
		frame := append(prefix[:], body...)
		if int(frame[0])<<8|int(frame[1]) != len(frame)-2 {
			t.Fatalf("a frame of %d octets says that its message has %d", len(frame), int(frame[0])<<8|int(frame[1]))
		}
		m, err := Read(frame[2:], FromServer)
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.Set()
		if err != nil {
			t.Fatal(err)
		}
		if s.ID != id || s.Flags != body.Flags() {
			t.Fatalf("id %d, flags %d became id %d, flags %d", id, body.Flags(), s.ID, s.Flags)
		}
		sets = append(sets, s)
	}
	return sets
}

// checkSetAgain writes what was read, and reads it again.
func checkSetAgain(t rapid.TB, s Set) {
	t.Helper()
	var added, removed []dns.RR
	for _, c := range s.Changes {
		if c.Op == Add {
			added = append(added, c.RR)
		} else {
			removed = append(removed, c.RR)
		}
	}
	bodies, err := Sets(s.Flags, s.Revision, added, removed)
	if err != nil {
		t.Fatalf("%q were read, but cannot be written: %v", text(s.Changes), err)
	}
	var got []Change
	for _, again := range readSets(t, bodies, s.ID) {
		if again.Revision != s.Revision {
			t.Fatalf("revision %d became %d", s.Revision, again.Revision)
		}
		got = append(got, again.Changes...)
	}
	if want := expect(added, removed); !slices.Equal(text(got), want) {
		t.Fatalf("%q became %q, want %q", text(s.Changes), text(got), want)
	}
}

// expect gives the text of what must be read when these were written.
func expect(added, removed []dns.RR) (lines []string) {
	for _, rr := range added {
		lines = append(lines, "+ "+rr.String())
	}
	for _, rr := range removed {
		if !slices.ContainsFunc(added, func(a dns.RR) bool { return dns.IsDuplicate(a, rr) }) {
			rr = dns.Copy(rr)
			rr.Header().Ttl = 0
			lines = append(lines, "- "+rr.String())
		}
	}
	return lines
}

// instances makes the records of the first instances of a service.
func instances(n int) (rrs []dns.RR) {
	for i := range n {
		target := fmt.Sprintf("i%d.math.tcp.svc.", i)
		rrs = append(rrs, &dns.SRV{
			Hdr:      dns.RR_Header{Name: "_math._tcp.svc.", Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: 5},
			Priority: 10, Weight: uint16(i), Port: 9000, Target: target,
		}, &dns.A{
			Hdr: dns.RR_Header{Name: target, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
			A:   net.IPv4(10, byte(i>>16), byte(i>>8), byte(i)).To4(),
		})
	}
	return rrs
}

// TestSetsOfAnySizeArriveWhole: in order, in messages that are full, with one flag Whole
// at the beginning and no More at the end.
func TestSetsOfAnySizeArriveWhole(t *testing.T) {
	for _, n := range []int{0, 1, 300, 400, 5000} {
		all := instances(n)
		bodies, err := Sets(Whole|More|Stale, 9, all[:n], all[n:])
		if err != nil {
			t.Fatal(err)
		}
		var got []Change
		for i, s := range readSets(t, bodies, 0xffff) {
			want := Stale
			if i == 0 {
				want |= Whole
			}
			if i < len(bodies)-1 {
				want |= More
			}
			if s.Flags != want || s.Revision != 9 {
				t.Errorf("message %d of %d has flags %d, revision %d", i, len(bodies), s.Flags, s.Revision)
			}
			size := PrefixSize - 2 + len(bodies[i])
			if size > MaxPush || i < len(bodies)-1 && size < MaxPush-64 {
				t.Errorf("message %d of %d has %d octets", i, len(bodies), size)
			}
			got = append(got, s.Changes...)
		}
		if !slices.Equal(text(got), expect(all[:n], all[n:])) {
			t.Errorf("%d records: %d became something else", 2*n, len(got))
		}
	}
}

func TestPushesOfAnySizeArriveWhole(t *testing.T) {
	all := instances(2000)
	all = append(all, parseRR(t, "i1._math._tcp.svc. 5 IN TXT \"a=b\""), parseRR(t, "_math._tcp.svc. 5 IN PTR i1._math._tcp.svc."))
	frames, err := Pushes(all, all[:0])
	if err != nil || len(frames) < 4 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	var got []Change
	for _, f := range frames {
		m, err := Read(f[2:], FromServer)
		if err != nil {
			t.Fatal(err)
		}
		changes, err := m.Push()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, changes...)
	}
	if !slices.Equal(text(got), expect(all, nil)) {
		t.Error("the records became something else")
	}
	if frames, err := Pushes(nil, nil); frames != nil || err != nil {
		t.Errorf("PUSH without a change: %x, %v", frames, err)
	}
}

// TestBodiesAreSharedBySubscriptions: only the prefix differs.
func TestBodiesAreSharedBySubscriptions(t *testing.T) {
	bodies, err := Sets(Whole, 9, instances(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	before := string(bodies[0])
	a, b := bodies[0].Prefix(1), bodies[0].Prefix(2)
	if string(a[:PrefixSize-2]) != string(b[:PrefixSize-2]) || a == b || string(bodies[0]) != before {
		t.Errorf("prefixes %x and %x", a, b)
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = bodies[0].Prefix(3) }); allocs > 0 {
		t.Errorf("a prefix makes %v allocations", allocs)
	}
}

// TestAChangedTTLIsAnAddAlone: removed and added again, as a difference of the zone has it.
func TestABodyIsSentAtALaterRevision(t *testing.T) {
	bodies, err := Sets(Whole, 9, instances(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	later, err := Sets(Whole, 1<<40, instances(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	prefix := later[0].Prefix(7)
	want := slices.Concat([]byte("before"), prefix[:], later[0])
	if got := bodies[0].Append([]byte("before"), 7, 1<<40); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if got := binary.BigEndian.Uint64(bodies[0][1:]); got != 9 {
		t.Errorf("the shared body has revision %d now", got)
	}
}

func TestAChangedTTLIsAnAddAlone(t *testing.T) {
	old, now := parseRR(t, "_math._tcp.svc. 5 IN SRV 1 2 3 a.svc."), parseRR(t, "_Math._tcp.svc. 4 IN SRV 1 2 3 A.svc.")
	other := parseRR(t, "_math._tcp.svc. 0 IN SRV 1 2 4 a.svc.")
	bodies, err := Sets(0, 1, []dns.RR{now}, []dns.RR{old, other})
	if err != nil {
		t.Fatal(err)
	}
	got := text(readSets(t, bodies, 1)[0].Changes)
	want := []string{"+ _math._tcp.svc.\t4\tIN\tSRV\t1 2 3 a.svc.", "- _math._tcp.svc.\t0\tIN\tSRV\t1 2 4 a.svc."}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestARecordThatNoMessageHoldsIsNamed: the others are written.
func TestARecordThatNoMessageHoldsIsNamed(t *testing.T) {
	huge := parseRR(t, "huge.svc. 5 IN TXT \"\"").(*dns.TXT)
	for range 64 {
		huge.Txt = append(huge.Txt, strings.Repeat("x", 255))
	}
	fits := parseRR(t, "a.svc. 5 IN A 10.0.0.7")
	for _, added := range [][]dns.RR{{huge, fits}, {fits, huge}, {fits, huge, fits}} {
		frames, err := Pushes(added, nil)
		if err == nil || !strings.Contains(err.Error(), "huge.svc. TXT") {
			t.Errorf("error %v", err)
		}
		n := 0
		for _, f := range frames {
			m, err := Read(f[2:], FromServer)
			if err != nil {
				t.Fatal(err)
			}
			changes, err := m.Push()
			if err != nil {
				t.Fatal(err)
			}
			n += len(changes)
		}
		if n != len(added)-1 {
			t.Errorf("%d of %d records", n, len(added))
		}
	}
	bodies, err := Sets(Whole, 1, []dns.RR{huge}, nil)
	if err == nil || len(bodies) != 1 {
		t.Errorf("%d bodies, %v", len(bodies), err)
	}
}

// TestChangesAreReadAsTheyWereWritten: for random records with names that share endings.
func TestChangesAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := append(rapid.SliceOfN(rapid.Custom(drawName), 1, 4).Draw(t, "names"), "svc.", "math.tcp.svc.", "a.math.tcp.svc.")
		name := rapid.SampledFrom(names)
		draw := rapid.Custom(func(t *rapid.T) dns.RR {
			h := dns.RR_Header{Name: name.Draw(t, "owner"), Class: dns.ClassINET, Ttl: uint32(rapid.IntRange(0, maxTTL).Draw(t, "ttl"))}
			switch rapid.IntRange(0, 2).Draw(t, "type") {
			case 0:
				h.Rrtype = dns.TypeA
				return &dns.A{Hdr: h, A: net.IP(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))}
			case 1:
				h.Rrtype = dns.TypeAAAA
				return &dns.AAAA{Hdr: h, AAAA: net.IP(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))}
			}
			h.Rrtype = dns.TypeSRV
			return &dns.SRV{Hdr: h, Priority: rapid.Uint16().Draw(t, "priority"), Weight: rapid.Uint16().Draw(t, "weight"), Port: rapid.Uint16().Draw(t, "port"), Target: name.Draw(t, "target")}
		})
		s := Set{ID: 1, Flags: Whole, Revision: rapid.Uint64().Draw(t, "revision")}
		for _, rr := range rapid.SliceOfN(draw, 0, 20).Draw(t, "records") {
			s.Changes = append(s.Changes, Change{Op: Op(rapid.IntRange(0, 1).Draw(t, "op")), RR: rr})
		}
		checkSetAgain(t, s)
	})
}

func BenchmarkSets(b *testing.B) {
	for _, n := range []int{1, 5000} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			all := instances(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Sets(Whole, 1, all, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadSet(b *testing.B) {
	bodies, err := Sets(Whole, 1, instances(300), nil)
	if err != nil {
		b.Fatal(err)
	}
	prefix := bodies[0].Prefix(1)
	msg := append(prefix[2:], bodies[0]...)
	b.ReportAllocs()
	for b.Loop() {
		m, err := Read(msg, FromServer)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Set(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRecordsAreNotChangedByWritingThem: a zone shares them with all that read it.
func TestRecordsAreNotChangedByWritingThem(t *testing.T) {
	all := []dns.RR{
		&dns.SRV{Hdr: dns.RR_Header{Name: "_a._tcp.svc.", Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: 5}, Port: 80, Target: "i.svc."},
		&dns.A{Hdr: dns.RR_Header{Name: "i.svc.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.IPv4(192, 0, 2, 1).To4()},
		&dns.TXT{Hdr: dns.RR_Header{Name: "i.svc.", Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 5}, Txt: []string{"x"}},
	}
	if _, err := Sets(Whole, 1, all, all[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := Pushes(all, all[:1]); err != nil {
		t.Fatal(err)
	}
	for _, rr := range all {
		if h := rr.Header(); h.Rdlength != 0 || h.Ttl != 5 {
			t.Errorf("the header has become %+v", h)
		}
	}
}
