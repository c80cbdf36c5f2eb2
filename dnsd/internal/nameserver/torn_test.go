package nameserver

import (
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestNoAnswerIsTorn: every answer is one whole published state. All instances of the
// service get one new weight in each revision. No answer mixes two, and no connection
// sees the revision go back.
func TestNoAnswerIsTorn(t *testing.T) {
	const n, rounds = 12, 150
	live := instances("_math._tcp", n)
	z := testZone(t, live...)
	publish := func(revision uint64) {
		changes := make([]registry.Change, n)
		for i, old := range live {
			now := *old
			now.Weight = uint16(revision)
			changes[i] = registry.Change{Revision: revision, Time: time.Unix(0, 0), Old: old, New: &now}
			live[i] = &now
		}
		z.Apply(changes)
	}
	begin := uint64(z.Serial()) + 1
	publish(begin)
	s := start(t, Config{Zones: []Zone{{Zone: z}}})

	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, network := range []string{"udp", "tcp"} {
		wg.Go(func() {
			conn, err := dns.Dial(network, s.Addrs()[0].String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.UDPSize = 4096
			conn.SetDeadline(time.Now().Add(60 * time.Second))
			var last uint16
			for {
				select {
				case <-done:
					return
				default:
				}
				m := new(dns.Msg).SetQuestion("_math._tcp.svc.", dns.TypeSRV)
				m.SetEdns0(4096, false)
				if err := conn.WriteMsg(m); err != nil {
					t.Error(err)
					return
				}
				r, err := conn.ReadMsg()
				if err != nil {
					t.Error(err)
					return
				}
				if len(r.Answer) != n {
					t.Errorf("%s: %d records", network, len(r.Answer))
					return
				}
				weight := r.Answer[0].(*dns.SRV).Weight
				for _, rr := range r.Answer {
					if rr.(*dns.SRV).Weight != weight {
						t.Errorf("%s: torn between revisions: %v", network, r.Answer)
						return
					}
				}
				if weight < last {
					t.Errorf("%s: revision %d after %d", network, weight, last)
					return
				}
				last = weight
			}
		})
	}
	for i := range uint64(rounds) {
		publish(begin + 1 + i)
		// The next answer has the revision just published.
		if m := ask(t, s, "udp", "_math._tcp.svc.", dns.TypeSRV, edns(1232)); m.Answer[0].(*dns.SRV).Weight != uint16(begin+1+i) {
			t.Fatalf("revision %d published, %v answered", begin+1+i, m.Answer[0])
		}
	}
	close(done)
	wg.Wait()
}
