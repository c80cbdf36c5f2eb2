package resolver

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestAServerThatFailsIsLeftForTheNext, and the server that answered is asked first
// from then on.
func TestAServerThatFailsIsLeftForTheNext(t *testing.T) {
	referral := func(_ string, q *dns.Msg) [][]byte {
		m := new(dns.Msg).SetReply(q)
		ns, err := dns.NewRR(". 60 IN NS a.root-servers.net.")
		if err != nil {
			t.Fatal(err)
		}
		m.Ns = append(m.Ns, ns)
		return pack(m)
	}
	for _, tt := range []struct {
		name string
		h    handler
		took time.Duration
	}{
		{"silent", silence, 2 * time.Second},
		{"SERVFAIL", rcode(dns.RcodeServerFailure), 0},
		{"REFUSED", rcode(dns.RcodeRefused), 0},
		{"NOTAUTH", rcode(dns.RcodeNotAuth), 0},
		{"FORMERR", rcode(dns.RcodeFormatError), 0},
		{"a referral", referral, 0},
		{"broken", spoiled(two(t), func(b []byte) [][]byte { return [][]byte{b[:len(b)-1]} }), 0},
		{"another question over TCP", byNetwork(
			func(_ string, q *dns.Msg) [][]byte { m := new(dns.Msg).SetReply(q); m.Truncated = true; return pack(m) },
			func(_ string, q *dns.Msg) [][]byte { m := new(dns.Msg).SetReply(q); m.Id++; return pack(m) },
		), 0},
		{"not there", nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := newServer(two(t))
				n := fakeNet{"ns2:53": good}
				if tt.h != nil {
					n["ns1:53"] = newServer(tt.h)
				}
				r := n.client("ns1", "ns2")
				for i, took := range []time.Duration{tt.took, 0, 0} {
					begin := time.Now()
					got, err := r.Lookup(t.Context(), mathTCP)
					if err != nil || len(got.Endpoints) != 2 || time.Since(begin) != took {
						t.Errorf("lookup %d: %v, %v after %v, want %v", i, got, err, time.Since(begin), took)
					}
					time.Sleep(10 * time.Second)
				}
			})
		})
	}
}

// TestTheErrorNamesEveryServer and what it said.
func TestTheErrorNamesEveryServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakeNet{"ns1:53": newServer(silence), "ns2:53": newServer(rcode(dns.RcodeRefused))}
		begin := time.Now()
		_, err := n.client("ns1", "ns2", "ns3").Lookup(t.Context(), mathTCP)
		want := "resolver: lookup _math._tcp.svc. SRV: @ns1:53: no answer over UDP or TCP within 2s; @ns2:53: the server refuses to answer: it does not serve this zone (REFUSED); @ns3:53: connection refused over UDP and TCP: is dnsd running there?"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrNoSuchName) {
			t.Errorf("%v: wrong class", err)
		}
		// Only the silent one is asked a second time.
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("took %v, want 4s", took)
		}
		if q := len(n["ns2:53"].asked("SRV")); q != 1 {
			t.Errorf("the server that refused was asked %d times", q)
		}
	})
}

// TestTimeEndsInTheMiddleOfTheServers: the error says how far it came, and why it
// ended.
func TestTimeEndsInTheMiddleOfTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fakeNet{"ns2:53": newServer(rcode(dns.RcodeServerFailure)), "ns3:53": newServer(silence)}
		r := n.client("ns1", "ns2", "ns3")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := r.ask(ctx, question{mathTCP, typeSRV}, must(r.way()), false)
		want := "resolver: lookup _math._tcp.svc. SRV: @ns1:53: connection refused over UDP and TCP: is dnsd running there?; @ns2:53: the server failed (SERVFAIL); @ns3:53: context deadline exceeded"
		if err == nil || err.Error() != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}
