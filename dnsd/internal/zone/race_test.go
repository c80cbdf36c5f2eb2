package zone

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestNoAnswerIsTorn lets one writer publish sets that are known beforehand
// while readers ask on both paths, transfer and read the journal: whatever they
// get is exactly one of the sets, and never one older than what was published
// before they asked.
func TestNoAnswerIsTorn(t *testing.T) {
	const revisions, readers = 150, 3
	z := newTestZone(t, testConfig(), 0)
	// In each revision the set has other members, priorities and TTLs, all
	// of which tell the revision.
	set := func(r int) []*registry.Instance {
		var ins []*registry.Instance
		if r%10 == 9 {
			return nil // the service is gone
		}
		for i := range 1 + r%7*40 {
			ins = append(ins, parseInstance(t, fmt.Sprintf("_math._tcp/a%d 10.0.%d.%d:%d priority=%d weight=%d ttl=%ds", i*3+r%3, r&255, i%256, 1000+r, r%2, r, 5+r)))
		}
		return ins
	}
	sets := make([][]*registry.Instance, revisions)
	for r := range sets {
		sets[r] = set(r)
	}
	// answers[r] is what the fast path must say in revision r at the limit.
	const limit = 1232
	names := []string{"_math._tcp.svc.", "math.tcp.svc.", "a3._math._tcp.svc.", "_services._dns-sd._udp.svc."}
	types := []uint16{dns.TypeSRV, dns.TypeA, dns.TypeTXT, dns.TypePTR}
	answers := make([][][]byte, revisions)
	negative := make([][]bool, revisions)
	transfers := make([][]string, revisions)
	for r := range answers {
		still := newTestZone(t, testConfig(), uint64(r), sets[r]...)
		for i, name := range names {
			msg, c, err := Pack(question(name, types[i]), still.Lookup(name, types[i]), limit)
			if err != nil {
				t.Fatal(err)
			}
			answers[r] = append(answers[r], msg)
			negative[r] = append(negative[r], c.NS > 0)
		}
		_, records := still.Transfer()
		transfers[r] = text(collect(records))
	}
	var published, asked atomic.Int64
	published.Store(-1)
	known := func(i, from, to int, got []byte) bool {
		for r := from; r <= to; r++ {
			want := answers[r][i]
			// The serial of a negative answer is that of the zone, which
			// may be one behind the service.
			if end := len(want) - 20; negative[r][i] && len(got) == len(want) && bytes.Equal(got[:end], want[:end]) || bytes.Equal(got, want) {
				return true
			}
		}
		return false
	}

	var wg sync.WaitGroup
	done := make(chan struct{})
	for n := range readers {
		wg.Go(func() {
			buf := make([]byte, 0, 65536)
			for k := 0; ; k++ {
				select {
				case <-done:
					return
				default:
				}
				i := (n + k) % len(names)
				before := int(published.Load())
				msg := append(buf[:0], question(names[i], types[i])...)
				asked.Add(1)
				out, _, ok := z.AppendAnswer(msg, msg[headerSize:len(msg)-4], types[i], limit)
				if !ok {
					t.Errorf("%s declined", names[i])
					return
				}
				// The writer is at most one ahead of what it has said.
				if after := min(int(published.Load())+1, revisions-1); before >= 0 && !known(i, before, after, out) {
					t.Errorf("%s: an answer that was none of revisions %d to %d:\n%x", names[i], before, after, out)
					return
				}
				if k%100 == 99 {
					soa, records := z.Transfer()
					if got := text(collect(records)); before >= 0 && !slices.Equal(got, transfers[soa.Serial]) {
						t.Errorf("transfer of revision %d is not that revision", soa.Serial)
						return
					}
					z.Journal(uint32(max(before-5, 0)))
					z.Lookup(names[i], types[i])
				}
			}
		})
	}
	live := make(map[string]*registry.Instance)
	for r, ins := range sets {
		var changes []registry.Change
		now := make(map[string]*registry.Instance)
		for _, in := range ins {
			now[in.ID] = in
			changes = append(changes, registry.Change{Revision: uint64(r), Old: live[in.ID], New: in})
			delete(live, in.ID)
		}
		for _, in := range live {
			changes = append(changes, registry.Change{Revision: uint64(r), Old: in})
		}
		live = now
		z.Apply(changes)
		published.Store(int64(r))
		for n := asked.Load(); asked.Load() < n+2 && !t.Failed(); {
			runtime.Gosched()
		}
	}
	close(done)
	wg.Wait()
}

// TestAnswersAllocateNothing counts for every kind of answer.
func TestAnswersAllocateNothing(t *testing.T) {
	z := bigZone(t, testConfig())
	buf := make([]byte, 0, 65536)
	for _, q := range []struct {
		name  string
		qtype uint16
		limit int
	}{
		{"_n10._tcp.svc.", dns.TypeSRV, 1232},
		{"_n10._tcp.svc.", dns.TypeSRV, 300},
		{"_N10._tcp.svc.", dns.TypePTR, 1232},
		{"_n5000._tcp.svc.", dns.TypeSRV, 1232},
		{"_n5000._tcp.svc.", dns.TypeSRV, 65535},
		{"_n10._tcp.svc.", dns.TypeMX, 1232},
		{"n10.tcp.svc.", dns.TypeA, 1232},
		{"six.udp.svc.", dns.TypeAAAA, 1232},
		{"i1.n10.tcp.svc.", dns.TypeA, 1232},
		{"i4999.n5000.tcp.svc.", dns.TypeA, 1232},
		{"i1._n10._tcp.svc.", dns.TypeSRV, 1232},
		{"i2._mixed._tcp.svc.", dns.TypeSRV, 1232},
		{"i2.mixed.tcp.svc.", dns.TypeA, 1232},
		{"i1._dns-sd._udp.svc.", dns.TypeTXT, 1232},
		{"_nobody._tcp.svc.", dns.TypeSRV, 1232},
		{"i1.nobody.tcp.svc.", dns.TypeA, 1232},
		{"nobody.svc.", dns.TypeA, 1232},
		{"_tcp.svc.", dns.TypeA, 1232},
		{"svc.", dns.TypeSOA, 1232},
		{"svc.", dns.TypeNS, 1232},
		{"ns.svc.", dns.TypeA, 1232},
		{"_services._dns-sd._udp.svc.", dns.TypePTR, 1232},
	} {
		msg := question(q.name, q.qtype)
		qname := msg[headerSize : len(msg)-4]
		ok := true
		if n := testing.AllocsPerRun(100, func() {
			_, _, answered := z.AppendAnswer(append(buf[:0], msg...), qname, q.qtype, q.limit)
			ok = ok && answered
		}); n != 0 || !ok {
			t.Errorf("%s %s: %v allocations, answered %v", q.name, dns.TypeToString[q.qtype], n, ok)
		}
	}
}
