package resolver

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestGRPC3252OutageKeepsTheEndpoints: grpc-go#3252, #1795, #2785. While no server
// answers, the last endpoints stay, with the reason. When a server answers again, that is
// seen as fast as any change.
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
				time.Sleep(2*5*time.Second + 2*time.Second) // a retry and the one under way
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
			if low, high := want+5*time.Second, want+5*time.Second+12*time.Second; after < low || after > high {
				t.Errorf("StaleFor %v: dropped after %v, want %v to %v", staleFor, after, low, high)
			}
		})
	}
}

// TestRetriesBackOff: pauses double from MinTTL up to 1.8 TTLs, because a question that is
// not answered costs two packets.
func TestRetriesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 20))
		w := watch(t, r, mathTCP)
		defer w.close()
		synctest.Wait()
		s.become(rcode(dns.RcodeServerFailure))
		time.Sleep(5 * time.Minute)
		got := gaps(s.asked("SRV"))[1:]
		for i, want := range []time.Duration{2, 4, 8, 16, 32, 36, 36, 36} {
			low, high := want*time.Second/2, want*time.Second
			if want == 36 {
				low = high * 8 / 10
			}
			if got[i] < low || got[i] > high {
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
				if got := gaps(s.asked("SRV"))[2]; got < confirmAfter || got > 2*confirmAfter {
					t.Errorf("confirmed after %v, want 1 to 2s", got)
				}
			})
		})
	}
}

// TestATrueNXDOMAINIsBelievedOnceConfirmed by a second try or, at once, by a second
// server. The name is found again when it comes back.
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
				time.Sleep(90 * time.Second)
				states := w.seen()
				if len(states) != 2 || len(states[1].Endpoints) != 0 || !errors.Is(states[1].Err, ErrNoSuchName) {
					t.Fatalf("states %v", states)
				}
				w.mu.Lock()
				if got := w.times[1].Sub(s.asked("SRV")[1].at); got < tt.after || got > tt.after+confirmAfter || tt.after == 0 && got != 0 {
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

// TestASecondServerThatKnowsBetterIsBelieved: the first one has lost its zone.
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

// TestAnUnconfirmedNXDOMAINIsStale: the server says it once, and is then silent.
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
		want := "resolver: lookup _math._tcp.svc. SRV @ns1:53: no answer over UDP or TCP within 2s; unconfirmed before that: resolver: lookup _math._tcp.svc. SRV @ns1:53: no such name: no instance is registered under it (NXDOMAIN)"
		if len(got.Endpoints) != 2 || got.Err == nil || got.Err.Error() != want {
			t.Errorf("%v\n%v\nwant %s", addrs(got), got.Err, want)
		}
	})
}
