package resolver

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// lame answers NOERROR with nothing, as a server that has lost its zone or its
// upstream, or one that throws the SOA away.
func lame(_ string, q *dns.Msg) [][]byte { return pack(new(dns.Msg).SetReply(q)) }

// lameNXDOMAIN is an NXDOMAIN without SOA, from a server without authority.
func lameNXDOMAIN(_ string, q *dns.Msg) [][]byte {
	return pack(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
}

// steps watches while a server's handler changes, and gives trust and number of
// endpoints after each.
func steps(t *testing.T, s *fakeServer, r *Resolver, pause time.Duration, handlers ...handler) (out []string) {
	t.Helper()
	w := watch(t, r, mathTCP)
	defer w.close()
	for i, h := range handlers {
		if i > 0 {
			s.become(h)
		}
		time.Sleep(pause)
		synctest.Wait()
		got := w.last()
		out = append(out, fmt.Sprintf("%v %d", got.Trust, len(got.Endpoints)))
	}
	return out
}

// TestTrustTellsOnWhoseWordTheSetStands: a registry is restarted without its memory, or
// loses most of its set; instances are deleted one by one; servers are silent; a service
// is decidedly not offered.
func TestTrustTellsOnWhoseWordTheSetStands(t *testing.T) {
	const hour = time.Hour + time.Minute
	for _, tt := range []struct {
		name  string
		pause time.Duration
		then  []handler
		want  []string
	}{
		{
			"memory lost", 40 * time.Second,
			[]handler{service(t, 20), zone(t, soa), service(t, 1), service(t, 5), service(t, 11), service(t, 20)},
			[]string{"confirmed 20", "shrunk 0", "shrunk 1", "shrunk 5", "confirmed 11", "confirmed 20"},
		},
		{
			"scaled down for good", settled + 40*time.Second,
			[]handler{service(t, 20), service(t, 2), service(t, 2), zone(t, soa), zone(t, soa)},
			[]string{"confirmed 20", "confirmed 2", "confirmed 2", "confirmed 0", "confirmed 0"},
		},
		{
			"one by one", 10 * time.Second,
			[]handler{service(t, 3), service(t, 2), service(t, 1), service(t, 3), service(t, 1)},
			[]string{"confirmed 3", "confirmed 2", "confirmed 1", "confirmed 3", "shrunk 1"},
		},
		{"never there", 40 * time.Second, []handler{zone(t, soa), service(t, 1)}, []string{"confirmed 0", "confirmed 1"}},
		{
			"not offered is meant", 10 * time.Second,
			[]handler{service(t, 20), zone(t, mathTCP+" 5 IN SRV 0 0 0 .")},
			[]string{"confirmed 20", "confirmed 0"},
		},
		{"silence", 20 * time.Second, []handler{service(t, 2), silence, service(t, 2)}, []string{"confirmed 2", "stale 2", "confirmed 2"}},
		{"long silence", hour, []handler{service(t, 2), silence, service(t, 2)}, []string{"confirmed 2", "unanswered 0", "confirmed 2"}},
		{"silence from the start", 20 * time.Second, []handler{silence, service(t, 2)}, []string{"unanswered 0", "confirmed 2"}},
		{"lame", 20 * time.Second, []handler{service(t, 2), lame, service(t, 2)}, []string{"confirmed 2", "stale 2", "confirmed 2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := one(tt.then[0])
				got := steps(t, s, r, tt.pause, tt.then...)
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("got  %q\nwant %q", got, tt.want)
				}
			})
		})
	}
}

// TestAShrunkenSetIsConfirmed: an answer that takes away more than half of the set
// is asked for again, from a second server or a second later. One answer alone changes
// nothing.
func TestAShrunkenSetIsConfirmed(t *testing.T) {
	for _, second := range []bool{false, true} {
		t.Run(fmt.Sprintf("second server %v", second), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				full, few := service(t, 10), service(t, 4)
				n := 0
				bad := newServer(func(network string, q *dns.Msg) [][]byte {
					if n++; n == 3 {
						return few(network, q)
					}
					return full(network, q)
				})
				servers := fakeNet{"ns1:53": bad}
				r := servers.client("ns1")
				if second {
					servers["ns2:53"] = newServer(full)
					r = servers.client("ns1", "ns2")
				}
				w := watch(t, r, mathTCP)
				defer w.close()
				time.Sleep(time.Minute)
				if states := w.seen(); len(states) != 1 {
					t.Errorf("%d states, want 1", len(states))
				}
				if bad.asked("SRV")[2].at.IsZero() {
					t.Error("the short answer was never given")
				}
			})
		})
	}
}

// TestALameAnswerIsNotTheLastWord: the next server is asked, whatever their order. A lame
// answer alone is believed for a name without endpoints.
func TestALameAnswerIsNotTheLastWord(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second handler
		endpoints     int
		err           error
		took          time.Duration
	}{
		{"empty, then good", lame, service(t, 2), 2, nil, 0},
		{"NXDOMAIN without SOA, then good", lameNXDOMAIN, service(t, 2), 2, nil, 0},
		{"good first", service(t, 2), lame, 2, nil, 0},
		{"empty, then NXDOMAIN", lame, zone(t, soa), 0, ErrNoSuchName, 0},
		{"both empty", lame, lame, 0, ErrNoSuchName, 0},
		{"empty, then failing", lame, rcode(dns.RcodeServerFailure), 0, ErrNoSuchName, 0},
		{"failing, then empty", rcode(dns.RcodeServerFailure), lame, 0, ErrNoSuchName, 0},
		{"empty, then silent", lame, silence, 0, ErrNoSuchName, defaultTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := fakeNet{"ns1:53": newServer(tt.first), "ns2:53": newServer(tt.second)}
				begin := time.Now()
				got, err := n.client("ns1", "ns2").Lookup(t.Context(), mathTCP)
				if len(got.Endpoints) != tt.endpoints || !errors.Is(err, tt.err) || time.Since(begin) != tt.took {
					t.Errorf("%v, %v after %v", addrs(got), err, time.Since(begin))
				}
			})
		})
	}
}
