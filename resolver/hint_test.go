package resolver

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// since gives the times of the queries for the set from a moment on.
func since(s *fakeServer, begin time.Time) []time.Duration {
	var out []time.Duration
	for _, q := range s.asked("SRV") {
		if !q.at.Before(begin) {
			out = append(out, q.at.Sub(begin))
		}
	}
	return out
}

// TestGRPC7186AHintIsASeriesOfQuestions: grpc-go#7186, #3353. There are five questions
// within a second, one in each fifth. Many hints count as one, and without news the next
// hint counts only after a TTL.
func TestGRPC7186AHintIsASeriesOfQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 300))
		w := watch(t, r, mathTCP)
		defer w.close()
		r.Refresh("_other._tcp.svc") // no call has asked for it: nothing happens
		time.Sleep(30 * time.Second)
		begin := time.Now()
		for range 100 {
			r.Refresh("_math._tcp.svc")
			time.Sleep(10 * time.Millisecond)
		}
		for range 100 {
			r.Refresh("_math._tcp.svc")
			time.Sleep(time.Second)
		}
		got := since(s, begin)
		if len(got) != seriesSize {
			t.Fatalf("asked at %v, want %d questions", got, seriesSize)
		}
		for i, at := range got {
			if part := seriesSpan / seriesSize; at/part != time.Duration(i) {
				t.Errorf("question %d came after %v", i, at)
			}
		}
	})
}

// TestAHintThatFollowsOnNewsBeginsAnother series, but not before the first one is over:
// while each answer differs and connections fail all the time, there are five questions a
// second.
func TestAHintThatFollowsOnNewsBeginsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		s, r := one(func(network string, q *dns.Msg) [][]byte {
			return service(t, 5+int(n.Add(1)%2))(network, q)
		})
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(30 * time.Second)
		begin := time.Now()
		for range 1000 {
			r.Refresh(mathTCP)
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(since(s, begin)); n < 40 || n > 60 {
			t.Errorf("%d questions in 10 s, want about 50", n)
		}
	})
}

// TestOneClientLearnsFast: the client gives a hint when a server goes. When the server
// comes back at another address, it is found within two parts of the series.
func TestOneClientLearnsFast(t *testing.T) {
	for _, away := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, 700 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s, r := one(ttl(t, 300))
			w := watch(t, r, mathTCP)
			defer w.close()
			for i := range 50 { // 50 restarts, one after the other
				time.Sleep(time.Second)
				r.Refresh(mathTCP)
				time.Sleep(away)
				s.become(zone(t, fmt.Sprintf("%s 300 IN SRV 0 0 %d a.svc.", mathTCP, 1000+i), "a.svc. 300 IN A 10.0.0.1"))
				time.Sleep(2 * seriesSpan / seriesSize)
				synctest.Wait()
				if got, want := addrs(w.last()), fmt.Sprintf("10.0.0.1:%d", 1000+i); got != want {
					t.Errorf("away for %v, restart %d: %s, want %s", away, i, got, want)
				}
			}
		})
	}
}

// TestADeadEndpointCostsLessAndLess: one of two servers is dead for an hour and stays
// announced, and each failed dial is a hint. The queries of the client become as rare as
// those of a client without dead endpoints.
func TestADeadEndpointCostsLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(service(t, 2))
		w := watch(t, r, mathTCP)
		defer w.close()
		time.Sleep(time.Minute)
		begin := time.Now()
		var got []string
		for _, d := range []time.Duration{time.Second, 9 * time.Second, 50 * time.Second, 9 * time.Minute, 50 * time.Minute, 60 * time.Minute} {
			from := time.Now()
			for end := from.Add(d); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
				r.Refresh(mathTCP)
			}
			n := len(since(s, from))
			got = append(got, fmt.Sprintf("%v: %d", time.Since(begin), n))
			// Without dead endpoints: one in 4 to 5 s.
			most := float64(d)/float64(4*time.Second) + 6
			if d > time.Minute {
				most = float64(d)/float64(4500*time.Millisecond)*1.02 + 6
			}
			if float64(n) > most {
				t.Errorf("%d questions in %v, %v after the death, want at most %.0f", n, d, from.Sub(begin), most)
			}
		}
		t.Log(strings.Join(got, ", "))
	})
}

// TestHintsDoNotHastenQuestionsToServersThatFail: such servers may be overloaded.
func TestHintsDoNotHastenQuestionsToServersThatFail(t *testing.T) {
	questions := func(hints bool) int {
		n := 0
		synctest.Test(t, func(t *testing.T) {
			s, r := one(ttl(t, 60))
			r.Rand = rand.New(rand.NewPCG(1, 2))
			w := watch(t, r, mathTCP)
			defer w.close()
			synctest.Wait()
			s.become(rcode(dns.RcodeServerFailure))
			time.Sleep(time.Minute) // it has failed for the first time
			begin := time.Now()
			for range 10 * 60 * 10 {
				if hints {
					r.Refresh(mathTCP)
				}
				time.Sleep(100 * time.Millisecond)
			}
			n = len(since(s, begin))
		})
		return n
	}
	if with, without := questions(true), questions(false); with != without {
		t.Errorf("%d questions in ten minutes with hints, %d without", with, without)
	}
}

func TestRefreshMakesTheNextLookupAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := one(ttl(t, 300))
		if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
			t.Fatal(err)
		}
		r.Refresh(mathTCP)
		for range 100 {
			if _, err := r.Lookup(t.Context(), mathTCP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if n := len(s.asked("SRV")); n != 1+seriesSize {
			t.Errorf("%d questions, want %d", n, 1+seriesSize)
		}
	})
}

// TestAHerdSpreads its questions evenly over a second, even if all clients give a hint at
// exactly the same moment.
func TestAHerdSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 500
		s := newServer(ready(service(t, 1)))
		n := fakeNet{"ns1:53": s}
		var rs []*Resolver
		for range clients {
			r := n.client("ns1")
			rs = append(rs, r)
			w := watch(t, r, mathTCP)
			defer w.close()
		}
		time.Sleep(time.Minute)
		begin := time.Now()
		for _, r := range rs {
			r.Refresh(mathTCP)
		}
		time.Sleep(seriesSpan)
		const slot = 50 * time.Millisecond
		var slots [seriesSpan / slot]int
		for _, at := range since(s, begin) {
			if i := at / slot; i < time.Duration(len(slots)) {
				slots[i]++
			}
		}
		even := clients * seriesSize / len(slots)
		if low, high := slices.Min(slots[:]), slices.Max(slots[:]); low < even/2 || high > even*3/2 {
			t.Errorf("questions in each 50 ms of the second: %v, want about %d", slots, even)
		}
	})
}

// ready answers as h once did, with what it costs to copy.
func ready(h handler) handler {
	query := new(dns.Msg).SetQuestion(mathTCP, dns.TypeSRV)
	query.SetEdns0(udpSize, false)
	packet := h("udp", query)[0]
	return func(_ string, q *dns.Msg) [][]byte {
		out := slices.Clone(packet)
		out[0], out[1] = byte(q.Id>>8), byte(q.Id)
		return [][]byte{out}
	}
}

// TestHerds prints, with -v, how many queries 1 and 100 clients send after an event, while
// each gives a hint every half second as long as it cannot connect. The queries are never
// all at once, and in the end there are no more than before.
func TestHerds(t *testing.T) {
	const events = "a server dies and is taken out|all die and come back after 20 s|dnsd is away for 20 s|one of 5 is dead for an hour, announced"
	spans := []time.Duration{0, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute}
	var header []string
	for i, s := range spans[1:] {
		header = append(header, fmt.Sprintf("%10s", fmt.Sprintf("%v-%v", spans[i], s)))
	}
	lines := []string{
		"Questions for the set that reach dnsd, per second, TTL 5s, each hint after half a second again.",
		"peak: the most in any 50 ms, as a rate.",
		"",
		fmt.Sprintf("%-40s %7s %10s %s %8s", "event", "clients", "before", strings.Join(header, " "), "peak"),
	}
	for event := range strings.SplitSeq(events, "|") {
		for _, clients := range []int{1, 100} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(ready(service(t, 5)))
				n := fakeNet{"ns1:53": s}
				var rs []*Resolver
				for i := range clients {
					r := n.client("ns1")
					r.Rand = rand.New(rand.NewPCG(uint64(i), 3))
					rs = append(rs, r)
					w := watch(t, r, mathTCP)
					defer w.close()
				}
				time.Sleep(20 * time.Second)
				before := time.Now()
				time.Sleep(time.Minute)
				healthy := len(since(s, before))
				begin := time.Now()
				var hinting atomic.Bool
				hinting.Store(true)
				after := func(d time.Duration, f func()) { time.AfterFunc(d, f) }
				switch event[0] {
				case 'a':
					if event[:3] == "all" {
						s.become(ready(zone(t, "svc. 60 IN SOA ns.svc. host.svc. 1 60 60 60 5")))
						after(20*time.Second, func() { s.become(ready(service(t, 5))); hinting.Store(false) })
						break
					}
					after(300*time.Millisecond, func() { s.become(ready(service(t, 4))) })
					after(2*time.Second, func() { hinting.Store(false) })
				case 'd':
					hinting.Store(false)
					s.become(silence)
					after(20*time.Second, func() { s.become(ready(service(t, 5))) })
				}
				for range 2 * int(spans[len(spans)-1]/time.Second) {
					if hinting.Load() {
						for _, r := range rs {
							r.Refresh(mathTCP)
						}
					}
					time.Sleep(500 * time.Millisecond)
				}
				asked := since(s, begin)
				count := make([]int, len(spans)-1)
				peaks := map[time.Duration]int{}
				for _, at := range asked {
					peaks[at/(50*time.Millisecond)]++
					for i := range count {
						if at >= spans[i] && at < spans[i+1] {
							count[i]++
						}
					}
				}
				peak := 0
				for _, p := range peaks {
					peak = max(peak, p)
				}
				var cells []string
				for i, c := range count {
					cells = append(cells, fmt.Sprintf("%10.2f", float64(c)/(spans[i+1]-spans[i]).Seconds()))
				}
				lines = append(lines, fmt.Sprintf("%-40s %7d %10.2f %s %8d", event, clients, float64(healthy)/60, strings.Join(cells, " "), peak*20))
				if clients == 1 {
					return
				}
				rate := float64(healthy) / 60
				if last := float64(count[len(count)-1]) / (spans[len(spans)-1] - spans[len(spans)-2]).Seconds(); last > rate*1.1 {
					t.Errorf("%s: %.2f a second in the last minute, %.2f before", event, last, rate)
				}
				// A series has 5 a second from each; a question to silent servers, or one to
				// be confirmed, comes on top.
				if most := clients * 8; peak*20 > most {
					t.Errorf("%s: up to %d a second within 50 ms, want at most %d", event, peak*20, most)
				}
			})
		}
	}
	t.Log("\n" + strings.Join(lines, "\n"))
}
