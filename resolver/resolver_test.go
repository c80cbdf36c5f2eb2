package resolver

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

const (
	mathTCP = "_math._tcp.svc."
	soa     = "svc. 60 IN SOA ns.svc. host.svc. 7 60 60 60 30" // negative TTL 30
)

// two is a service of two instances, TTL 10.
func two(t testing.TB) handler {
	return zone(t, soa,
		mathTCP+" 10 IN SRV 10 100 8080 a1.math.tcp.svc.", "a1.math.tcp.svc. 10 IN A 10.0.0.1",
		mathTCP+" 10 IN SRV 10 100 8080 a2.math.tcp.svc.", "a2.math.tcp.svc. 10 IN A 10.0.0.2")
}

func TestLookupUsesGlueInOneQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(two(t))
		begin := time.Now()
		got, err := r.Lookup(t.Context(), "_Math._tcp.svc")
		if err != nil {
			t.Fatal(err)
		}
		want := []Endpoint{
			{Addr: "10.0.0.1:8080", Target: "a1.math.tcp.svc.", Priority: 10, Weight: 100},
			{Addr: "10.0.0.2:8080", Target: "a2.math.tcp.svc.", Priority: 10, Weight: 100},
		}
		if !(State{Endpoints: want, Trust: Confirmed}).sameNews(got) {
			t.Errorf("endpoints %v\nwant %v", got.Endpoints, want)
		}
		if got.TTL != 10*time.Second || !got.Confirmed.Equal(begin) {
			t.Errorf("TTL %v confirmed %v", got.TTL, got.Confirmed)
		}
		if n := len(s.asked("SRV")) + len(s.asked("A")) + len(s.asked("AAAA")); n != 1 {
			t.Errorf("%d queries, want 1", n)
		}
		if q := s.asked("SRV")[0]; q.edns != 1232 || q.network != "udp" || q.name != mathTCP {
			t.Errorf("query %+v, want %s by UDP with EDNS 1232", q, mathTCP)
		}
	})
}

// TestTheShortestTTLCounts: that of the records, their addresses and the aliases.
func TestTheShortestTTLCounts(t *testing.T) {
	for _, records := range [][]string{
		{mathTCP + " 3 IN SRV 0 0 80 a.svc.", mathTCP + " 60 IN SRV 0 0 80 b.svc.", "a.svc. 60 IN A 10.0.0.1", "b.svc. 60 IN A 10.0.0.2"},
		{mathTCP + " 60 IN SRV 0 0 80 a.svc.", "a.svc. 60 IN A 10.0.0.1", "a.svc. 3 IN AAAA 2001:db8::1"},
		{mathTCP + " 3 IN CNAME b.svc.", "b.svc. 60 IN SRV 0 0 80 a.svc.", "a.svc. 60 IN A 10.0.0.1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, r := one(zone(t, records...))
			if got, err := r.Lookup(t.Context(), mathTCP); err != nil || got.TTL != 3*time.Second {
				t.Errorf("%s: TTL %v (%v), want 3s", records, got.TTL, err)
			}
		})
	}
}

func TestLookupAnswersFromTheCacheUntilTheTTLEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(two(t))
		for range 10 {
			if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := len(s.asked("SRV")); n != 1 {
			t.Errorf("%d queries within the TTL, want 1", n)
		}
		if _, err := r.Lookup(t.Context(), mathTCP); err != nil || len(s.asked("SRV")) != 2 {
			t.Errorf("%d queries after the TTL, want 2 (%v)", len(s.asked("SRV")), err)
		}
	})
}

func TestNegativeAnswersLiveAsTheSOASays(t *testing.T) {
	for _, tt := range []struct {
		soa  string
		want time.Duration
	}{
		{"svc. 60 IN SOA ns.svc. host.svc. 7 60 60 60 30", 30 * time.Second},
		{"svc. 20 IN SOA ns.svc. host.svc. 7 60 60 60 30", 20 * time.Second},
		{"svc. 99999 IN SOA ns.svc. host.svc. 7 60 60 60 99999", 5 * time.Minute},
		{"svc. 0 IN SOA ns.svc. host.svc. 7 60 60 60 0", time.Second},
		{"other. 60 IN SOA ns.svc. host.svc. 7 60 60 60 30", time.Second}, // not this zone's
	} {
		synctest.Test(t, func(t *testing.T) {
			s, r := one(zone(t, tt.soa))
			state, err := r.Lookup(t.Context(), mathTCP)
			if !errors.Is(err, ErrNoSuchName) || state.TTL != tt.want {
				t.Fatalf("%s: TTL %v (%v), want %v", tt.soa, state.TTL, err, tt.want)
			}
			time.Sleep(tt.want - time.Nanosecond)
			r.Lookup(t.Context(), mathTCP)
			if n := len(s.asked("SRV")); n != 1 {
				t.Errorf("%s: asked again before %v", tt.soa, tt.want)
			}
			time.Sleep(time.Nanosecond)
			r.Lookup(t.Context(), mathTCP)
			if n := len(s.asked("SRV")); n != 2 {
				t.Errorf("%s: not asked again after %v", tt.soa, tt.want)
			}
		})
	}
}

func TestConcurrentLookupsShareAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := two(t)
		s, r := one(func(network string, q *dns.Msg) [][]byte {
			time.Sleep(100 * time.Millisecond)
			return answer(network, q)
		})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := len(s.asked("SRV")); n != 1 {
			t.Errorf("%d queries for 100 Lookups, want 1", n)
		}
	})
}

// TestAnImpatientLookupDoesNotSpoilThePatient: the first Lookup gives up, and the query
// goes on for the second.
func TestAnImpatientLookupDoesNotSpoilThePatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := two(t)
		s, r := one(func(network string, q *dns.Msg) [][]byte {
			time.Sleep(300 * time.Millisecond)
			return answer(network, q)
		})
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Lookup(short, mathTCP); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("impatient: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
				t.Errorf("patient: %v, %v", got, err)
			}
		})
		wg.Wait()
		if n := len(s.asked("SRV")); n != 1 {
			t.Errorf("%d queries, want 1", n)
		}
	})
}

// TestAbandonedLookupLeavesNothing: when all Lookups have given up, the query ends (the
// bubble would not end with a goroutine in it), and the next Lookup asks again.
func TestAbandonedLookupLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(silence)
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := r.Lookup(short, mathTCP); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		s.become(two(t))
		if got, err := r.Lookup(t.Context(), mathTCP); err != nil || len(got.Endpoints) != 2 {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestLookupOutOfTimeGivesStaleEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(two(t))
		if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
			t.Fatal(err)
		}
		s.become(silence)
		time.Sleep(time.Minute)
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		got, err := r.Lookup(short, mathTCP)
		if err != nil || len(got.Endpoints) != 2 || !errors.Is(got.Err, context.DeadlineExceeded) {
			t.Errorf("%v, %v: want two endpoints, stale for lack of time", got, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := r.Lookup(gone, mathTCP); !errors.Is(err, context.Canceled) || len(got.Endpoints) != 0 {
			t.Errorf("canceled: %v, %v", got, err)
		}
	})
}

func TestFailuresAreRememberedForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(rcode(dns.RcodeServerFailure))
		for range 1000 {
			if _, err := r.Lookup(t.Context(), mathTCP); err == nil {
				t.Fatal("no error")
			}
		}
		if n := len(s.asked("SRV")); n != 1 {
			t.Errorf("%d queries, want 1", n)
		}
		s.become(two(t))
		time.Sleep(2 * time.Second)
		if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
			t.Error(err)
		}
	})
}
