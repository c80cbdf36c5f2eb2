package resolver

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// withoutAuthority is a cache that answers as h does, with so much of the TTL left.
func withoutAuthority(t testing.TB, h handler, left uint32) handler {
	return func(network string, q *dns.Msg) [][]byte {
		m := new(dns.Msg)
		if err := m.Unpack(h(network, q)[0]); err != nil {
			t.Error(err)
		}
		m.Authoritative = false
		for _, rr := range append(m.Answer, m.Extra...) {
			if rr.Header().Rrtype != dns.TypeOPT {
				rr.Header().Ttl = left
			}
		}
		return pack(m)
	}
}

// TestACacheBringsNothingBack: a session tells that instances are gone, and is lost. A cache
// still has the set of before, until its TTL is over.
func TestACacheBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, r := following(t, 4)
		s.become(withoutAuthority(t, service(t, 4), 5))
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		p.become(mathTCP, instances(t, 3)...)
		synctest.Wait()
		s.become(withoutAuthority(t, service(t, 4), 4)) // the cache has asked a second ago
		s.fault("tcp", syscall.ECONNREFUSED)
		p.cut()
		time.Sleep(3 * time.Second)
		if n := len(s.asked("SRV")); n < 2 {
			t.Errorf("%d questions", n)
		}
		s.become(withoutAuthority(t, service(t, 3), 5))
		time.Sleep(time.Minute)
		for _, st := range w.seen()[1:] {
			if n := len(st.Endpoints); n != 3 {
				t.Errorf("%d endpoints after the session told of 3", n)
			}
		}
		s.become(withoutAuthority(t, service(t, 2), 5))
		time.Sleep(5 * time.Second)
		if n := len(w.last().Endpoints); n != 2 {
			t.Errorf("%d endpoints a TTL after a change", n)
		}
	})
}

// TestAnAnswerThatIsNotOlderIsBelieved: the TTL tells when the cache asked. And a server with
// authority has no cache.
func TestAnAnswerThatIsNotOlderIsBelieved(t *testing.T) {
	for name, then := range map[string]handler{
		"a cache that has just asked": withoutAuthority(t, service(t, 2), 5),
		"authority":                   service(t, 2),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s, r := following(t, 4)
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				p.become(mathTCP, instances(t, 3)...)
				time.Sleep(2 * time.Second)
				s.become(then)
				s.fault("tcp", syscall.ECONNREFUSED)
				p.cut()
				time.Sleep(lostSpread)
				synctest.Wait()
				if n := len(w.last().Endpoints); n != 2 {
					t.Errorf("%d endpoints", n)
				}
			})
		})
	}
}

// TestWhatOutdatesAnAnswer, by the clock alone. The change came at 100 s, with a TTL of 20 s.
func TestWhatOutdatesAnAnswer(t *testing.T) {
	begin := time.Unix(1000, 0)
	one := make([]Endpoint, 1)
	for _, tt := range []struct {
		at   int // the answer came
		out  outcome
		news news
		want bool
	}{
		{105, outcome{endpoints: one, cached: true, ttl: 10 * time.Second}, news{ttl: 20 * time.Second}, true},
		{105, outcome{endpoints: one, cached: true, ttl: 15 * time.Second}, news{ttl: 20 * time.Second}, true},
		{105, outcome{endpoints: one, cached: true, ttl: 17 * time.Second}, news{ttl: 20 * time.Second}, false},
		{105, outcome{endpoints: one, cached: true, ttl: 20 * time.Second}, news{ttl: 20 * time.Second}, false},
		{119, outcome{endpoints: one, cached: true, ttl: time.Second}, news{ttl: 20 * time.Second}, true},
		{120, outcome{endpoints: one, cached: true, ttl: time.Second}, news{ttl: 20 * time.Second}, false},
		{105, outcome{endpoints: one, cached: true, ttl: 60 * time.Second}, news{ttl: 20 * time.Second}, true}, // it lengthens TTLs
		{105, outcome{endpoints: one, cached: true, ttl: 20 * time.Second}, news{ttl: 5 * time.Minute}, true},
		{105, outcome{cached: true, ttl: 5 * time.Second}, news{ttl: 20 * time.Second}, true},
		{105, outcome{endpoints: one, ttl: 10 * time.Second}, news{ttl: 20 * time.Second}, false},
		{105, outcome{endpoints: one, ttl: 10 * time.Second}, news{ttl: 20 * time.Second, found: true}, true},
	} {
		t.Run(fmt.Sprint(tt.at, tt.out.ttl, tt.news.ttl), func(t *testing.T) {
			tt.news.at = begin.Add(100 * time.Second)
			if got := tt.news.outdates(tt.out, begin.Add(time.Duration(tt.at)*time.Second), 5*time.Minute); got != tt.want {
				t.Error(got)
			}
		})
	}
	if new(news).outdates(outcome{cached: true}, begin, time.Minute) {
		t.Error("an answer is older than nothing")
	}
}
