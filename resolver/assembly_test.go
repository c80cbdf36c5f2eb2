package resolver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// addrsSeen gives the Addr of the first endpoint in each state, without repetition.
func addrsSeen(w *watcher) string {
	var out []string
	for _, s := range w.seen() {
		for _, ep := range s.Endpoints {
			if len(out) == 0 || out[len(out)-1] != ep.Addr {
				out = append(out, ep.Addr)
			}
		}
	}
	return strings.Join(out, " ")
}

// TestIdentitySurvivesALostFamily: a server keeps its Addr while the queries of one family
// fail, while glue brings only one family, and while better addresses join. Addr changes
// when the address is gone.
func TestIdentitySurvivesALostFamily(t *testing.T) {
	srv := mathTCP + " 5 IN SRV 0 0 80 a.svc."
	both := zone(t, srv, "a.svc. 5 IN A 10.0.0.1", "a.svc. 5 IN AAAA 2001:db8::1", soa)
	only4, only6 := zone(t, srv, "a.svc. 5 IN A 10.0.0.1", soa), zone(t, srv, "a.svc. 5 IN AAAA 2001:db8::1", soa)
	bare := withoutGlue(t, both)
	// glue of one family in the answer, both when asked for.
	half := func(glue handler) handler {
		return func(network string, q *dns.Msg) [][]byte {
			if q.Question[0].Qtype == dns.TypeSRV {
				return glue(network, q)
			}
			return both(network, q)
		}
	}
	failing := func(typ uint16, h handler) handler {
		return func(network string, q *dns.Msg) [][]byte {
			if q.Question[0].Qtype == typ {
				return rcode(dns.RcodeServerFailure)(network, q)
			}
			return h(network, q)
		}
	}
	for _, tt := range []struct {
		name string
		turn []handler // one after the other
		want string
	}{
		{"AAAA fails each second time", []handler{bare, failing(dns.TypeAAAA, bare)}, "[2001:db8::1]:80"},
		{"A fails each second time", []handler{bare, failing(dns.TypeA, bare)}, "[2001:db8::1]:80"},
		{"AAAA comes late", []handler{failing(dns.TypeAAAA, bare), bare, bare}, "10.0.0.1:80"},
		{"glue of one family, the other when asked", []handler{both, half(only4)}, "[2001:db8::1]:80"},
		{"glue of the other family", []handler{both, half(only6)}, "[2001:db8::1]:80"},
		{"glue of one family, the other fails", []handler{both, failing(dns.TypeAAAA, only4)}, "[2001:db8::1]:80"},
		{"glue by turns with none", []handler{both, bare}, "[2001:db8::1]:80"},
		{"better address joins", []handler{only4, both, only4}, "10.0.0.1:80"},
		{"the address is gone", []handler{both, only4, only4}, "[2001:db8::1]:80 10.0.0.1:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(tt.turn[0])
				w := watch(t, r, mathTCP)
				defer w.close()
				for i := range 3 * len(tt.turn) {
					if tt.want == "[2001:db8::1]:80 10.0.0.1:80" {
						i = min(i, len(tt.turn)-1)
					}
					s.become(tt.turn[i%len(tt.turn)])
					time.Sleep(5 * time.Second)
				}
				synctest.Wait()
				if got := addrsSeen(w); got != tt.want {
					t.Errorf("Addr was %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// glueless answers for n targets without glue; of those for which gone says so, with
// what it gives.
func glueless(t *testing.T, n int, ttl int, gone func(target string) handler) handler {
	records := []string{soa}
	for i := range n {
		records = append(records, fmt.Sprintf("%s %d IN SRV 0 0 80 h%d.svc.", mathTCP, ttl, i), fmt.Sprintf("h%d.svc. %d IN A 10.0.0.%d", i, ttl, i+1))
	}
	good := withoutGlue(t, zone(t, records...))
	return func(network string, q *dns.Msg) [][]byte {
		if q.Question[0].Qtype != dns.TypeSRV {
			if h := gone(q.Question[0].Name); h != nil {
				return h(network, q)
			}
		}
		return good(network, q)
	}
}

// TestATargetsNXDOMAINIsConfirmed by the second server at once, or by the same server a
// second later, before the endpoint is dropped.
func TestATargetsNXDOMAINIsConfirmed(t *testing.T) {
	no := zone(t, soa)
	for _, tt := range []struct {
		name    string
		second  handler // of another server, for the targets in question
		times   int32   // how often the first says no, by query
		want    int     // endpoints in the end
		believe time.Duration
	}{
		{"once wrong", nil, 1, 5, 0},
		{"for good", nil, 1 << 30, 4, confirmAfter},
		{"for good, another agrees", no, 1 << 30, 4, 0},
		{"for good, another knows better", zone(t, "h1.svc. 5 IN A 10.0.0.2", soa), 1 << 30, 5, 0},
		{"for good, another is lame", lame, 1 << 30, 4, confirmAfter},
		{"for good, another is silent", silence, 1 << 30, 4, 2 * confirmAfter},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var on atomic.Bool
				var said atomic.Int32
				s := newServer(glueless(t, 5, 5, func(target string) handler {
					if on.Load() && target == "h1.svc." && said.Add(1) <= tt.times {
						return no
					}
					return nil
				}))
				n := fakeNet{"ns1:53": s}
				r := n.client("ns1")
				if tt.second != nil {
					r.Servers = append(r.Servers, "ns2")
					n["ns2:53"] = newServer(func(network string, q *dns.Msg) [][]byte {
						if q.Question[0].Qtype != dns.TypeSRV {
							return tt.second(network, q)
						}
						return s.handle(network, q)
					})
				}
				w := watch(t, r, mathTCP)
				defer w.close()
				synctest.Wait()
				on.Store(true)
				before := len(s.asked("A"))
				time.Sleep(30 * time.Second)
				synctest.Wait()
				if got := len(w.last().Endpoints); got != tt.want {
					t.Fatalf("%d endpoints, want %d", got, tt.want)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if tt.want == 5 {
					if len(w.states) != 1 {
						t.Errorf("%d states, want 1", len(w.states))
					}
				} else if took := w.times[1].Sub(s.asked("A")[before].at); took < tt.believe || took > tt.believe+confirmAfter || tt.believe == 0 && took != 0 {
					t.Errorf("believed after %v, want %v", took, tt.believe)
				}
			})
		})
	}
}

// TestOneBrokenTargetDoesNotHaveTheSetAskedForAllTheTime: the pause before it is
// tried again grows, and the others are used.
func TestOneBrokenTargetDoesNotHaveTheSetAskedForAllTheTime(t *testing.T) {
	for name, broken := range map[string]handler{"SERVFAIL": rcode(dns.RcodeServerFailure), "silent": silence, "lame": lame, "REFUSED": rcode(dns.RcodeRefused)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(glueless(t, 3, 300, func(target string) handler {
					if target == "h1.svc." {
						return broken
					}
					return nil
				}))
				w := watch(t, r, mathTCP)
				begin := time.Now()
				time.Sleep(time.Hour)
				w.close()
				srv := s.asked("SRV")
				within := func(d time.Duration) (n int) {
					for _, q := range srv {
						if q.at.Sub(begin) < d {
							n++
						}
					}
					return n
				}
				// At 0, and then after 1 to 2 s, 2 to 4, 4 to 8 and so on; in the end one for
				// the set and one for the target in each TTL.
				if a, b, c := within(15*time.Second), within(time.Minute), len(srv); a > 5 || b > 7 || c > 8+2*15 {
					t.Errorf("the set was asked for %d times in 15 s, %d in a minute, %d in an hour", a, b, c)
				}
				want := 2
				if name == "REFUSED" {
					want = 3 // its name
				}
				if got := w.last(); len(got.Endpoints) != want || got.Err != nil {
					t.Errorf("%v, %v", addrs(got), got.Err)
				}
			})
		})
	}
}

// TestTargetsThatAreSilentDoNotHoldUpTheOthers, even when only one of 100 answers.
func TestTargetsThatAreSilentDoNotHoldUpTheOthers(t *testing.T) {
	for _, n := range []int{3, 100} {
		synctest.Test(t, func(t *testing.T) {
			_, r := one(glueless(t, n, 5, func(target string) handler {
				if target == "h1.svc." || n == 100 && target != "h7.svc." {
					return silence
				}
				return nil
			}))
			begin := time.Now()
			got, err := r.Lookup(t.Context(), mathTCP)
			if took := time.Since(begin); err != nil || len(got.Endpoints) == 0 || took > time.Second+otherFamily {
				t.Errorf("%d targets: %v, %v after %v", n, addrs(got), err, took)
			}
		})
	}
}

// TestAnAnswerIsBounded: the best priorities are used, and of the last one a part that
// stays the same in one Resolver and differs between Resolvers. The log says so once.
func TestAnAnswerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := []string{soa}
		for i := range 100 {
			records = append(records, fmt.Sprintf("%s 5 IN SRV %d 0 80 h%d.svc.", mathTCP, 1+min(i, 30)/30, i), fmt.Sprintf("h%d.svc. 5 IN A 10.0.0.%d", i, i+1))
		}
		var sets []string
		for range 5 {
			log := new(lines)
			s, r := one(zone(t, records...))
			r.MaxEndpoints, r.Logger = 50, logTo(log)
			w := watch(t, r, mathTCP)
			time.Sleep(time.Minute)
			w.close()
			if states := w.seen(); len(states) != 1 || len(states[0].Endpoints) != 50 {
				t.Fatalf("%d states, %d endpoints in the first", len(states), len(states[0].Endpoints))
			}
			eps := w.last().Endpoints
			if eps[29].Priority != 1 || eps[30].Priority != 2 {
				t.Errorf("priorities %d and %d at the edge", eps[29].Priority, eps[30].Priority)
			}
			if got, want := log.String(), `level=WARN msg="resolver: more SRV records than MaxEndpoints, the rest is not used" name=_math._tcp.svc. records=100 used=50`; got != want {
				t.Errorf("logged\n%s\nwant\n%s", got, want)
			}
			sets = append(sets, addrs(w.last()))
			_ = s
		}
		slices.Sort(sets)
		if n := len(slices.Compact(sets)); n < 4 {
			t.Errorf("%d different parts among 5 resolvers", n)
		}
	})
}

// TestALookupThatGaveUpLeavesNoTrace: its targets do not count as failed, although they
// did not answer in time.
func TestALookupThatGaveUpLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(glueless(t, 3, 5, func(string) handler { return silence }))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if got, err := r.Lookup(ctx, mathTCP); err == nil {
			t.Errorf("%v", got)
		}
		s.become(glueless(t, 3, 5, func(string) handler { return nil }))
		got, err := r.Lookup(t.Context(), mathTCP)
		if err != nil || len(got.Endpoints) != 3 {
			t.Errorf("the next: %v, %v", addrs(got), err)
		}
	})
}
