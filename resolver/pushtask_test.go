package resolver

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestTheFirstSetIsBelievedAsAnAnswerIs: a server that was started over tells in a new
// session that most instances are gone. Then a second look is needed, and Trust is Shrunk,
// until the set has grown again or some minutes have passed. Changes within the session do
// not end that.
func TestTheFirstSetIsBelievedAsAnAnswerIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 20)
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		p.mu.Lock()
		p.records[mathTCP] = instances(t, 3) // no session is told
		p.revision++
		p.mu.Unlock()
		s.fault("udp", errors.New("no DNS")) // only the session tells
		s.become(rcode(dns.RcodeServerFailure))
		p.cut()
		time.Sleep(500 * time.Millisecond)
		if got := w.last(); len(got.Endpoints) != 20 {
			t.Errorf("%d endpoints before they were confirmed", len(got.Endpoints))
		}
		time.Sleep(4 * time.Second)
		if got := w.last(); len(got.Endpoints) != 20 {
			t.Errorf("%d endpoints: there is no session, since no server answers", len(got.Endpoints))
		}
		s.become(p.handler(t))
		s.fault("udp", nil)
		time.Sleep(30 * time.Second)
		if got := w.last(); len(got.Endpoints) != 3 || got.Trust != Shrunk {
			t.Errorf("%d endpoints, %v", len(got.Endpoints), got.Trust)
		}
		p.become(mathTCP, instances(t, 4)...)
		synctest.Wait()
		if got := w.last(); len(got.Endpoints) != 4 || got.Trust != Shrunk {
			t.Errorf("%d endpoints, %v", len(got.Endpoints), got.Trust)
		}
		time.Sleep(settled)
		synctest.Wait()
		if got := w.last(); len(got.Endpoints) != 4 || got.Trust != Confirmed {
			t.Errorf("%d endpoints, %v", len(got.Endpoints), got.Trust)
		}
	})
}

// TestAFirstSetWaitsForASecondLook, where DNS has not told of it: the set of a new session
// is small for a moment, while the instances come back.
func TestAFirstSetWaitsForASecondLook(t *testing.T) {
	for name, back := range map[string]int{"they come back": 20, "they do not": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 20)
				full := service(t, 20)
				s.become(full)
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				p.mu.Lock()
				p.records[mathTCP] = instances(t, 3)
				p.mu.Unlock()
				p.cut()
				synctest.Wait()
				for range 2000 { // lost, asked, followed again
					if p.open() > 0 {
						break
					}
					time.Sleep(time.Millisecond)
				}
				time.Sleep(confirmAfter / 2)
				p.become(mathTCP, instances(t, back)...)
				time.Sleep(2 * confirmAfter)
				synctest.Wait()
				if got := w.last(); len(got.Endpoints) != back {
					t.Errorf("%d endpoints, want %d", len(got.Endpoints), back)
				}
				for _, st := range w.seen() {
					if n := len(st.Endpoints); n != 20 && n != back {
						t.Errorf("a state of %d", n)
					}
				}
				if got := r.Freshness(mathTCP); got.By != "push" {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestAnotherServerCanContradictAFirstSet: then the other one is followed.
func TestAnotherServerCanContradictAFirstSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newPush(), newPush()
		first.records[mathTCP], second.records[mathTCP] = instances(t, 20), instances(t, 20)
		n := fakeNet{"ns1:53": newServer(service(t, 20)), "ns2:53": newServer(second.handler(t))}
		n["ns1:53"].push, n["ns2:53"].push = first, second
		r := n.client("ns1", "ns2")
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		first.mu.Lock()
		first.records[mathTCP] = nil
		first.mu.Unlock()
		first.cut()
		time.Sleep(time.Minute)
		if states := w.seen(); len(states) != 1 {
			t.Errorf("%d states, want 1", len(states))
		}
		if got := r.Freshness(mathTCP); got.By != "push" || got.Server != "ns2:53" {
			t.Errorf("%+v", got)
		}
		second.become(mathTCP, instances(t, 21)...)
		synctest.Wait()
		if got := w.last(); len(got.Endpoints) != 21 {
			t.Errorf("%d endpoints", len(got.Endpoints))
		}
	})
}

// TestAServerThatLagsIsNotBelievedAtOnce: a session with another server tells a revision
// below the one that was seen. It is applied when the server has caught up, or after five
// seconds, because then the registry has started over.
func TestAServerThatLagsIsNotBelievedAtOnce(t *testing.T) {
	for name, catchesUp := range map[string]bool{"it catches up": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 4)
				s.become(service(t, 4)) // DNS does not tell of what follows
				p.revision = 100
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				p.mu.Lock()
				p.revision, p.records[mathTCP] = 90, instances(t, 3)
				p.mu.Unlock()
				p.cut()
				time.Sleep(2 * time.Second)
				if got := w.last(); len(got.Endpoints) != 4 {
					t.Errorf("%d endpoints told by a server that lags", len(got.Endpoints))
				}
				if got := r.Freshness(mathTCP); got.By != "ttl" {
					t.Errorf("%+v", got)
				}
				want := 3
				if catchesUp {
					p.mu.Lock()
					p.revision = 99
					p.mu.Unlock()
					p.become(mathTCP, instances(t, 5)...) // revision 100
					synctest.Wait()
					want = 5
				} else {
					time.Sleep(behindFor)
					synctest.Wait()
				}
				if got := w.last(); len(got.Endpoints) != want {
					t.Errorf("%d endpoints, want %d", len(got.Endpoints), want)
				}
				if got := r.Freshness(mathTCP); got.By != "push" {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestTargetsOutsideOfTheSetAreAskedForByDNS, by their own TTL. The name itself is not.
func TestTargetsOutsideOfTheSetAreAskedForByDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 1)
		outside := rrs(t, mathTCP+" 5 IN SRV 10 100 8080 host.example.")
		address := "10.9.9.1"
		var mu sync.Mutex
		s.become(func(network string, q *dns.Msg) [][]byte {
			mu.Lock()
			records := []string{"host.example. 60 IN A " + address, "host.example. 60 IN TXT x"}
			mu.Unlock()
			if q.Question[0].Name == "host.example." {
				return zone(t, append(records, "example. 60 IN SOA ns.svc. host.svc. 7 60 60 60 60")...)(network, q)
			}
			return p.handler(t)(network, q)
		})
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		p.become(mathTCP, append(instances(t, 1), outside...)...)
		synctest.Wait()
		if got := addrs(w.last()); got != "10.0.0.1:8080 10.9.9.1:8080" {
			t.Error(got)
		}
		mu.Lock()
		address = "10.9.9.2"
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := addrs(w.last()); got != "10.0.0.1:8080 10.9.9.2:8080" {
			t.Error(got)
		}
		time.Sleep(10 * time.Minute)
		if srv, a := len(s.asked("SRV")), len(s.asked("A")); srv != 1 || a < 11 || a > 16 {
			t.Errorf("%d questions for the name and %d for the host in 12 minutes of TTL 60", srv, a)
		}
	})
}

// TestATargetHoldsUpNoChange: a target outside of the set is asked for, and its server is
// silent. What is told meanwhile is seen at once. A target whose server is slow has its address
// all the same, though the set changes all the time.
func TestATargetHoldsUpNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 1)
		outside := rrs(t, mathTCP+" 5 IN SRV 10 100 8080 host.example.")
		var mu sync.Mutex
		slow := time.Duration(0) // 0: silent
		host := zone(t, "host.example. 60 IN A 10.9.9.1", "example. 60 IN SOA ns.svc. host.svc. 7 60 60 60 60")
		answer := p.handler(t)
		s.become(func(network string, q *dns.Msg) [][]byte {
			if q.Question[0].Name != "host.example." {
				return answer(network, q)
			}
			mu.Lock()
			wait := slow
			mu.Unlock()
			if wait == 0 {
				return nil
			}
			time.Sleep(wait)
			return host(network, q)
		})
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		p.become(mathTCP, append(instances(t, 1), outside...)...)
		time.Sleep(10 * time.Millisecond)
		told := time.Now()
		p.become(mathTCP, append(instances(t, 2), outside...)...)
		synctest.Wait()
		if n := len(w.last().Endpoints); n != 2 || time.Since(told) != 0 {
			t.Errorf("%d endpoints %v after a change", n, time.Since(told))
		}
		mu.Lock()
		slow = 200 * time.Millisecond
		mu.Unlock()
		seen := time.Duration(0)
		for i := range 20 * 30 {
			p.become(mathTCP, append(instances(t, 2+i%2), outside...)...)
			time.Sleep(50 * time.Millisecond)
			if seen == 0 && strings.Contains(addrs(w.last()), "10.9.9.1:8080") {
				seen = time.Since(told)
			}
		}
		if seen == 0 || seen > 20*time.Second {
			t.Errorf("the address of a slow target came after %v", seen)
		}
	})
}

// TestAnAddressThatIsRemovedIsGone: the set has all addresses, so DNS is not asked whether
// it left one out.
func TestAnAddressThatIsRemovedIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 1)
		six := rrs(t, "i0.math.tcp.svc. 5 IN AAAA 2001:db8::1")
		w := watch(t, r, mathTCP)
		defer w.close()
		for _, with := range []bool{true, false, true} {
			records := instances(t, 1)
			if with {
				records = append(records, six...)
			}
			time.Sleep(time.Minute)
			p.become(mathTCP, records...)
			synctest.Wait()
			if got := w.last().Endpoints; len(got) != 1 || got[0].Addr != "10.0.0.1:8080" || (len(got[0].Alt) == 1) != with {
				t.Errorf("%v", got)
			}
		}
		if n := len(s.asked("AAAA")) + len(s.asked("A")); n != 0 {
			t.Errorf("%d questions for addresses", n)
		}
	})
}
