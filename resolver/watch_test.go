package resolver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// gaps gives the times between queries.
func gaps(qs []asked) []time.Duration {
	var out []time.Duration
	for i := 1; i < len(qs); i++ {
		out = append(out, qs[i].at.Sub(qs[i-1].at))
	}
	return out
}

func ttl(t testing.TB, seconds uint32) handler {
	return zone(t, fmt.Sprintf("%s %d IN SRV 0 0 80 a.svc.", mathTCP, seconds), "a.svc. 99999 IN A 10.0.0.1")
}

// TestRefreshFollowsTheTTL: each gap is 80 to 100 % of the TTL, they use the
// whole range, and the clamps hold (a TTL of 0 and one of a day).
func TestRefreshFollowsTheTTL(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    handler
		ttl  time.Duration
	}{
		{"10 s", ttl(t, 10), 10 * time.Second},
		{"0 is MinTTL", ttl(t, 0), time.Second},
		{"a day is MaxTTL", ttl(t, 86400), 5 * time.Minute},
		{"negative", zone(t, soa), 30 * time.Second},
		{"not offered", zone(t, mathTCP+" 20 IN SRV 0 0 0 ."), 20 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(tt.h)
				w := watch(t, r, mathTCP)
				time.Sleep(200 * tt.ttl)
				w.close()
				all := gaps(s.asked("SRV"))
				low, high := slices.Min(all), slices.Max(all)
				if low < tt.ttl*80/100 || high > tt.ttl {
					t.Errorf("asked again after %v to %v, want 80 to 100 %% of %v", low, high, tt.ttl)
				}
				if low > tt.ttl*82/100 || high < tt.ttl*98/100 {
					t.Errorf("asked again after %v to %v only: not spread", low, high)
				}
				if n := len(w.seen()); n != 1 {
					t.Errorf("%d states, want 1: nothing changed", n)
				}
			})
		})
	}
}

// TestGRPC12295NewNodesAreFoundWithoutAFailure: grpc/grpc#12295, grpc-go#6604,
// #6718. A new instance is seen within the TTL, a removed one is gone.
func TestGRPC12295NewNodesAreFoundWithoutAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(service(t, 2))
		w := watch(t, r, mathTCP)
		defer w.close()
		synctest.Wait()
		for _, n := range []int{3, 10, 1} {
			s.become(service(t, n))
			time.Sleep(5 * time.Second) // the TTL
			synctest.Wait()
			if got := len(w.last().Endpoints); got != n {
				t.Errorf("%d endpoints a TTL after there are %d", got, n)
			}
		}
		if n := len(w.seen()); n != 4 {
			t.Errorf("%d states, want 4", n)
		}
	})
}

// TestGRPC7186RefreshIsLimitedFromTheLastLookup: grpc-go#7186, #3353. A hint is
// obeyed at once when the last query is MinTTL ago, else at that moment, and many
// hints are one.
func TestGRPC7186RefreshIsLimitedFromTheLastLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 300))
		w := watch(t, r, mathTCP)
		defer w.close()
		r.Refresh("_other._tcp.svc") // nobody asked for: nothing happens
		time.Sleep(30 * time.Second)
		for range 100 {
			r.Refresh("_math._tcp.svc")
		}
		synctest.Wait()
		if n := len(s.asked("SRV")); n != 2 {
			t.Fatalf("%d queries right after a hint, want 2", n)
		}
		time.Sleep(200 * time.Millisecond)
		r.Refresh(mathTCP)
		time.Sleep(10 * time.Second)
		if got, want := gaps(s.asked("SRV")), []time.Duration{30 * time.Second, time.Second}; !slices.Equal(got, want) {
			t.Errorf("gaps %v, want %v", got, want)
		}
	})
}

func TestRefreshMakesTheNextLookupAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 300))
		for range 3 {
			if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
				t.Fatal(err)
			}
			r.Refresh(mathTCP)
			if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		if got, want := gaps(s.asked("SRV")), []time.Duration{2 * time.Second, 2 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("gaps %v, want %v", got, want)
		}
	})
}

// TestGRPC3252OutageKeepsTheEndpoints: grpc-go#3252, #1795, #2785. While nobody
// answers, the last endpoints stay, with the reason; when somebody does again,
// that is seen as fast as any change.
func TestGRPC3252OutageKeepsTheEndpoints(t *testing.T) {
	for name, h := range map[string]handler{
		"silent":   silence,
		"SERVFAIL": rcode(dns.RcodeServerFailure),
		"REFUSED":  rcode(dns.RcodeRefused),
		"useless":  zone(t, mathTCP+" 5 IN SRV 0 0 0 a.svc."),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(service(t, 2))
				w := watch(t, r, mathTCP)
				defer w.close()
				synctest.Wait()
				s.become(h)
				time.Sleep(50 * time.Minute)
				if got := w.last(); len(got.Endpoints) != 2 || got.Err == nil {
					t.Errorf("after 50 minutes without answers: %v, %v", addrs(got), got.Err)
				}
				if n := len(w.seen()); n != 2 {
					t.Errorf("%d states, want 2: the answer and its staleness", n)
				}
				s.become(service(t, 3))
				time.Sleep(5*time.Second*5/4 + 4*time.Second) // a retry and the one under way
				synctest.Wait()
				if got := w.last(); len(got.Endpoints) != 3 || got.Err != nil {
					t.Errorf("after the outage: %v, %v", addrs(got), got.Err)
				}
			})
		})
	}
}

func TestStaleEndpointsEndAfterStaleFor(t *testing.T) {
	for _, staleFor := range []time.Duration{0, 10 * time.Minute, -1} {
		synctest.Test(t, func(t *testing.T) {
			want := map[time.Duration]time.Duration{0: time.Hour, -1: 0}[staleFor]
			if staleFor > 0 {
				want = staleFor
			}
			s, r := one(service(t, 2))
			r.StaleFor = staleFor
			w := watch(t, r, mathTCP)
			defer w.close()
			synctest.Wait()
			s.become(rcode(dns.RcodeServerFailure))
			begin := time.Now()
			time.Sleep(2 * time.Hour)
			w.mu.Lock()
			defer w.mu.Unlock()
			i := slices.IndexFunc(w.states, func(s State) bool { return len(s.Endpoints) == 0 })
			if i < 0 {
				t.Fatalf("StaleFor %v: never dropped", staleFor)
			}
			after := w.times[i].Sub(begin)
			if low, high := want+5*time.Second, want+5*time.Second+7*time.Second; after < low || after > high {
				t.Errorf("StaleFor %v: dropped after %v, want %v to %v", staleFor, after, low, high)
			}
		})
	}
}

// TestRetriesBackOff: from MinTTL, doubling, to the rate of the TTL, never faster.
func TestRetriesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 20))
		w := watch(t, r, mathTCP)
		defer w.close()
		synctest.Wait()
		s.become(rcode(dns.RcodeServerFailure))
		time.Sleep(5 * time.Minute)
		got := gaps(s.asked("SRV"))[1:]
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 20, 20, 20, 20} {
			if low, high := want*time.Second, want*time.Second*5/4; got[i] < low || got[i] > high {
				t.Errorf("retry %d after %v, want %v to %v", i, got[i], low, high)
			}
		}
	})
}

// TestAWrongNXDOMAINChangesNothing: it is not confirmed by the second try.
func TestAWrongNXDOMAINChangesNothing(t *testing.T) {
	for name, empty := range map[string]handler{
		"NXDOMAIN":    zone(t, soa),
		"NODATA":      zone(t, soa, mathTCP+` 5 IN TXT "x"`),
		"not offered": zone(t, mathTCP+" 5 IN SRV 0 0 0 ."),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				full := service(t, 2)
				var n atomic.Int32
				s, r := one(func(network string, q *dns.Msg) [][]byte {
					if n.Add(1) == 3 {
						return empty(network, q)
					}
					return full(network, q)
				})
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				if states := w.seen(); len(states) != 1 || states[0].Err != nil {
					t.Errorf("%d states: %v", len(states), states)
				}
				if got := gaps(s.asked("SRV"))[2]; got != time.Second {
					t.Errorf("confirmed after %v, want 1s", got)
				}
			})
		})
	}
}

// TestATrueNXDOMAINIsBelievedOnceConfirmed, by a second try or, at once, by a
// second server; and the name is found again when it comes back.
func TestATrueNXDOMAINIsBelievedOnceConfirmed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		second handler
		after  time.Duration
	}{
		{"one server", nil, time.Second},
		{"second server agrees", zone(t, soa), 0},
		{"second server is silent", silence, 4*time.Second + time.Second},
		{"second server fails", rcode(dns.RcodeServerFailure), time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(service(t, 2))
				n := fakeNet{"ns1:53": s}
				r := n.client("ns1")
				if tt.second != nil {
					n["ns2:53"] = newServer(tt.second)
					r.Servers = append(r.Servers, "ns2")
				}
				w := watch(t, r, mathTCP)
				defer w.close()
				synctest.Wait()
				s.become(zone(t, soa))
				time.Sleep(30 * time.Second)
				states := w.seen()
				if len(states) != 2 || len(states[1].Endpoints) != 0 || !errors.Is(states[1].Err, ErrNoSuchName) {
					t.Fatalf("states %v", states)
				}
				w.mu.Lock()
				if got := w.times[1].Sub(s.asked("SRV")[1].at); got != tt.after {
					t.Errorf("believed %v after it was first said, want %v", got, tt.after)
				}
				w.mu.Unlock()
				s.become(service(t, 1))
				time.Sleep(30 * time.Second)
				if got := w.last(); len(got.Endpoints) != 1 || got.Err != nil {
					t.Errorf("back again: %v, %v", addrs(got), got.Err)
				}
			})
		})
	}
}

// TestASecondServerThatKnowsBetterIsBelieved: the first lost its zone.
func TestASecondServerThatKnowsBetterIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer(service(t, 2)), newServer(service(t, 2))
		w := watch(t, fakeNet{"ns1:53": a, "ns2:53": b}.client("ns1", "ns2"), mathTCP)
		defer w.close()
		synctest.Wait()
		a.become(zone(t, soa))
		time.Sleep(time.Hour)
		if n := len(w.seen()); n != 1 {
			t.Errorf("%d states, want 1", n)
		}
		if got := len(a.asked("SRV")); got != 2 {
			t.Errorf("the first server was asked %d times, want 2: the second proved better", got)
		}
	})
}

// TestAnUnconfirmedNXDOMAINIsStale: said once, then silence.
func TestAnUnconfirmedNXDOMAINIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(service(t, 2))
		w := watch(t, r, mathTCP)
		defer w.close()
		synctest.Wait()
		empty := zone(t, soa)
		var n atomic.Int32
		s.become(func(network string, q *dns.Msg) [][]byte {
			if n.Add(1) == 1 {
				return empty(network, q)
			}
			return nil
		})
		time.Sleep(15 * time.Second)
		got := w.seen()[1]
		want := "resolver: lookup _math._tcp.svc. SRV @ns1:53: no answer over udp within 2s; unconfirmed before that: resolver: lookup _math._tcp.svc. SRV @ns1:53: no such name (NXDOMAIN)"
		if len(got.Endpoints) != 2 || got.Err == nil || got.Err.Error() != want {
			t.Errorf("%v\n%v\nwant %s", addrs(got), got.Err, want)
		}
	})
}

func TestWatchesOfOneNameShareOneLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 10))
		var ws []*watcher
		for range 50 {
			ws = append(ws, watch(t, r, mathTCP))
		}
		time.Sleep(100 * time.Second)
		if n := len(s.asked("SRV")); n < 10 || n > 13 {
			t.Errorf("%d queries in 100 s of TTL 10 for 50 watchers, want 11 to 13", n)
		}
		for _, w := range ws[1:] {
			w.close()
		}
		before := len(s.asked("SRV"))
		time.Sleep(100 * time.Second)
		if n := len(s.asked("SRV")) - before; n < 10 {
			t.Errorf("%d queries in 100 s for the last watcher", n)
		}
		ws[0].close()
		before = len(s.asked("SRV"))
		time.Sleep(time.Hour)
		if n := len(s.asked("SRV")) - before; n != 0 {
			t.Errorf("%d queries with nobody watching", n)
		}
		for i, w := range ws {
			if n := len(w.seen()); n != 1 {
				t.Errorf("watcher %d saw %d states, want 1", i, n)
			}
		}
		// And it begins again.
		w := watch(t, r, mathTCP)
		synctest.Wait()
		if len(w.seen()) != 1 || len(s.asked("SRV")) != before+1 {
			t.Errorf("a new watcher saw %v", w.seen())
		}
		w.close()
	})
}

func TestALaterWatcherSeesTheCurrentStateAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 10))
		first := watch(t, r, mathTCP)
		defer first.close()
		time.Sleep(5 * time.Second)
		before := len(s.asked("SRV"))
		for got := range r.Watch(t.Context(), mathTCP) {
			if len(got.Endpoints) != 1 {
				t.Errorf("%v", got)
			}
			break
		}
		if len(s.asked("SRV")) != before {
			t.Error("it asked")
		}
	})
}

// TestWatchBeginsWithFreshNews: what a Lookup cached long ago is not shown before
// the servers were asked, and is when they do not answer.
func TestWatchBeginsWithFreshNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(service(t, 2))
		r.Lookup(t.Context(), mathTCP)
		time.Sleep(time.Minute)
		s.become(service(t, 5))
		w := watch(t, r, mathTCP)
		synctest.Wait()
		w.close()
		if states := w.seen(); len(states) != 1 || len(states[0].Endpoints) != 5 {
			t.Errorf("saw %v", states)
		}
		s.become(silence)
		time.Sleep(time.Minute)
		w = watch(t, r, mathTCP)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		w.close()
		if states := w.seen(); len(states) != 1 || len(states[0].Endpoints) != 5 || states[0].Err == nil {
			t.Errorf("saw %v", states)
		}
	})
}

func TestASlowReaderSeesOnlyTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(service(t, 1))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var sizes []int
		for got := range r.Watch(ctx, mathTCP) {
			sizes = append(sizes, len(got.Endpoints))
			if len(sizes) == 2 {
				break
			}
			for n := 2; n <= 9; n++ { // while this reader is busy
				s.become(service(t, n))
				time.Sleep(5 * time.Second)
			}
		}
		if !slices.Equal(sizes, []int{1, 9}) {
			t.Errorf("sizes %v, want [1 9]", sizes)
		}
	})
}

func TestCachedTellsWhenItWasConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 10))
		if _, ok := r.Cached(mathTCP); ok {
			t.Error("known before it was asked for")
		}
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		got, ok := r.Cached("_math._tcp.SVC")
		qs := s.asked("SRV")
		if last := qs[len(qs)-1].at; !ok || !got.Confirmed.Equal(last) || got.TTL != 10*time.Second {
			t.Errorf("confirmed %v, last asked %v", got.Confirmed, last)
		}
	})
}

// TestSuspendIsNoticedWithinANap: the clock on the wall jumps, as it does to a
// machine that wakes up, and the name is asked for again, hours before the timer.
func TestSuspendIsNoticedWithinANap(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": 8 * time.Hour, "back": -8 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var offset time.Duration
				s, r := one(ttl(t, 300))
				r.wall = func() time.Time {
					mu.Lock()
					defer mu.Unlock()
					return time.Now().Add(offset)
				}
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				s.become(rcode(dns.RcodeServerFailure))
				mu.Lock()
				offset = jump
				mu.Unlock()
				time.Sleep(nap)
				synctest.Wait()
				if n := len(s.asked("SRV")); jump > 0 && n < 2 || jump < 0 && n != 1 {
					t.Errorf("%d queries after the jump", n)
				}
				time.Sleep(10 * time.Minute)
				if n := len(s.asked("SRV")); n < 3 {
					t.Errorf("%d queries ten minutes after the jump", n)
				}
				if got := w.last(); len(got.Endpoints) != 1 {
					t.Errorf("the endpoints are gone with the clock: %v", got)
				}
			})
		})
	}
}

// TestTheCacheIsBounded, and names that are watched are not pushed out of it.
func TestTheCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 300))
		w := watch(t, r, mathTCP)
		defer w.close()
		synctest.Wait()
		for i := range maxNames + 100 {
			r.Lookup(t.Context(), fmt.Sprintf("_s%d._tcp.svc", i))
		}
		if n := len(r.names); n > maxNames {
			t.Errorf("%d names cached, want at most %d", n, maxNames)
		}
		s.become(ttl(t, 299))
		if _, ok := r.Cached(mathTCP); !ok {
			t.Error("the watched name was forgotten")
		}
	})
}
