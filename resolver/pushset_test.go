package resolver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/internal/dso"
)

// sets reads the frames of SETs as a session does.
func sets(t testing.TB, frames [][]byte) []dso.Set {
	t.Helper()
	var out []dso.Set
	for _, frame := range frames {
		m, err := dso.Read(frame[2:], dso.FromServer)
		if err != nil {
			t.Fatal(err)
		}
		set, err := m.Set()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, set)
	}
	return out
}

// text is a reply in words that do not depend on the order of records.
func (rep *reply) text() string {
	var out []string
	for _, s := range rep.srvs {
		out = append(out, fmt.Sprintf("%d %d %s:%d", s.priority, s.weight, s.target, s.port))
	}
	for name, h := range rep.glue {
		for _, a := range h.addrs {
			out = append(out, name+"="+a.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// TestASetIsChangedByEachSET: adds, removes, other TTLs, the whole set again, and what is
// wrong.
func TestASetIsChangedByEachSET(t *testing.T) {
	a := rrs(t, mathTCP+" 5 IN SRV 0 1 80 a.svc.", "a.svc. 5 IN A 10.0.0.1")
	b := rrs(t, mathTCP+" 5 IN SRV 0 1 80 b.svc.", "b.svc. 5 IN A 10.0.0.2", "b.svc. 5 IN AAAA 2001:db8::2")
	const textA, textB = "0 1 a.svc.:80, a.svc.=10.0.0.1", "0 1 b.svc.:80, b.svc.=10.0.0.2, b.svc.=2001:db8::2"
	mapped := rrs(t, "a.svc. 5 IN AAAA ::ffff:10.0.0.1")
	set := func(flags dso.Flags, revision uint64, added, removed []dns.RR) dso.Set {
		m := sets(t, setFrames(7, flags, revision, added, removed))[0]
		m.Flags = flags
		return m
	}
	for _, tt := range []struct {
		name string
		sets []dso.Set
		want string
		ttl  uint32
		err  error
	}{
		{"the whole set", []dso.Set{set(dso.Whole, 1, a, nil)}, textA, 5, nil},
		{"an empty set", []dso.Set{set(dso.Whole, 1, nil, nil)}, "", 1<<32 - 1, nil},
		{"an instance comes", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, b, nil)}, "0 1 a.svc.:80, " + textB[:len("0 1 b.svc.:80")] + ", a.svc.=10.0.0.1, b.svc.=10.0.0.2, b.svc.=2001:db8::2", 5, nil},
		{"an instance goes", []dso.Set{set(dso.Whole, 1, slices.Concat(a, b), nil), set(0, 2, nil, b)}, textA, 5, nil},
		{"one is replaced", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, b, a)}, textB, 5, nil},
		{"another TTL", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, rrs(t, mathTCP+" 9 IN SRV 0 1 80 a.svc."), nil)}, textA, 9, nil},
		{"another weight", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, rrs(t, mathTCP+" 5 IN SRV 0 2 80 a.svc."), a[:1])}, "0 2 a.svc.:80, a.svc.=10.0.0.1", 5, nil},
		{"whole again", []dso.Set{set(dso.Whole, 1, a, nil), set(dso.Whole, 2, b, nil)}, textB, 5, nil},
		{"added twice", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, a, nil)}, textA, 5, nil},
		{"whole after a part", []dso.Set{set(dso.Whole|dso.More, 1, a, nil), set(dso.Whole, 2, b, nil)}, textB, 5, nil},
		{"A and a mapped AAAA are two records", []dso.Set{set(dso.Whole, 1, slices.Concat(a, mapped), nil), set(0, 2, nil, mapped)}, textA, 5, nil},
		{"no whole set", []dso.Set{set(0, 1, a, nil)}, "", 0, errNoWhole},
		{"two revisions in one", []dso.Set{set(dso.Whole|dso.More, 1, a, nil), set(0, 2, b, nil)}, "", 0, errMixed},
		{"another service", []dso.Set{set(dso.Whole, 1, rrs(t, "_other._tcp.svc. 5 IN SRV 0 1 80 a.svc."), nil)}, "", 0, errForeign},
		{"removed before it was there", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, nil, b)}, "", 0, errNotThere},
		{"an address removed twice", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, nil, a[1:]), set(0, 3, nil, a[1:])}, "", 0, errNotThere},
		{"too large", []dso.Set{set(dso.Whole, 1, a, nil), set(0, 2, b, nil), set(0, 3, mapped, nil)}, "", 0, errSetTooLarge},
		{"too much of one revision", []dso.Set{set(dso.Whole|dso.More, 1, slices.Concat(a, b, a), nil), set(dso.More, 1, slices.Concat(a, b, a), nil)}, "", 0, errSetTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := pushSet{name: mathTCP, most: 5}
			var err error
			for i, m := range tt.sets {
				var complete bool
				if complete, err = s.add(m); complete == (m.Flags&dso.More != 0 || err != nil) {
					t.Errorf("SET %d: complete %v, %v", i, complete, err)
				}
			}
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			rep, revision := s.reply()
			if rep.text() != tt.want || rep.ttl != tt.ttl || revision != tt.sets[len(tt.sets)-1].Revision {
				t.Errorf("revision %d, TTL %d, %s\nwant %s", revision, rep.ttl, rep.text(), tt.want)
			}
			if s.records != len(rep.srvs)+addresses(rep) {
				t.Errorf("%d records counted, there are %d", s.records, len(rep.srvs)+addresses(rep))
			}
		})
	}
}

func addresses(rep *reply) (n int) {
	for _, h := range rep.glue {
		n += len(h.addrs)
	}
	return n
}

// TestNoPartOfARevisionIsSeen: a set of many messages is there when the last one is.
func TestNoPartOfARevisionIsSeen(t *testing.T) {
	var many []dns.RR
	for i := range 2000 {
		many = append(many, rrs(t, fmt.Sprintf("%s 5 IN SRV 0 1 80 i%d.math.tcp.svc.", mathTCP, i), fmt.Sprintf("i%d.math.tcp.svc. 5 IN A 10.0.%d.%d", i, i/250, i%250+1))...)
	}
	parts := sets(t, setFrames(7, dso.Whole, 9, many, nil))
	if len(parts) < 3 {
		t.Fatalf("only %d messages", len(parts))
	}
	s := pushSet{name: mathTCP, most: 5000}
	for i, m := range parts {
		complete, err := s.add(m)
		last := i == len(parts)-1
		rep, _ := s.reply()
		if err != nil || complete != last || last != (len(rep.srvs) == 2000) || !last && len(rep.srvs) != 0 {
			t.Fatalf("message %d of %d: complete %v, %d records, %v", i, len(parts), complete, len(rep.srvs), err)
		}
	}
}

// TestTheSetIsWhatTheServerHas, whatever the changes are and however they are divided.
func TestTheSetIsWhatTheServerHas(t *testing.T) {
	var all []dns.RR
	for i := range 12 {
		for ttl := range 2 {
			all = append(all, rrs(t, fmt.Sprintf("%s %d IN SRV 0 %d 80 h%d.svc.", mathTCP, 5+ttl, i%2, i/2), fmt.Sprintf("h%d.svc. %d IN A 10.0.0.%d", i/2, 5+ttl, i+1))...)
		}
	}
	key := func(rr dns.RR) string { // without the TTL
		c := dns.Copy(rr)
		c.Header().Ttl = 0
		return c.String()
	}
	rapid.Check(t, func(t *rapid.T) {
		s := pushSet{name: mathTCP, most: 100}
		truth := map[string]dns.RR{}
		for revision := range uint64(rapid.IntRange(1, 10).Draw(t, "revisions")) {
			next := map[string]dns.RR{}
			for _, rr := range rapid.SliceOfN(rapid.SampledFrom(all), 0, 8).Draw(t, "set") {
				next[key(rr)] = rr
			}
			flags := dso.Flags(0)
			was := slices.Collect(maps.Values(truth))
			if revision == 0 || rapid.Bool().Draw(t, "whole") {
				flags, was = dso.Whole, nil
			}
			now := slices.Collect(maps.Values(next))
			added, removed := without(now, was), without(was, now)
			for _, frame := range setFrames(7, flags, revision+1, added, removed) {
				m, err := dso.Read(frame[2:], dso.FromServer)
				if err != nil {
					t.Fatal(err)
				}
				set, err := m.Set()
				if err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(t, "divided") && len(set.Changes) > 1 {
					part := set
					part.Changes, part.Flags = set.Changes[:1], set.Flags|dso.More
					set.Changes, set.Flags = set.Changes[1:], set.Flags&^dso.Whole
					if complete, err := s.add(part); complete || err != nil {
						t.Fatal(complete, err)
					}
				}
				if _, err := s.add(set); err != nil {
					t.Fatal(err)
				}
			}
			truth = next
			rep, _ := s.reply()
			want := pushSet{name: mathTCP, most: 100}
			for _, frame := range setFrames(7, dso.Whole, revision+1, now, nil) {
				m, _ := dso.Read(frame[2:], dso.FromServer)
				set, _ := m.Set()
				want.add(set)
			}
			whole, _ := want.reply()
			if rep.text() != whole.text() || rep.ttl != whole.ttl || s.records != len(next) || s.octets != want.octets {
				t.Fatalf("%s TTL %d\nwant %s TTL %d", rep.text(), rep.ttl, whole.text(), whole.ttl)
			}
		}
	})
}

// TestARevisionThatDoesNotEndAndNoDNS: the set that was told until then is used on, however
// long ago it has changed.
func TestARevisionThatDoesNotEndAndNoDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(2 * time.Hour) // longer than StaleFor
		part := setFrames(2, 0, 2, instances(t, 3)[4:5], nil)[0]
		part[2+headerSize+4+2] |= byte(dso.More) // after the length, the header, the TLV's and the id
		p.send(part)
		s.fault("udp", errors.New("no DNS"))
		s.fault("tcp", errors.New("no DNS"))
		time.Sleep(chainPatience + nap + 15*time.Second)
		if got := w.last(); len(got.Endpoints) != 2 {
			t.Errorf("%d endpoints, %v, %+v", len(got.Endpoints), got.Err, r.Freshness(mathTCP))
		}
	})
}

// TestARevisionThatDoesNotEnd: its first message has come, and the server is well otherwise.
// The TTL rules until the rest comes, which is applied then.
func TestARevisionThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		third := instances(t, 3)[4:]
		p.mu.Lock()
		p.records[mathTCP] = instances(t, 3)
		p.mu.Unlock()
		part := setFrames(2, 0, 2, third[:1], nil)[0]
		part[2+headerSize+4+2] |= byte(dso.More) // after the length, the header, the TLV's and the id
		p.send(part)
		begun := time.Now()
		time.Sleep(chainPatience + nap)
		if got := w.last(); len(got.Endpoints) != 3 || r.Freshness(mathTCP).By != "ttl" {
			t.Errorf("%d endpoints %v after a part of a revision, %+v", len(got.Endpoints), time.Since(begun), r.Freshness(mathTCP))
		}
		time.Sleep(time.Hour)
		p.send(setFrames(2, 0, 2, third[1:], nil)...)
		synctest.Wait()
		before := len(s.asked("SRV"))
		time.Sleep(time.Hour)
		if got := r.Freshness(mathTCP); got.By != "push" || got.Revision != 2 || len(w.seen()) != 2 || len(s.asked("SRV")) != before || p.sessionsBegun() != 1 {
			t.Errorf("%+v, %d states, %d questions, %d sessions", got, len(w.seen()), len(s.asked("SRV"))-before, p.sessionsBegun())
		}
	})
}
