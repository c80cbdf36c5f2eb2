package zone

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// TestUniformTTLChangesAreInTheJournal: one instance with a lower TTL changes
// every record of the sets it is in (RFC 2181 section 5.2), and the journal has
// them all.
func TestUniformTTLChangesAreInTheJournal(t *testing.T) {
	var ins []*registry.Instance
	for i := range 10 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_math._tcp/a%d 10.0.0.%d:80 ttl=30s", i, i)))
	}
	z := newTestZone(t, testConfig(), 100, ins...)
	low := *ins[3]
	low.TTL /= 6
	z.Apply([]registry.Change{{Revision: 101, Old: ins[3], New: &low}})
	d, ok := z.Journal(100)
	if !ok || d == nil {
		t.Fatalf("Journal after a change: %v %v", d, ok)
	}
	// Ten SRV, PTR and A of the service, and SRV, TXT and A of the instance.
	if len(d.Removed) != 33 || len(d.Added) != 33 {
		t.Errorf("%d removed, %d added, want 33 each", len(d.Removed), len(d.Added))
	}
	for _, rr := range d.Added {
		if rr.Header().Ttl != 5 {
			t.Errorf("%s: not the new TTL", rr)
		}
	}
}

func TestJournalIsCondensed(t *testing.T) {
	z := newTestZone(t, testConfig(), 1, parseInstance(t, "_math._tcp/a1 10.0.0.1:80"))
	in := parseInstance(t, "_chat._tcp/c 10.0.0.2:80")
	for r := uint64(2); r < 100; r += 2 {
		z.Apply([]registry.Change{{Revision: r, New: in}})
		z.Apply([]registry.Change{{Revision: r + 1, Old: in}})
	}
	d, ok := z.Journal(1)
	if !ok || d == nil || len(d.Added)+len(d.Removed) != 0 || d.To.Serial != 99 {
		t.Errorf("an instance that came and went is in the journal: %v %v", d, ok)
	}
	if d, ok := z.Journal(99); !ok || d != nil {
		t.Errorf("Journal of the present: %v %v", d, ok)
	}
}

func TestJournalIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps int
		bytes int
	}{
		{"steps", 10, 0},
		{"bytes", 0, 50_000},
		{"none", -1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.JournalSteps = tc.steps
			z := newTestZone(t, cfg, 0)
			z.journal.maxBytes = cmp.Or(tc.bytes, z.journal.maxBytes)
			var history []registry.Change
			apply := func(r uint64) {
				c := registry.Change{Revision: r, New: parseInstance(t, fmt.Sprintf("_math._tcp/a%d 10.0.0.1:80", r))}
				history = append(history, c)
				z.Apply([]registry.Change{c})
			}
			for r := range uint64(100) {
				apply(r + 1)
			}
			reach := func(z *Zone) int {
				n := 0
				for r := uint32(99); ; r-- {
					if _, ok := z.Journal(r); !ok {
						return n
					}
					n++
				}
			}
			n := reach(z)
			if tc.steps > 0 && n != tc.steps || tc.bytes > 0 && (n < 10 || n > 30) || tc.steps < 0 && n != 0 {
				t.Errorf("the journal reaches %d steps back", n)
			}
			// The bounds hold after a restart, too.
			var ins []*registry.Instance
			for _, c := range history {
				ins = append(ins, c.New)
			}
			again := newTestZone(t, cfg, 0)
			again.journal.maxBytes = z.journal.maxBytes
			again.Load(100, slices.Values(ins), history)
			if m := reach(again); m != n {
				t.Errorf("after a restart the journal reaches %d steps back, before %d", m, n)
			}
		})
	}
}

// TestJournalLeadsFromAnyRevisionToThePresent: the difference, applied to the
// zone as it was, is the zone as it is: with addresses that several share, names
// that several lead to, and TTLs that come and go.
func TestJournalLeadsFromAnyRevisionToThePresent(t *testing.T) {
	z := newTestZone(t, testConfig(), 0)
	lines := func() []string {
		_, records := z.Transfer()
		return text(collect(records))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	live := make(map[string]*registry.Instance)
	old := [][]string{lines()}
	for r := uint64(1); r <= 300; r++ {
		id := fmt.Sprintf("a%d", rnd.IntN(12))
		host := []string{"10.0.0.%d", "2001:db8::%d", "10.0.0.%d"}[rnd.IntN(3)]
		if r%100 < 20 && rnd.IntN(4) == 0 {
			host = "h%d.example."
		}
		ttl := 5
		if rnd.IntN(10) == 0 {
			ttl = 4
		}
		c := registry.Change{Revision: r, Old: live[id]}
		if c.Old == nil || rnd.IntN(3) > 0 {
			c.New = parseInstance(t, fmt.Sprintf("_math._tcp/%s %s:%d ttl=%ds", id, fmt.Sprintf(host, 1+rnd.IntN(4)), 80+rnd.IntN(2), ttl))
		}
		live[id] = c.New
		z.Apply([]registry.Change{c})
		now := lines()
		old = append(old, now)
		for back := uint64(1); back <= min(r, 7); back++ {
			d, ok := z.Journal(uint32(r - back))
			if !ok {
				continue // larger than the zone
			}
			checkDelta(t, z, d, r-back, old[r-back], now)
		}
	}
}

// TestJournalOfALargeServiceCostsItsChange: secondaries ask several times a
// second, and must not have every record of the service made for one change.
func TestJournalOfALargeServiceCostsItsChange(t *testing.T) {
	var ins []*registry.Instance
	for i := range 5000 {
		ins = append(ins, parseInstance(t, fmt.Sprintf("_math._tcp/a%d 10.0.%d.%d:80", i, i>>8, i&255)))
	}
	z := newTestZone(t, testConfig(), 100, ins...)
	now := *ins[3]
	now.Weight++
	z.Apply([]registry.Change{{Revision: 101, Old: ins[3], New: &now}})
	var d *Delta
	allocs := testing.AllocsPerRun(1, func() { d, _ = z.Journal(100) })
	if d == nil || len(d.Removed) != 2 || len(d.Added) != 2 { // SRV of the service and the instance
		t.Fatalf("Journal after one change of weight: %v", d)
	}
	if allocs > 1000 {
		t.Errorf("Journal of one change made %v allocations", allocs)
	}
}

// TestJournalReachesAsFarAsItMay: in changes and in time, also after a restart.
func TestJournalReachesAsFarAsItMay(t *testing.T) {
	var history []registry.Change
	for i := range 100 {
		history = append(history, registry.Change{
			Revision: uint64(i + 1), Time: time.Unix(0, 0).Add(time.Duration(i) * time.Second),
			New: parseInstance(t, fmt.Sprintf("_math._tcp/i%d 10.0.0.%d:80", i, i)),
		})
	}
	for _, tc := range []struct {
		steps int
		age   time.Duration
		reach int // how many changes back
	}{{0, 0, 100}, {10, 0, 10}, {0, 20 * time.Second, 21}, {10, 20 * time.Second, 10}, {50, 20 * time.Second, 21}, {-1, 0, 0}} {
		cfg := testConfig()
		cfg.JournalSteps, cfg.JournalAge = tc.steps, tc.age
		lived := newTestZone(t, cfg, 0)
		for i := range history {
			lived.Apply(history[i : i+1])
		}
		loaded, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		loaded.Load(100, func(yield func(*registry.Instance) bool) {
			for _, c := range history {
				if !yield(c.New) {
					return
				}
			}
		}, history)
		for what, z := range map[string]*Zone{"lived": lived, "loaded": loaded} {
			// A small difference is never refused for its size: ask at the edge.
			_, within := z.Journal(uint32(100 - tc.reach))
			if tc.reach == 100 {
				_, within = z.Journal(50)
			}
			_, beyond := z.Journal(uint32(100 - tc.reach - 1))
			if !within || beyond && tc.reach < 100 {
				t.Errorf("at most %d steps and %v, %s: reaches %d changes back: %t; %d: %t", tc.steps, tc.age, what, tc.reach, within, tc.reach+1, beyond)
			}
		}
	}
}

// TestADifferenceIsOfOneLife: registries come and go, the next one above all
// revisions of those before, and a secondary remembers any of them. It gets a
// difference only from what this life has published, and then ends with the zone.
func TestADifferenceIsOfOneLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type memory struct {
			life    int
			records []string
		}
		known := make(map[uint64]memory) // by revision
		revision := rapid.SampledFrom([]uint64{1, 1<<32 - 20}).Draw(t, "begin")
		for life := range rapid.IntRange(2, 5).Draw(t, "lives") {
			z, err := New(testConfig())
			if err != nil {
				t.Fatal(err)
			}
			revision += uint64(rapid.SampledFrom([]int{1, 2, 10, 1 << 16}).Draw(t, "gap"))
			live := make(map[registry.Key]*registry.Instance)
			z.Load(revision, func(func(*registry.Instance) bool) {}, nil)
			for range rapid.IntRange(0, 8).Draw(t, "changes") {
				_, records := z.Transfer()
				known[revision] = memory{life, text(collect(records))}
				in := drawInstance(t)
				revision++
				z.Apply([]registry.Change{{Revision: revision, Old: live[in.Key], New: in}})
				live[in.Key] = in
			}
			_, records := z.Transfer()
			now := text(collect(records))
			past := map[uint64][]string{revision: now}
			for since, m := range known {
				if m.life == life {
					past[since] = m.records
					checkJournal(t, z, since, past)
				} else if _, ok := z.Journal(uint32(since)); ok {
					t.Fatalf("life %d gives a difference from %d, which life %d published", life, since, m.life)
				}
			}
			known[revision] = memory{life, now}
		}
	})
}

// TestTheJournalBeginsAfterAHoleInTheHistory: what changed in a revision that is missing
// is not known.
func TestTheJournalBeginsAfterAHoleInTheHistory(t *testing.T) {
	var ins []*registry.Instance
	var history []registry.Change
	for i := range 40 { // enough, or the difference is longer than the zone
		in := parseInstance(t, fmt.Sprintf("_math._tcp/i%d 10.0.0.%d:80", i, i))
		ins = append(ins, in)
		history = append(history, registry.Change{Revision: uint64(i + 1), New: in})
	}
	for _, tc := range []struct {
		name    string
		load    uint64
		history []registry.Change
		from    int // where the journal begins, or -1
	}{
		{"whole", 40, history[30:], 30},
		{"hole", 40, slices.Concat(history[30:34], history[36:]), 36},
		{"not up to the load", 41, history[30:], -1},
		{"beyond the load", 39, history[30:], -1},
		{"none", 40, nil, -1},
	} {
		z := newTestZone(t, testConfig(), 0)
		z.Load(tc.load, slices.Values(ins), tc.history)
		for since := range int(tc.load) {
			if _, ok := z.Journal(uint32(since)); ok != (tc.from >= 0 && since >= tc.from) {
				t.Errorf("%s: a difference from %d: %t", tc.name, since, ok)
			}
		}
	}
}
