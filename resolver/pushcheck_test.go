package resolver

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestAHintAsksDNS, also while the server tells about changes. An answer that agrees changes
// nothing.
func TestAHintAsksDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		r.Refresh(mathTCP)
		time.Sleep(time.Minute)
		if n := len(s.asked("SRV")); n != 1+seriesSize {
			t.Errorf("%d questions, want %d", n, 1+seriesSize)
		}
		if n := len(w.seen()); n != 1 || p.sessionsBegun() != 1 {
			t.Errorf("%d states, %d sessions, want one", n, p.sessionsBegun())
		}
	})
}

// TestADeafSessionEnds: the server answers by DNS what it does not tell. A hint finds out
// within seconds.
func TestADeafSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		s.become(service(t, 3))
		r.Refresh(mathTCP)
		time.Sleep(900 * time.Millisecond)
		if got := w.seen(); len(got) != 1 {
			t.Errorf("believed at once: %v", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := w.last(); got.Trust != Confirmed || len(got.Endpoints) != 3 {
			t.Errorf("%v %d", got.Trust, len(got.Endpoints))
		}
		time.Sleep(deafFor - 5*time.Second)
		if n := p.sessionsBegun(); n != 1 {
			t.Errorf("%d sessions with a server that is deaf", n)
		}
	})
}

// TestDNSThatFailsEndsNoSession: packets are lost, or there are too many questions. The
// session is asked for a sign of life instead.
func TestDNSThatFailsEndsNoSession(t *testing.T) {
	for name, fails := range map[string]handler{
		"silence": silence, "SERVFAIL": rcode(dns.RcodeServerFailure), "REFUSED": rcode(dns.RcodeRefused),
		"an old answer of a cache on the way": withoutAuthority(t, service(t, 3), 4),
		"a lame answer":                       func(_ string, q *dns.Msg) [][]byte { return pack(new(dns.Msg).SetReply(q)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 2)
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Second)
				p.notes()
				s.become(fails)
				r.Refresh(mathTCP)
				time.Sleep(30 * time.Second)
				if got := p.notes(); !strings.Contains(got, "keepalive") {
					t.Error("the session was not asked for a sign of life:", got)
				}
				if got := r.Freshness(mathTCP); got.By != "push" || p.sessionsBegun() != 1 || len(w.seen()) != 1 {
					t.Errorf("%+v, %d sessions, %d states", got, p.sessionsBegun(), len(w.seen()))
				}
			})
		})
	}
}

// TestAHintFindsAServerThatHangs in seconds: neither DNS nor the session answers.
func TestAHintFindsAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Second)
		s.become(silence)
		p.mu.Lock()
		p.hello = func(uint16) [][]byte { return nil }
		p.mu.Unlock()
		r.Refresh(mathTCP)
		time.Sleep(seriesSpan + defaultTimeout + probePatience + lostSpread + 2*defaultTimeout)
		if got := w.last(); got.Trust != Stale || r.Freshness(mathTCP).By != "ttl" {
			t.Errorf("%v, %+v", got.Trust, r.Freshness(mathTCP))
		}
	})
}

// TestAChangeOnItsWayIsNotADeafSession: DNS has it a moment before the session.
func TestAChangeOnItsWayIsNotADeafSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 2)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Hour)
		s.become(service(t, 3))
		r.Refresh(mathTCP)
		time.Sleep(700 * time.Millisecond)
		p.become(mathTCP, instances(t, 3)...)
		time.Sleep(time.Minute)
		if n := len(w.seen()); n != 2 || p.sessionsBegun() != 1 || len(w.last().Endpoints) != 3 {
			t.Errorf("%d states, %d sessions", n, p.sessionsBegun())
		}
	})
}

// TestAToldSetIsAppliedAtOnce, whatever question is under way: a hint asks a server that is
// silent, or DNS has told that the set has shrunk, which waits for confirmation.
func TestAToldSetIsAppliedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		ask  func(p *fakePush, s *fakeServer, r *Resolver)
	}{
		{"a hint", func(_ *fakePush, s *fakeServer, r *Resolver) {
			s.become(silence)
			r.Refresh(mathTCP)
		}},
		{"a shrunk answer", func(p *fakePush, s *fakeServer, _ *Resolver) {
			p.mu.Lock()
			p.stale = true
			p.setLocked(mathTCP, p.records[mathTCP])
			p.mu.Unlock()
			time.Sleep(time.Second)
			s.become(service(t, 1))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 10)
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				tt.ask(p, s, r)
				asking := func() bool {
					r.mu.Lock()
					defer r.mu.Unlock()
					f := r.names[mathTCP].flight
					return f != nil && f.byDNS
				}
				for !asking() {
					time.Sleep(10 * time.Millisecond)
					synctest.Wait()
				}
				told := time.Now()
				waits := make(chan error, 1)
				go func() { // joins the question that is given up
					_, err := r.Lookup(t.Context(), mathTCP)
					waits <- err
				}()
				synctest.Wait()
				p.mu.Lock()
				p.stale = false
				p.revision++
				p.setLocked(mathTCP, instances(t, 11))
				p.mu.Unlock()
				synctest.Wait()
				if n := len(w.last().Endpoints); n != 11 || time.Since(told) != 0 {
					t.Errorf("%d endpoints %v after they were told", n, time.Since(told))
				}
				if err := <-waits; err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute)
				if n := len(w.seen()); n != 2 {
					t.Errorf("%d states", n)
				}
			})
		})
	}
}

// TestWhatAnAnswerProves: an answer that has what was not told differs, and so does one that
// lacks what was told, unless it is a part of the set.
func TestWhatAnAnswerProves(t *testing.T) {
	all := func(n int) []srv {
		var out []srv
		for i := range n {
			out = append(out, srv{10, 100, 8080, fmt.Sprintf("i%d.math.tcp.svc.", i)})
		}
		return out
	}
	other := append(all(1), srv{10, 99, 8080, "i1.math.tcp.svc."})
	for _, tt := range []struct {
		name  string
		told  int
		asked []srv
		size  int
		bad   int
		want  bool
	}{
		{"the same", 3, all(3), 300, 0, true},
		{"both empty", 0, nil, 100, 0, true},
		{"the same with a broken record", 3, all(2), 300, 1, true},
		{"one more", 3, all(4), 300, 0, false},
		{"one less", 3, all(2), 300, 0, false},
		{"nothing", 3, nil, 100, 0, false},
		{"another weight", 2, other, 300, 0, false},
		{"a sample of a large set", 2000, all(1600), 64000, 0, true},
		{"a sample of a set with long names", 700, all(650), 64000, 0, true},
		{"a small answer of a large set", 2000, all(1000), 40000, 0, false},
		{"more in a large set", 1600, all(1601), 64000, 0, false},
		{"another one in a large set", 1500, append(all(1499), other[1]), 60000, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := pushSet{srvs: map[srv]uint32{}}
			for _, one := range all(tt.told) {
				s.srvs[one] = 5
			}
			if got := s.agrees(&reply{srvs: tt.asked, size: tt.size, records: len(tt.asked) + tt.bad, bad: tt.bad}); got != tt.want {
				t.Error(got)
			}
		})
	}
}

// TestASampleSaysOfHowManyItIs: so a removal that was not told is seen in a set of any size.
func TestASampleSaysOfHowManyItIs(t *testing.T) {
	const told = 2000
	s := pushSet{srvs: map[srv]uint32{}}
	var part []srv
	for i := range told {
		one := srv{10, 100, 8080, fmt.Sprintf("i%d.math.tcp.svc.", i)}
		if s.srvs[one] = 5; i < 1600 {
			part = append(part, one)
		}
	}
	ede := func(code uint16, text string) []dns.EDNS0 {
		return []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "aa"}, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text}}
	}
	for _, tt := range []struct {
		name    string
		options []dns.EDNS0
		edns    bool
		want    bool
	}{
		{"of as many", ede(0, "weighted sample: 1600 of 2000 records"), true, true},
		{"of one less", ede(0, "weighted sample: 1600 of 1999 records"), true, false},
		{"of one more", ede(0, "weighted sample: 1600 of 2001 records"), true, false},
		{"it is said to be whole", nil, true, false},
		{"another code", ede(3, "weighted sample: 1600 of 2000 records"), true, false},
		{"another text", ede(0, "1600 records"), true, false},
		{"something has taken the options away", nil, false, true},
	} {
		m := new(dns.Msg).SetQuestion(mathTCP, dns.TypeSRV)
		if tt.edns {
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = tt.options
		}
		rep, err := question{mathTCP, typeSRV}.parse(pack(m)[0])
		if err != nil {
			t.Fatal(err)
		}
		rep.srvs, rep.records, rep.size = part, len(part), 64000
		if got := s.agrees(rep); got != tt.want {
			t.Errorf("%s: %t, edns %t, sample of %d", tt.name, got, rep.edns, rep.sample)
		}
	}
	for _, broken := range [][]byte{{0, 15}, {0, 15, 0, 9, 0, 0}, {0, 15, 0, 1, 0}, {0, 15, 0, 0}} {
		if n := sampled(broken); n != 0 {
			t.Errorf("%x: %d", broken, n)
		}
	}
}
