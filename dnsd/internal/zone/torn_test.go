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

// TestNoAnswerIsTorn lets one writer publish sets that are known beforehand while
// readers ask on both paths, transfer and read the journal: whatever they get is
// exactly one of the sets, and never one older than the set that was published
// before they asked.
func TestNoAnswerIsTorn(t *testing.T) {
	const readers = 3
	want := newTorn(t)
	z := newTestZone(t, testConfig(), 0)
	var published, asked atomic.Int64
	published.Store(-1)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for n := range readers {
		wg.Go(func() {
			buf := make([]byte, 0, 65536)
			for k := 0; want.read(t, z, n+k, &published, &asked, buf, k%100 == 99); k++ {
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	live := make(map[string]*registry.Instance)
	for r, ins := range want.sets {
		z.Apply(changesTo(ins, live, uint64(r)))
		published.Store(int64(r))
		for n := asked.Load(); asked.Load() < n+2 && !t.Failed(); {
			runtime.Gosched()
		}
	}
	close(done)
	wg.Wait()
}

const (
	tornRevisions = 150
	tornLimit     = 1232
)

// tornQuestions are what the readers ask.
var tornQuestions = []struct {
	name  string
	qtype uint16
}{
	{"_math._tcp.svc.", dns.TypeSRV},
	{"math.tcp.svc.", dns.TypeA},
	{"a3._math._tcp.svc.", dns.TypeTXT},
	{"_services._dns-sd._udp.svc.", dns.TypePTR},
}

// torn is what a zone holds in each revision, and what it then has to answer.
type torn struct {
	sets      [][]*registry.Instance
	answers   [][][]byte // by revision and question, at tornLimit
	negative  [][]bool
	transfers [][]string
}

// tornSet is the set of a revision: its members, priorities and TTLs all tell the
// revision.
func tornSet(t *testing.T, r int) []*registry.Instance {
	var ins []*registry.Instance
	if r%10 == 9 {
		return nil // the service is gone
	}
	for i := range 1 + r%7*40 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_math._tcp/a%d 10.0.%d.%d:%d priority=%d weight=%d ttl=%ds", i*3+r%3, r&255, i%256, 1000+r, r%2, r, 5+r)))
	}
	return ins
}

func newTorn(t *testing.T) *torn {
	w := new(torn)
	for r := range tornRevisions {
		set := tornSet(t, r)
		still := newTestZone(t, testConfig(), uint64(r), set...)
		var answers [][]byte
		var negative []bool
		for _, q := range tornQuestions {
			msg, c, err := Pack(question(q.name, q.qtype), still.Lookup(q.name, q.qtype), tornLimit)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, msg)
			negative = append(negative, c.NS > 0)
		}
		_, records := still.Transfer()
		w.sets = append(w.sets, set)
		w.answers, w.negative = append(w.answers, answers), append(w.negative, negative)
		w.transfers = append(w.transfers, text(collect(records)))
	}
	return w
}

// known tells whether an answer to question i is that of one of the revisions.
func (w *torn) known(i, from, to int, got []byte) bool {
	for r := from; r <= to; r++ {
		want := w.answers[r][i]
		// The serial of a negative answer is that of the zone, which may be one
		// less than the revision of the service.
		if end := len(want) - 20; w.negative[r][i] && len(got) == len(want) && bytes.Equal(got[:end], want[:end]) || bytes.Equal(got, want) {
			return true
		}
	}
	return false
}

// read asks question k once, and with all the other ways to read, too. It returns
// false when an answer was wrong.
func (w *torn) read(t *testing.T, z *Zone, k int, published, asked *atomic.Int64, buf []byte, all bool) bool {
	i := k % len(tornQuestions)
	q := tornQuestions[i]
	before := int(published.Load())
	msg := append(buf[:0], question(q.name, q.qtype)...)
	asked.Add(1)
	out, _, ok := z.AppendAnswer(msg, msg[headerSize:len(msg)-4], q.qtype, tornLimit)
	if !ok {
		t.Errorf("%s declined", q.name)
		return false
	}
	// The writer is at most one revision ahead of published.
	if after := min(int(published.Load())+1, tornRevisions-1); before >= 0 && !w.known(i, before, after, out) {
		t.Errorf("%s: an answer of none of the revisions %d to %d:\n%x", q.name, before, after, out)
		return false
	}
	if !all {
		return true
	}
	soa, records := z.Transfer()
	if got := text(collect(records)); before >= 0 && !slices.Equal(got, w.transfers[soa.Serial]) {
		t.Errorf("transfer of revision %d is not that revision", soa.Serial)
		return false
	}
	z.Journal(uint32(max(before-5, 0)))
	z.Lookup(q.name, q.qtype)
	return true
}

// changesTo are the changes from the live instances to a set, which are then the live
// ones.
func changesTo(ins []*registry.Instance, live map[string]*registry.Instance, revision uint64) []registry.Change {
	var changes []registry.Change
	now := make(map[string]*registry.Instance)
	for _, in := range ins {
		now[in.ID] = in
		changes = append(changes, registry.Change{Revision: revision, Old: live[in.ID], New: in})
		delete(live, in.ID)
	}
	for _, in := range live {
		changes = append(changes, registry.Change{Revision: revision, Old: in})
	}
	clear(live)
	for id, in := range now {
		live[id] = in
	}
	return changes
}
