package resolver

import (
	"context"
	"fmt"
	"slices"
	"sync"
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

// TestNothingIsAskedForEverMoreSeldom: a name does not exist, as a server says with a TTL
// of a second or without one. In the end it is asked for as often as a name that exists.
func TestNothingIsAskedForEverMoreSeldom(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    handler
	}{
		{"NXDOMAIN", rcode(dns.RcodeNameError)},
		{"nothing", rcode(dns.RcodeSuccess)},
		{"negative TTL 0", zone(t, "svc. 0 IN SOA ns.svc. h.svc. 1 1 1 1 0")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(tt.h)
				w := watch(t, r, mathTCP)
				time.Sleep(10 * time.Minute)
				all := gaps(s.asked("SRV"))
				if first := all[0]; first > 2*time.Second {
					t.Errorf("asked again after %v", first)
				}
				if low, high := slices.Min(all[5:]), slices.Max(all); low < 4*time.Second-time.Millisecond || high > 5*time.Second {
					t.Errorf("asked again after %v to %v, want 4 s to 5 s", low, high)
				}
				s.become(ttl(t, 10))
				time.Sleep(10 * time.Second)
				s.become(tt.h)
				n := len(s.asked("SRV"))
				time.Sleep(30 * time.Second)
				w.close()
				if again := gaps(s.asked("SRV")[n:]); len(again) < 2 || slices.Min(again) > 3*time.Second {
					t.Errorf("after it was there, asked again after %v: it does not begin anew", again)
				}
			})
		})
	}
}

// TestRefreshFollowsTheTTL, which the net package does not return, so that other clients
// guess it (kedge#147, prometheus#692, choria#96). Each gap is 80 to 100 % of the TTL, gaps
// use the whole range, and the clamps hold (a TTL of 0 and one of a day).
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
			time.Sleep(5*time.Second + 2*confirmAfter) // the TTL, and for the last the confirmation
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
		select {
		case <-r.names[mathTCP].stopped:
		default:
			t.Error("the loop outlives the last Watch")
		}
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

// TestWatchBeginsWithFreshNews: a State that a Lookup cached long ago is not yielded before
// the servers were asked. It is yielded if they do not answer.
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

// TestSuspendIsNoticedWithinANap: the wall clock jumps, as when a machine wakes up. The
// name is asked for again, hours before the timer fires.
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
		synctest.Wait()
		if n := len(r.names); n > maxNames {
			t.Errorf("%d names cached, want at most %d", n, maxNames)
		}
		s.become(ttl(t, 299))
		if _, ok := r.Cached(mathTCP); !ok {
			t.Error("the watched name was forgotten")
		}
	})
}

// TestWatchEndsAtOnceWhateverItIsDoing: waiting for a silent server, or for the
// moment to confirm an empty answer.
func TestWatchEndsAtOnceWhateverItIsDoing(t *testing.T) {
	for name, h := range map[string]handler{"asking": silence, "confirming": zone(t, soa)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(service(t, 2))
				w := watch(t, r, mathTCP)
				synctest.Wait()
				s.become(h)
				r.Refresh(mathTCP)
				time.Sleep(500 * time.Millisecond)
				begin := time.Now()
				w.close()
				if took := time.Since(begin); took != 0 {
					t.Errorf("took %v", took)
				}
				synctest.Wait()
				if got, ok := r.Cached(mathTCP); !ok || len(got.Endpoints) != 2 || got.Err != nil {
					t.Errorf("what was given up left %v", got)
				}
			})
		})
	}
}
