package zone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rollcall-dns/rollcall/dnsd/internal/registry"
)

// cluster is the registries and zones of several dnsd on one store.
type cluster struct {
	mu      sync.Mutex        // guards batches: leases end while the test sleeps
	batches []*registry.Batch // what the store has had, as it comes out of it
	members []*node
	writer  int
	known   map[uint32][]string // what secondaries can hold, by serial

	compared int // how often two zones had one serial
}

// node is one of them.
type node struct {
	reg   *registry.Registry
	zones [2]*Zone // of services, and of addresses
	seen  int      // of the batches
}

// Commit implements registry.Term.
func (s *cluster) Commit(b *registry.Batch) error {
	out := &registry.Batch{Revision: b.Revision, Fences: slices.Clone(b.Fences)}
	for _, c := range b.Changes {
		told := registry.Change{Revision: c.Revision, Time: c.Time, Old: &registry.Instance{Key: c.Key()}}
		if c.New != nil {
			in, err := registry.NewRecord(c.New).Instance()
			if err != nil {
				return err
			}
			told.Old, told.New = nil, in
		}
		out.Changes = append(out.Changes, told)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, out)
	return nil
}

// had are the batches that the store has had.
func (s *cluster) had() []*registry.Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

// Valid implements registry.Term.
func (*cluster) Valid() bool { return true }

// join adds a member without content.
func (s *cluster) join(t *testing.T) *node {
	t.Helper()
	r, err := registry.Open(registry.Config{Follow: true, Probe: func(context.Context, string) error { return errors.New("no route to host") }})
	if err != nil {
		t.Fatal(err)
	}
	m := &node{reg: r}
	for i, cfg := range []Config{testConfig(), reverseConfig("10.in-addr.arpa.")} {
		cfg.Absent = true
		if m.zones[i], err = New(cfg); err != nil {
			t.Fatal(err)
		}
		r.Attach(m.zones[i])
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }() //nolint:errcheck // it ends with the test
	t.Cleanup(func() { cancel(); <-done; r.Close() })
	s.members = append(s.members, m)
	return m
}

// reset gives a member what the writer has, as it comes out of a store.
func (s *cluster) reset(t *testing.T, m *node) {
	t.Helper()
	c := s.members[s.writer].reg.Content()
	written := c.Instances
	c.Instances = func(yield func(*registry.Instance, error) bool) {
		for in := range written {
			if !yield(registry.NewRecord(in).Instance()) {
				return
			}
		}
	}
	if err := m.reg.Reset(c); err != nil {
		t.Fatal(err)
	}
	m.seen = len(s.had())
}

// follow gives a member one batch that it has not had.
func (s *cluster) follow(t *testing.T, m *node) {
	t.Helper()
	b := *s.had()[m.seen]
	b.Changes = slices.Clone(b.Changes) // Follow says in them what was there before
	for i := range b.Changes {
		if in := b.Changes[i].New; in != nil {
			own := *in
			b.Changes[i].New = &own
		}
	}
	if err := m.reg.Follow(&b); err != nil {
		t.Fatal(err)
	}
	m.seen++
}

// check compares zones of equal serial, and holds every difference against what
// secondaries can have from any member.
func (s *cluster) check(t *rapid.T) {
	first := make(map[uint32]*node)
	for i, m := range s.members {
		if m.zones[0].Absent() {
			continue
		}
		serial := m.zones[0].Serial()
		if a := first[serial]; a != nil {
			s.compared++
			for k := range m.zones {
				checkSame(t, path{"one", a.zones[k]}, path{fmt.Sprintf("member %d", i), m.zones[k]}, 150, 512)
			}
		} else {
			first[serial] = m
		}
		_, records := m.zones[0].Transfer()
		s.known[serial] = text(collect(records))
	}
	for serial, m := range first {
		for since, was := range s.known {
			if d, ok := m.zones[0].Journal(since); ok {
				checkDelta(t, m.zones[0], d, uint64(since), was, s.known[serial])
			}
		}
	}
}

// TestZonesOfOneRegistryAreEqual: several dnsd follow one registry, at their own pace,
// with members that join, are loaded again, and become the writer. At equal serials
// their zones are equal, and a secondary may go from any to any other.
func TestZonesOfOneRegistryAreEqual(t *testing.T) {
	compared := 0
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func(t *testing.T) {
			s := &cluster{known: make(map[uint32][]string)}
			w := s.join(t)
			life, first := w.reg.NewLife(0)
			nothing, err := registry.Memory().Load()
			if err != nil {
				t.Fatal(err)
			}
			nothing.Revision = first
			if err := w.reg.Reset(registry.Content{Life: life, Snapshot: *nothing}); err != nil {
				t.Fatal(err)
			}
			w.reg.Lead(s)
			s.join(t)
			steps := rapid.SampledFrom([]string{"register", "register", "register", "register", "deregister", "drain", "undrain", "sleep", "skip", "join", "reset", "follow", "follow", "follow", "move"})
			for range rapid.IntRange(1, 40).Draw(rt, "steps") {
				s.act(t, rt, steps.Draw(rt, "step"))
				s.check(rt)
			}
			for _, m := range s.members {
				s.catchUp(t, m)
				s.check(rt)
			}
			compared += s.compared
		})
	})
	if compared == 0 {
		t.Error("no two zones had one serial")
	}
}

// inBubble is synctest.Test for a property: a failure of rapid's, which is a panic, ends
// up where rapid expects it.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	var failure any
	synctest.Test(t, func(t *testing.T) {
		defer func() { failure = recover() }()
		f(t)
	})
	if failure != nil {
		panic(failure)
	}
}

// catchUp brings a member to where the writer is.
func (s *cluster) catchUp(t *testing.T, m *node) {
	t.Helper()
	if m == s.members[s.writer] {
		return
	}
	if !m.reg.Loaded() {
		s.reset(t, m)
	}
	for m.seen < len(s.had()) {
		s.follow(t, m)
	}
}

func (s *cluster) act(t *testing.T, rt *rapid.T, step string) {
	t.Helper()
	synctest.Wait() // leases may have ended in the step before
	w, ctx := s.members[s.writer].reg, context.Background()
	key := registry.Key{Service: rapid.SampledFrom([]string{"_math._tcp", "_m._udp"}).Draw(rt, "service"), ID: rapid.SampledFrom([]string{"a", "b", "c1", "d"}).Draw(rt, "id")}
	m := s.members[rapid.IntRange(0, len(s.members)-1).Draw(rt, "member")]
	var err error
	switch step {
	case "register":
		_, err = w.Register(ctx, registry.Instance{
			Key: key, Host: rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "h.example.com."}).Draw(rt, "host"), Port: 80,
			Priority: rapid.SampledFrom([]uint16{0, 10}).Draw(rt, "priority"), Weight: rapid.SampledFrom([]uint16{0, 100}).Draw(rt, "weight"), Lease: 15 * time.Second,
			Drain: rapid.IntRange(0, 3).Draw(rt, "drain") == 0,
		})
	case "deregister":
		_, err = w.Deregister(ctx, key, nil)
	case "drain":
		_, err = w.Drain(ctx, key, rapid.Bool().Draw(rt, "sticky"))
	case "undrain":
		_, err = w.Undrain(ctx, key)
	case "sleep": // leases end; the guard makes suspects
		time.Sleep(time.Duration(rapid.IntRange(1, 40).Draw(rt, "seconds")) * time.Second)
		synctest.Wait()
	case "skip":
		_, err = w.Skip(ctx)
	case "join":
		if len(s.members) < 4 {
			s.join(t)
		}
	case "reset":
		if m.reg != w {
			s.reset(t, m)
		}
	case "follow":
		if m.reg != w && m.reg.Loaded() && m.seen < len(s.had()) {
			s.follow(t, m)
		}
	case "move":
		s.catchUp(t, m)
		w.Yield()
		s.members[s.writer].seen = len(s.had())
		s.writer = slices.Index(s.members, m)
		m.reg.Lead(s)
	}
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		rt.Fatal(step, err)
	}
}
